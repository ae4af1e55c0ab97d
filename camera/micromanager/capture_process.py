"""The process that owns a Micro-Manager camera's drivers (see `capture.process`)."""

from __future__ import annotations

import os

from qpi_live.camera.capture.link import Connection
from qpi_live.camera.capture.process import CaptureProcess, end_unless_back_in, run_capture_process
from qpi_live.camera.capture.slots import Slots
from qpi_live.camera.capture.window import change_window, read_window
from qpi_live.camera.features import CameraListing
from qpi_live.camera.micromanager.link import MicroManagerLink

os.environ.setdefault("PYMM_LOG_FILE", "none")  # before the import: the service logs by itself
os.environ.setdefault("PYMM_LOG_LEVEL", "CRITICAL")  # what goes wrong comes as an answer

from qpi_live.camera.micromanager.device import MicroManagerDevice
from qpi_live.camera.micromanager.stream import MicroManagerStream


class _MicroManagerProcess(CaptureProcess[MicroManagerDevice]):
    def __init__(self, control: Connection, frames: Connection) -> None:
        super().__init__(control, frames)
        self.requests |= {
            "open": self._open,
            "facts": self.of_device("facts"),
            "features": self.of_device("features"),
            "feature": self.of_device("feature"),
            "set": self.changing(self.of_device("set")),
            "load": self.changing(self.of_device("load")),
            "fit_window": self.changing(self.of_device("fit_window")),
            "window": lambda: read_window(self.opened.properties, self.opened.grey_formats),
            "set_window": lambda change: change_window(self.opened.properties, change, self.opened.grey_formats),
        }

    def begin_stream(self, slots: Slots, session: int) -> MicroManagerStream:
        """See `CaptureProcess.begin_stream`."""
        return MicroManagerStream(self.opened, slots, session)

    def _open(self, configuration: str, label: str) -> CameraListing:
        end_unless_back_in(round(2 * MicroManagerLink.LOADING_S))
        self.device = MicroManagerDevice(configuration, label)
        return self.device.listing


if __name__ == "__main__":
    run_capture_process(_MicroManagerProcess)
