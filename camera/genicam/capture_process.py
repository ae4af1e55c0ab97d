"""The process that owns a GenICam camera's driver (see `capture.process`)."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any

import numpy as np
from qpi_live.camera.capture.link import Connection
from qpi_live.camera.capture.process import STUCK_S, CaptureProcess, end_unless_back_in, run_capture_process
from qpi_live.camera.capture.slots import Slots
from qpi_live.camera.capture.window import change_window, read_window
from qpi_live.camera.features import CameraListing, Feature
from qpi_live.camera.genicam.capture_link import CameraFacts
from qpi_live.camera.genicam.capture_stream import GenicamStream
from qpi_live.camera.genicam.device import GentlDevice
from qpi_live.camera.genicam.discovery import list_cameras
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME

_GLANCE_S = 0.001  # for a frame that may wait; the driver's binding takes 0 for ever
_TELL_S = 1.0  # between two signs of life while a request takes long


class _GenicamProcess(CaptureProcess[GentlDevice]):
    """The driver's binding holds the interpreter lock while it waits, takes SIGINT over and may crash."""

    def __init__(self, control: Connection, frames: Connection) -> None:
        super().__init__(control, frames)
        self._told_at: float | None = None  # when the service was last told that its request goes on
        self.requests |= {
            "list": list_cameras,
            "open": self._open,
            "facts": self._facts,
            "features": self._features,
            "feature": self.of_device("feature"),
            "set": self.changing(self.of_device("set")),
            "load": self.changing(self.of_device("load")),
            "fit_window": self.changing(self.of_device("fit_window")),
            "window": lambda: read_window(self.opened.nodes, FORMATS_BY_NAME),
            "set_window": lambda change: change_window(self.opened.nodes, change, FORMATS_BY_NAME),
        }

    def answer(self, verb: str, arguments: tuple[Any, ...]) -> tuple[bool, object]:
        """See `CaptureProcess.answer`; the service is told meanwhile that a long request goes on."""
        self._told_at = monotonic()
        try:
            return super().answer(verb, arguments)
        finally:
            self._told_at = None

    def begin_stream(self, slots: Slots, session: int) -> GenicamStream:
        """See `CaptureProcess.begin_stream`."""
        pixel_format = self.opened.choose_grey_format()
        # Whatever has to be compiled for the format is compiled now, not when the first frame waits.
        pixel_format.read_into(np.empty((1, 2 * pixel_format.group), pixel_format.dtype), bytes(64))
        return GenicamStream(self.opened, slots, pixel_format, session)

    def _goes_on(self) -> None:
        """The camera has answered something: a request that takes long is under way, and nothing hangs."""
        end_unless_back_in(STUCK_S)
        if self._told_at is not None and monotonic() - self._told_at > _TELL_S:
            self._told_at = monotonic()
            with suppress(OSError):  # nobody listens any more: `run` sees it next
                self.control.send((None, None))

    def _pump_what_waits(self) -> None:
        """Frames go on while a long request is answered."""
        for _ in range(max(1, self.opened.waiting())):
            if self.stream is None or not self.pump(self.stream, _GLANCE_S):
                return

    def _open(self, producer: str, serial: str | None) -> CameraListing:
        self.device = GentlDevice(producer, serial)
        self.device.nodes.on_answer = self._goes_on
        self.device.choose_grey_format()
        return self.device.listing

    def _features(self) -> list[Feature]:
        return self.opened.nodes.all(between=self._pump_what_waits)

    def _facts(self) -> CameraFacts:
        nodes, pixel_format = self.opened.nodes, self.opened.choose_grey_format()
        settings = self.opened.settings()
        return CameraFacts(
            shape=(int(nodes.number("Height") or 0), int(nodes.number("Width") or 0)),
            pixel_format=pixel_format.name,
            bit_depth=pixel_format.bit_depth,
            frame_rate_hz=None if settings.get("TriggerMode") == "On" else nodes.number("AcquisitionFrameRate"),
            settings=settings,
        )


if __name__ == "__main__":
    run_capture_process(_GenicamProcess)
