"""Small real implementations of the protocols, whose every frame a test decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Condition
from time import monotonic_ns, time_ns

import numpy as np
from qpi_live.camera.device import Device, DeviceError
from qpi_live.camera.errors import CameraError, CameraTimeout
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame, PhaseQuality

OPTICS = Optics(532e-9, 4e-6, 20.0, 0.4)
CARRIER = (0.11, 0.17)


def fringes(shape: tuple[int, int], sequence: int) -> np.ndarray:
    """(H, W) uint8 off-axis hologram of a round cell that moves to the right with the sequence number."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    radius = min(shape) / 5
    squared = ((y - height / 2) / radius) ** 2 + ((x - width / 3 - sequence % 16) / radius) ** 2
    phase_rad = 4.0 * np.sqrt(np.clip(1 - squared, 0, None))
    carrier = 2 * np.pi * (CARRIER[0] * y + CARRIER[1] * x)
    return np.rint(127 + 100 * np.cos(carrier + phase_rad)).astype(np.uint8)


class FakeCamera:
    """Gives the frames that the test asks for through `send`, and whatever fault it asks for through `fail`."""

    waits_for_consumer = False

    def __init__(self, shape: tuple[int, int] = (96, 128), source: str = "fake") -> None:
        self.identity = CameraIdentity(source, "tests", "fake", "0", shape, 8, None, OPTICS)
        self.starts = 0
        self.refusals: list[CameraError] = []
        self.device_ids: list[int] = []  # of the next frames; None where there are no more
        self._todo: list[Frame | Exception | None] = []
        self._losses: Counter[str] = Counter()
        self._changed = Condition()
        self._next = 0

    def send(self, frames: int = 1, shown: np.ndarray | None = None) -> None:
        """Expose so many frames, which are all `shown`, if that is given."""
        with self._changed:
            for _ in range(frames):
                pixels = fringes(self.identity.shape, self._next) if shown is None else shown
                device_id = self.device_ids.pop(0) if self.device_ids else None
                self._todo.append(Frame(pixels, 8, self._next, time_ns(), monotonic_ns(), device_id))
                self._next += 1
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Let `read` raise `error`."""
        with self._changed:
            self._todo.append(error)
            self._changed.notify_all()

    def end(self) -> None:
        """Let the recording be over."""
        with self._changed:
            self._todo.append(None)
            self._changed.notify_all()

    def lose(self, reason: str, frames: int) -> None:
        """Lose frames before they come out of `read`."""
        with self._changed:
            self._losses[reason] += frames

    def start(self) -> None:
        self.starts += 1
        if self.refusals:
            raise self.refusals.pop(0)

    def read(self, timeout_s: float) -> Frame | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._todo, timeout_s):
                raise CameraTimeout(f"expected a frame within {timeout_s} s, got none")
            item = self._todo.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def take_losses(self) -> Mapping[str, int]:
        with self._changed:
            losses, self._losses = self._losses, Counter()
        return losses

    def stop(self) -> None:
        pass


class FakeEngine:
    """Takes the grey value over ten for the phase: quick, exact, and easy to check."""

    def __init__(self, name: str = "fake") -> None:
        self.identity = EngineIdentity(name, "fake", "cpu", "1", {})
        self.closed = False
        self.failures: dict[int, Exception] = {}
        self.refusal: Exception | None = None

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        if self.refusal:
            raise self.refusal

    def retrieve(self, frame: Frame) -> PhaseFrame:
        if frame.sequence in self.failures:
            raise self.failures[frame.sequence]
        phase_rad = frame.pixels.astype(np.float32) / np.float32(10)
        return PhaseFrame(phase_rad, frame, self.identity, {"divide": 0.1}, PhaseQuality(residues=3))

    def close(self) -> None:
        self.closed = True


class TunableFakeEngine(FakeEngine):
    """Also takes the adjustments, and keeps them for the test to look at; calibration is taken off as it is."""

    def __init__(self, name: str = "tunable") -> None:
        super().__init__(name)
        self.carrier_searches = 0
        self.sideband = "auto"
        self.calibration: Frame | None = None

    def refind_carrier(self) -> None:
        self.carrier_searches += 1

    def forget_instrument(self) -> None:
        self.refind_carrier()

    def use_sideband(self, sideband: str) -> None:
        self.sideband = sideband

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        if frame is not None and not np.ptp(frame.pixels):
            raise ValueError("expected an interferogram with a carrier, got an even grey")
        self.calibration = frame


class DeviceFakeEngine(FakeEngine):
    """Takes the grey value over ten for the phase, of the pixels as they come back from the device."""

    def __init__(self, device: Device) -> None:
        super().__init__("device-fake")
        self.identity = EngineIdentity("device-fake", "fake", "host", "1", {})
        self.device = device
        self.uploaded_here = 0

    def open_device(self) -> Device:
        return self.device

    def retrieve(self, frame: Frame) -> PhaseFrame:
        try:
            pixels = self._through_device(frame)
        except DeviceError as error:
            raise InferenceError(error.reason, str(error)) from error
        return PhaseFrame(pixels / np.float32(10), frame, self.identity, {"divide": 0.1})

    def _through_device(self, frame: Frame) -> np.ndarray:
        stream, pixels = self.device.stream(), np.empty_like(frame.pixels)
        there = frame.on_device
        if there is not None and there.device is self.device:
            stream.wait_for(there.ready)
            stream.download(there.memory, pixels)
        else:
            self.uploaded_here += 1
            memory = self.device.allocate(frame.pixels.nbytes)
            stream.upload(frame.pixels, memory)
            stream.download(memory, pixels)
            memory.free()
        stream.synchronize()
        return pixels
