"""Frames on their way from Micro-Manager's buffer into slots, with the settings that hold for them."""

from __future__ import annotations

import json
import struct
from time import monotonic_ns, time_ns

from qpi_live.camera.capture.link import FRAME, FRAME_MESSAGE, SETTINGS, Connection
from qpi_live.camera.capture.slots import Slots
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.micromanager.device import MicroManagerDevice


class MicroManagerStream:
    """See `CaptureStream`. Micro-Manager numbers the images of a sequence, so a gap is what its buffer overwrote."""

    def __init__(self, device: MicroManagerDevice, slots: Slots, session: int) -> None:
        self._device = device
        self._slots = slots
        self._session = session
        self._next = 0
        self._overwritten, self._unslotted = slots.losses[:2]
        self._is_news = True
        device.start()

    def settings_changed(self) -> None:
        """See `CaptureStream.settings_changed`."""
        self._is_news = True

    def pump(self, frames: Connection, wait_s: float) -> bool:
        """See `CaptureStream.pump`."""
        self._slots.heartbeat_ns = monotonic_ns()
        image = self._device.fetch(wait_s)
        if image is None:
            return False
        captured_ns, captured_monotonic_ns = time_ns(), monotonic_ns()
        layout = self._slots.layout
        if image.pixels.shape != layout.shape or image.pixels.dtype.name != layout.dtype:
            raise CameraLost(
                f"expected frames of {layout.shape[0]} × {layout.shape[1]} {layout.dtype}, got "
                f"{' × '.join(map(str, image.pixels.shape))} {image.pixels.dtype}: the camera was changed under way; "
                "opening it again"
            )
        if image.number is not None:
            self._overwritten += max(0, image.number - self._next)
            self._next = image.number + 1
        slot = self._slots.take()
        if slot is None:
            self._unslotted += 1
        else:
            self._slots.pixels(slot)[:] = image.pixels
            if self._is_news:
                self._is_news = False
                frames.send_bytes(SETTINGS + json.dumps(self._device.settings()).encode())
            stamps = [(stamp is not None, stamp or 0) for stamp in (image.number, image.elapsed_ns)]
            numbers = (captured_ns, captured_monotonic_ns, *stamps[0], *stamps[1])
            frames.send_bytes(struct.pack(FRAME_MESSAGE, FRAME, self._session, slot, *numbers))
        self._slots.losses = [self._overwritten, self._unslotted]
        return True

    def end(self) -> None:
        """See `CaptureStream.end`."""
        self._device.stop()
        self._slots.heartbeat_ns = 0
