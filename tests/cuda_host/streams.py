"""Streams, events, graphs and transforms on the host: work is done at once, or only when somebody waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceMemory,
    Dim3,
    Event,
    Graph,
    Kernel,
    KernelArgument,
    Stream,
)

from tests.cuda_host.kernels import HostKernel
from tests.cuda_host.memory import HostMemory

if TYPE_CHECKING:
    from tests.cuda_host.device import HostDevice


class HostEvent:
    """A point in a host stream's work."""

    def __init__(self, stream: HostStream) -> None:
        self._stream = stream
        self._done_ns: int | None = None

    def is_done(self) -> bool:
        self._stream.device.check()
        return self._done_ns is not None

    def synchronize(self) -> None:
        self._stream.device.check()
        self._stream.run_until(self.is_done)

    def ms_since(self, earlier: Event) -> float:
        assert isinstance(earlier, HostEvent)
        if self._done_ns is None or earlier._done_ns is None:
            raise DeviceError("expected the time between two events that were passed")
        return (self._done_ns - earlier._done_ns) / 1e6

    def happen(self) -> None:
        self._done_ns = time.perf_counter_ns()


class HostGraph:
    def __init__(self, work: list[Callable[[], None]]) -> None:
        self._work = work

    def launch(self, stream: Stream) -> None:
        assert isinstance(stream, HostStream)
        for step in self._work:
            stream.enqueue(step)


class HostStream:
    """Runs its work at once, or, on a lazy device, only when somebody waits for it."""

    handle = 0

    def __init__(self, device: HostDevice) -> None:
        self.device = device
        self._pending: deque[Callable[[], None]] = deque()
        self._recording: list[Callable[[], None]] | None = None

    def enqueue(self, step: Callable[[], None]) -> None:
        self.device.check()
        if self._recording is not None:
            self._recording.append(step)
            return
        with self.device.lock:
            self._pending.append(step)
        if not self.device.lazy:
            self.run_until(lambda: False)

    def run_until(self, enough: Callable[[], bool]) -> None:
        """Do pending work in order until `enough`, or all of it."""
        with self.device.lock:
            while not enough() and self._pending:
                self.device.check()
                self._pending.popleft()()

    def upload(self, source: Array, target: DeviceMemory) -> None:
        assert isinstance(target, HostMemory)
        if not source.flags.c_contiguous or source.nbytes > target.nbytes:
            raise DeviceError(f"expected a C-contiguous array of at most {target.nbytes} bytes, got {source.nbytes}")
        self.device.uploaded_bytes += source.nbytes
        self.enqueue(lambda: np.copyto(target.view()[: source.nbytes], source.reshape(-1).view(np.uint8)))

    def download(self, source: DeviceMemory, target: Array) -> None:
        assert isinstance(source, HostMemory)
        if not (target.flags.c_contiguous and target.flags.writeable) or target.nbytes > source.nbytes:
            raise DeviceError(f"expected a writeable array of at most {source.nbytes} bytes, got {target.nbytes}")
        self.device.downloaded_bytes += target.nbytes
        self.enqueue(lambda: np.copyto(target.reshape(-1).view(np.uint8), source.view()[: target.nbytes]))

    def fill(self, target: DeviceMemory, byte: int) -> None:
        assert isinstance(target, HostMemory)
        self.enqueue(lambda: target.view().fill(byte))

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, *arguments: KernelArgument) -> None:
        assert isinstance(kernel, HostKernel)
        self.device.launches.append(kernel.name)
        run = kernel.prepare(grid, block, arguments, self.device.order, self.device.threads)

        def checked() -> None:
            self.device.check_launch(kernel.name)
            run()

        self.enqueue(checked)

    def record(self) -> HostEvent:
        event = HostEvent(self)
        self.enqueue(event.happen)
        return event

    def wait_for(self, event: Event) -> None:
        self.enqueue(event.synchronize)

    def capture(self, work: Callable[[], None]) -> Graph:
        self._recording = []
        try:
            work()
            return HostGraph(self._recording)
        finally:
            self._recording = None

    def synchronize(self) -> None:
        self.device.check()
        self.run_until(lambda: False)


class HostTransform:
    """scipy.fft in place of cuFFT."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape

    def forward(self, stream: Stream, reals: DeviceMemory, half_spectrum: DeviceMemory) -> None:
        assert isinstance(stream, HostStream)
        assert isinstance(reals, HostMemory)
        assert isinstance(half_spectrum, HostMemory)
        height, width = self._shape
        source = reals.view(np.float32, self._shape)
        target = half_spectrum.view(np.complex64, (height, width // 2 + 1))
        stream.enqueue(lambda: np.copyto(target, scipy.fft.rfft2(source)))

    def inverse(self, stream: Stream, spectrum: DeviceMemory, field: DeviceMemory) -> None:
        assert isinstance(stream, HostStream)
        assert isinstance(spectrum, HostMemory)
        assert isinstance(field, HostMemory)
        source, target = (memory.view(np.complex64, self._shape) for memory in (spectrum, field))
        stream.enqueue(lambda: np.copyto(target, scipy.fft.ifft2(source, norm="forward")))
