"""The `Device` protocol: memory, streams, events and kernels for the GPU line. No driver is imported here.

`camera.gpu.cuda_device` opens a CUDA device, which NVIDIA's own binding drives, or PyCUDA. The tests run the same line
on a device that executes the kernels' own source on the host. They run the binding on a stand-in for the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Dim3 = tuple[int, int, int]


class DeviceError(RuntimeError):
    """The device cannot do what was asked. The text says what happened, then what to do.

    `reason` is the short, stable name that frames lost to it are counted under.
    """

    reason = "device failed"


class DeviceUnavailable(DeviceError):
    """There is no such device here, or what drives it is not installed."""


class DeviceOutOfMemory(DeviceError):
    """The device has no memory left for this; what was allocated before still stands."""

    reason = "device out of memory"


class DeviceLost(DeviceError):
    """Everything on the device is gone: it fell off the bus, was reset, or a kernel faulted. Open it again."""

    reason = "device lost"


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Which device this is.

    Attributes:
        name: the vendor's name for it.
        compute_capability: (major, minor).
        memory_bytes: of all its memory.
        runtime: what drives it, with versions.
    """

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    runtime: str


class DeviceMemory(Protocol):
    """A piece of device memory, until `free`."""

    @property
    def pointer(self) -> int:
        """Its address on the device."""

    @property
    def nbytes(self) -> int:
        """How large it is."""

    def free(self) -> None:
        """Give it back. Doing it twice is harmless."""


class Event(Protocol):
    """A point in a stream's work."""

    def is_done(self) -> bool:
        """Whether the device has passed it."""

    def synchronize(self) -> None:
        """Wait until the device has passed it, letting other Python threads run.

        Raises:
            DeviceLost: it never will.
        """

    def ms_since(self, earlier: Event) -> float:
        """Device time between two points that were passed, in ms."""


class Graph(Protocol):
    """A stretch of stream work that was recorded once and is launched as one."""

    def launch(self, stream: Stream) -> None:
        """Enqueue it all."""


class Stream(Protocol):
    """A queue of device work, done in order. Every method returns at once; arrays must outlive the work on them."""

    @property
    def handle(self) -> int:
        """The driver's handle, for libraries that enqueue work themselves."""

    def upload(self, source: Array, target: DeviceMemory) -> None:
        """Copy a C-contiguous host array to the start of `target`; asynchronous if the array is page-locked."""

    def download(self, source: DeviceMemory, target: Array) -> None:
        """Copy the start of `source` to a C-contiguous, writeable host array; asynchronous likewise."""

    def fill(self, target: DeviceMemory, byte: int) -> None:
        """Set every byte."""

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, *arguments: KernelArgument) -> None:
        """Run a kernel. The order is CUDA's: (x, y, z)."""

    def record(self) -> Event:
        """An event behind all work so far. One that was recorded in a capture has no time."""

    def wait_for(self, event: Event) -> None:
        """Let further work begin only when `event`, of any stream, is passed."""

    def capture(self, work: Callable[[], None]) -> Graph:
        """What `work` enqueues on this stream, as a graph; nothing runs yet."""

    def synchronize(self) -> None:
        """Wait for all work so far, letting other Python threads run.

        Raises:
            DeviceLost: it will never be done.
        """


class Kernel(Protocol):
    """A compiled `__global__` function."""

    @property
    def name(self) -> str:
        """Its name in the source."""


KernelArgument = DeviceMemory | np.generic
"""Memory is passed as its pointer, a NumPy scalar by value with its own size (`np.int32(3)`, `np.float32(0.5)`)."""


class FieldTransform(Protocol):
    """Fourier transforms of (H, W) fields; unnormalised, as cuFFT's and FFTW's are.

    Complex values are pairs of float32. The half spectrum of (H, W) reals is (H, W // 2 + 1).
    """

    def forward(self, stream: Stream, reals: DeviceMemory, half_spectrum: DeviceMemory) -> None:
        """(H, W) float32 to (H, W // 2 + 1) complex64, exp(−2πi …)."""

    def inverse(self, stream: Stream, spectrum: DeviceMemory, field: DeviceMemory) -> None:
        """(H, W) complex64 to (H, W) complex64, exp(+2πi …), without the 1/(H·W). The two may be the same memory."""


class Device(Protocol):
    """One device. Methods may be called from any thread; streams and their work belong to one thread at a time."""

    @property
    def identity(self) -> DeviceIdentity:
        """Which device this is."""

    @property
    def is_lost(self) -> bool:
        """Whether everything on it is gone, so that it must be opened again."""

    def allocate(self, nbytes: int) -> DeviceMemory:
        """Device memory, contents undefined.

        Raises:
            DeviceOutOfMemory: there is not so much.
        """

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A C-contiguous page-locked host array, given back when its last view is gone."""

    def page_lock(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """Page-lock page-aligned memory that somebody else owns, until the context ends."""

    def stream(self) -> Stream:
        """A new stream."""

    def kernels(self, source: Path, constants: Mapping[str, int] | None = None) -> Mapping[str, Kernel]:
        """The kernels of a `.cu` file by name, compiled for this device on first use and kept.

        Args:
            source: the file; its `extern "C" __global__` functions are the kernels.
            constants: macros to define.

        Raises:
            DeviceError: the source does not compile; the text has the compiler's words.
        """

    def field_transform(self, shape: tuple[int, int]) -> FieldTransform:
        """Transforms of (H, W) fields."""

    def close(self) -> None:
        """Let go of everything; for whoever made it. Engines and queues share a device and leave it open.

        Doing it twice is harmless.
        """
