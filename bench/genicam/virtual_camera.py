"""The virtual camera as the camera benches want it: built, opened, and read in a thread, as the live line does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic_ns

from qpi_live.camera.account import AccountSnapshot, FrameAccount
from qpi_live.camera.errors import CameraTimeout
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.queue import HostFrameQueue
from qpi_live.camera.source import CameraOptions
from qpi_live.camera.virtual_gentl.build import build

SHAPE = (1024, 1024)
_POLL_S = 0.2  # as the live line reads


@contextmanager
def built_producer() -> Iterator[Path]:
    """The virtual camera's .cti, compiled for the time of a `with`; each process has cameras of its own."""
    os.environ.pop("VIRTUAL_GENTL_BUS", None)
    with TemporaryDirectory(prefix="bench-camera-") as folder:
        yield build(Path(folder) / "virtual-camera.cti")


def open_virtual(producer: Path, rate_hz: float, pixel_format: str = "Mono8") -> GenicamCamera:
    """A virtual camera of 1024 × 1024 pixels."""
    camera = GenicamCamera.open(str(producer), CameraOptions(SHAPE, rate_hz))
    camera.load_settings({"PixelFormat": pixel_format})
    return camera


class ReadingLine:
    """The camera's half of the live line: a thread that reads frames into the queue, and one that takes them out.

    Attributes:
        newest_id: the camera's id of the newest frame that was read.
        latencies_ms: from a frame's arrival in the capture process to its being taken out of the queue.
    """

    def __init__(self, camera: GenicamCamera) -> None:
        self.camera = camera
        self.newest_id = 0
        self.latencies_ms: list[float] = []
        self._account = FrameAccount()
        self._queue = HostFrameQueue(self._account, capacity=64)
        self._stop = Event()
        self._threads = [Thread(target=self._read), Thread(target=self._take)]

    def start(self) -> None:
        """Start the camera and both threads."""
        self.camera.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> AccountSnapshot:
        """Stop them; what became of every frame that the camera exposed."""
        self.camera.pause()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.camera.stop()
        self._count_losses()
        return self._account.snapshot()

    def account(self) -> AccountSnapshot:
        """What has become of the frames so far."""
        return self._account.snapshot()

    def _read(self) -> None:
        while True:
            try:
                frame = self.camera.read(_POLL_S)
            except CameraTimeout:
                if self._stop.is_set():
                    return
                continue
            finally:
                self._count_losses()
            if frame is not None:
                self.newest_id = frame.device_id or 0
                self._queue.put(frame)

    def _take(self) -> None:
        while not (self._stop.is_set() and not self._threads[0].is_alive()):
            frame = self._queue.get(_POLL_S)
            if frame is not None:
                self.latencies_ms.append((monotonic_ns() - frame.captured_monotonic_ns) / 1e6)
                self._account.delivered()

    def _count_losses(self) -> None:
        for reason, frames in self.camera.take_losses().items():
            self._account.never_arrived(reason, frames)


def lost_before_the_queue(account: AccountSnapshot) -> Counter[str]:
    """The losses between sensor and queue, by reason; what was under way when the stream was stopped is none."""
    lost = Counter(account.dropped)
    for reason in ("queue full", "stream stopped"):
        lost.pop(reason, None)
    return lost
