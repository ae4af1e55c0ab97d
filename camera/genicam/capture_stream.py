"""Frames on their way from the driver into slots, in the capture process, with the settings that hold for them."""

from __future__ import annotations

import json
import struct
from collections import Counter, deque
from time import monotonic, monotonic_ns, time_ns

from qpi_live.camera.capture.link import FRAME, FRAME_MESSAGE, NO_SLOT, SETTINGS, Connection
from qpi_live.camera.capture.slots import Slots
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.genicam.capture_link import REASONS
from qpi_live.camera.genicam.device import GentlDevice
from qpi_live.camera.genicam.driver_frame import DriverFrame
from qpi_live.camera.genicam.frame_ids import FrameIds
from qpi_live.camera.genicam.pixel_format import PixelFormat

_ASK_IF_GONE_S = 0.5


class GenicamStream:
    """Frames on their way from the driver into slots."""

    def __init__(self, device: GentlDevice, slots: Slots, pixel_format: PixelFormat, session: int) -> None:
        self._device = device
        self._slots = slots
        self._format = pixel_format
        self._session = session
        self._ids = FrameIds(device.highest_rate_hz())
        self._unslotted = 0
        self._losses_before = slots.losses  # of earlier streams into the same slots
        self._asked_at = monotonic()
        self._fetched = 0  # buffers, incomplete ones included
        self._changes = deque([(0, device.settings())])  # each with the last buffer that it does not hold for yet
        device.start()

    def settings_changed(self) -> None:
        """The camera took new settings and they were read back.

        They hold for the frames that the driver delivers from now on; those that wait in its buffers carry the old
        ones. Which frames the camera was exposing or sending just then, no driver says. On a real camera, the first one
        or two with the new settings may still have been taken with the old ones.
        """
        self._ids.highest_rate_hz = self._device.highest_rate_hz()
        last_before = self._fetched + self._device.waiting()
        if self._changes and self._changes[-1][0] == last_before:
            self._changes.pop()  # no frame came between the two: there are never more changes than buffers
        self._changes.append((last_before, self._device.settings()))

    def pump(self, frames: Connection, wait_s: float) -> bool:
        """Wait a little for a frame and pass it on. Whether one came.

        Raises:
            CameraLost: the camera is gone, or changed what it sends.
        """
        self._slots.heartbeat_ns = monotonic_ns()
        frame = self._device.fetch(wait_s)
        for _ in range(self._device.take_incomplete()):
            self._fetched += 1
            self._ids.incomplete()
        if frame is None:
            self._ask_if_gone()
        else:
            self._fetched += 1
            self._asked_at = monotonic()
            self._pass_on(frame, frames)
        self._tell_losses()
        return frame is not None

    def end(self) -> None:
        """Stop the camera's stream and count what is missing."""
        self._ids.underruns(self._device.take_underruns())
        self._device.stop()
        self._slots.heartbeat_ns = 0
        self._ids.settle()
        self._tell_losses()

    def _pass_on(self, frame: DriverFrame, frames: Connection) -> None:
        captured_ns, captured_monotonic_ns = time_ns(), monotonic_ns()
        try:
            self._check_format(frame)
            self._ids.underruns(self._device.take_underruns())
            if frame.device_id is not None and not self._ids.arrived(frame.device_id):
                return
            slot = self._slots.take()
            if slot is None:
                self._unslotted += 1
                return
            pixels = self._slots.pixels(slot)
            self._format.read_into(pixels, frame.buffer, frame.row_padding, frame.is_big_endian)
        finally:
            self._device.give_back(frame)
        self._announce_settings(frames)
        stamps = [(stamp is not None, stamp or 0) for stamp in (frame.device_id, frame.timestamp_ns)]
        numbers = (captured_ns, captured_monotonic_ns, *stamps[0], *stamps[1])
        frames.send_bytes(struct.pack(FRAME_MESSAGE, FRAME, self._session, slot, *numbers))

    def _announce_settings(self, frames: Connection) -> None:
        settings = None
        while self._changes and self._changes[0][0] < self._fetched:
            _, settings = self._changes.popleft()
        if settings is not None:
            frames.send_bytes(SETTINGS + json.dumps(settings).encode())

    def _check_format(self, frame: DriverFrame) -> None:
        expected = self._slots.layout.shape
        if frame.shape != expected or frame.pixel_format.code != self._format.code:
            raise CameraLost(
                f"expected frames of {expected[0]} × {expected[1]} {self._format.name}, got {frame.shape[0]} × "
                f"{frame.shape[1]} {frame.pixel_format.name}: the camera was changed under way; opening it again"
            )

    def _ask_if_gone(self) -> None:
        if monotonic() - self._asked_at > _ASK_IF_GONE_S:
            self._asked_at = monotonic()
            if self._device.is_gone():
                serial = self._device.listing.serial
                raise CameraLost(f"camera {serial} no longer answers; check its cable and its power")

    def _tell_losses(self) -> None:
        losses = self._ids.losses | Counter({NO_SLOT: self._unslotted})
        self._slots.losses = [before + losses[why] for before, why in zip(self._losses_before, REASONS, strict=False)]
