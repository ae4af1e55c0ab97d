"""A `camera.device.Device` that runs the kernels' own source on the host, so that all but the driver is tested.

`.cu` files are compiled with g++ and `cuda_shim/cuda_on_host.h`. What a GPU would do wrong quietly is refused or made
visible here: memory is handed out full of rubbish and written past its end is noticed, arguments are checked against
the kernel's own, memory that was freed is not taken.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import platformdirs
import pytest
import scipy.fft
from numpy.typing import NDArray
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceIdentity,
    DeviceLost,
    DeviceMemory,
    DeviceOutOfMemory,
    Dim3,
    Event,
    Graph,
    Kernel,
    KernelArgument,
    Stream,
)

_SHIM = Path(__file__).parent / "cuda_shim" / "cuda_on_host.h"
_ORDERS = ("forward", "backward", "scattered")
_RUBBISH = 0xCB
_GUARD_BYTES = 256
_FLAGS = ("-x", "c++", "-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing")
_QUIET_FLAGS = (
    "-fno-math-errno",
    "-U_FORTIFY_SOURCE",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-sign-compare",
    "-pthread",
)


def needs_compiler() -> None:
    """Skip the test where there is no C++ compiler."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ to run CUDA kernels on the host")


class HostMemory:
    """`DeviceMemory` in the host's own, with a guard behind it."""

    def __init__(self, nbytes: int, device: HostDevice) -> None:
        self.nbytes = nbytes
        self.device = device
        self._bytes = np.full(nbytes + 2 * _GUARD_BYTES, _RUBBISH, np.uint8)
        self._start = -self._bytes.ctypes.data % _GUARD_BYTES  # as aligned as cudaMalloc's
        self._freed = False

    @property
    def pointer(self) -> int:
        if self._freed:
            raise DeviceError("expected device memory, got some that was freed")
        return int(self._bytes.ctypes.data) + self._start

    def view(self, dtype: Any = np.uint8, shape: tuple[int, ...] | None = None) -> Array:
        """What stands there now, as an array on the very memory: for tests, which may look where hosts cannot."""
        if self._freed:
            raise DeviceError("expected device memory, got some that was freed")
        whole = self._bytes[self._start : self._start + self.nbytes]
        if shape is None:
            return np.asarray(whole.view(dtype))
        return np.asarray(whole[: int(np.prod(shape)) * np.dtype(dtype).itemsize].view(dtype).reshape(shape))

    def free(self) -> None:
        if not self._freed:
            self.check_guard()
            self._freed = True
            self.device.forget(self)

    def check_guard(self) -> None:
        """Raise if a kernel wrote behind the end."""
        guard = self._bytes[self._start + self.nbytes : self._start + self.nbytes + _GUARD_BYTES - 1]
        if not (guard == _RUBBISH).all():
            raise DeviceError(f"a kernel wrote behind the end of {self.nbytes} bytes of device memory")


class HostKernel:
    """A compiled kernel and the kinds of its arguments."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name = name
        self._launch = getattr(library, f"launch_{name}")
        count = ctypes.c_uint.in_dll(library, f"count_{name}").value
        self._kinds = list((ctypes.c_uint * count).in_dll(library, f"kinds_{name}")) if count else []

    def prepare(
        self, grid: Dim3, block: Dim3, arguments: tuple[KernelArgument, ...], order: int, threads: int
    ) -> Callable[[], None]:
        """Check what a driver would not, and give the call that runs the grid."""
        if len(arguments) != len(self._kinds):
            raise DeviceError(f"{self.name}: expected {len(self._kinds)} arguments, got {len(arguments)}")
        if np.prod(block) > 1024 or min(*grid, *block) < 1 or max(grid[1:]) > 65535:
            raise DeviceError(f"{self.name}: no device takes a grid of {grid} with blocks of {block}")
        for number, (kind, argument) in enumerate(zip(self._kinds, arguments, strict=True)):
            if _kind(argument) != kind:
                raise DeviceError(f"{self.name}: argument {number} is {type(argument).__name__}, which is not its type")
        values = [_value(argument) for argument in arguments]
        addresses = (ctypes.c_void_p * max(len(values), 1))(*[ctypes.addressof(value) for value in values])
        dims = (ctypes.c_uint * 6)(*grid, *block)

        def run() -> None:
            for argument in arguments:
                if isinstance(argument, HostMemory):
                    _ = argument.pointer  # freed meanwhile?
            _ = values  # must outlive the call
            self._launch(dims, order, threads, addresses)

        return run


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
        self.enqueue(lambda: np.copyto(target.view()[: source.nbytes], source.reshape(-1).view(np.uint8)))

    def download(self, source: DeviceMemory, target: Array) -> None:
        assert isinstance(source, HostMemory)
        if not (target.flags.c_contiguous and target.flags.writeable) or target.nbytes > source.nbytes:
            raise DeviceError(f"expected a writeable array of at most {source.nbytes} bytes, got {target.nbytes}")
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


class HostDevice:
    """A device without a GPU.

    Args:
        order: in which order blocks and threads run: `forward`, `backward` or `scattered`. What a kernel computes must
            not depend on it.
        threads: of the host, among which blocks are shared.
        lazy: let streams do nothing until somebody waits, so that a missing wait shows.
        memory_bytes: how much there is to allocate.
    """

    def __init__(
        self, order: str = "forward", threads: int = 1, lazy: bool = False, memory_bytes: int = 4 * 2**30
    ) -> None:
        self.identity = DeviceIdentity("host", (0, 0), memory_bytes, "g++")
        self.order = _ORDERS.index(order)
        self.threads = threads
        self.lazy = lazy
        self.lock = RLock()
        self.launches: list[str] = []  # names of the kernels that were launched, captured ones once
        self.allocations = 0  # how often memory was allocated
        self._memory: list[HostMemory] = []
        self._kernels: dict[tuple[Path, tuple[tuple[str, int], ...]], Mapping[str, Kernel]] = {}
        self._fault: DeviceError | None = None
        self._losing_kernel: str | None = None

    def fail(self, error: DeviceError | None) -> None:
        """Let everything raise `error` from now on; None: work again."""
        self._fault = error

    def lose(self) -> None:
        """Fall off the bus."""
        self.fail(DeviceLost("expected a device, got none: it fell off the bus"))

    def lose_at_launch(self, kernel: str) -> None:
        """Fall off the bus when the kernel of that name runs next."""
        self._losing_kernel = kernel

    @property
    def is_lost(self) -> bool:
        return isinstance(self._fault, DeviceLost)

    def check_launch(self, kernel: str) -> None:
        """Fall off the bus, if the test asked for it here."""
        if kernel == self._losing_kernel:
            self.lose()
        self.check()

    def check(self) -> None:
        """Raise what the test asked for."""
        if self._fault is not None:
            raise self._fault

    @property
    def allocated_bytes(self) -> int:
        """What is allocated at present."""
        return sum(memory.nbytes for memory in self._memory)

    def allocate(self, nbytes: int) -> HostMemory:
        self.check()
        with self.lock:
            if self.allocated_bytes + nbytes > self.identity.memory_bytes:
                raise DeviceOutOfMemory(f"expected {nbytes} free bytes of device memory, got fewer: use smaller frames")
            self.allocations += 1
            self._memory.append(HostMemory(nbytes, self))
            return self._memory[-1]

    def forget(self, memory: HostMemory) -> None:
        with self.lock:
            self._memory = [kept for kept in self._memory if kept is not memory]

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        self.check()
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8).fill(_RUBBISH)
        return array

    def page_lock(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        @contextmanager
        def locked() -> Iterator[None]:
            self.check()
            if memory.ctypes.data % 4096:
                raise DeviceError("expected page-aligned memory")
            yield

        return locked()

    def stream(self) -> HostStream:
        self.check()
        return HostStream(self)

    def kernels(self, source: Path, constants: Mapping[str, int] | None = None) -> Mapping[str, Kernel]:
        self.check()
        key = (source, tuple(sorted((constants or {}).items())))
        with self.lock:
            if key not in self._kernels:
                self._kernels[key] = _load(source, constants or {})
            return self._kernels[key]

    def field_transform(self, shape: tuple[int, int]) -> HostTransform:
        self.check()
        return HostTransform(shape)

    def close(self) -> None:
        for memory in self._memory:
            memory.check_guard()


def _kind(argument: KernelArgument) -> int:
    """The argument's size and what it is, as the generated wrapper states the kernel's."""
    if isinstance(argument, HostMemory):
        return ord("p") << 8 | 8
    if not isinstance(argument, np.generic):
        return 0
    return ord("f" if argument.dtype.kind == "f" else "i") << 8 | argument.dtype.itemsize


def _value(argument: KernelArgument) -> Any:
    if isinstance(argument, HostMemory):
        return ctypes.c_uint64(argument.pointer)
    assert isinstance(argument, np.generic)
    return (ctypes.c_char * argument.dtype.itemsize).from_buffer_copy(argument.tobytes())


def _load(source: Path, constants: Mapping[str, int]) -> Mapping[str, Kernel]:
    """Compile `source` with a launcher for each kernel, unless that was done before, and load it."""
    names = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)', source.read_text())
    wrapper = f'#include "{source}"\n' + "".join(
        f'extern "C" {{ unsigned count_{name} = host::kinds({name}).size() - 1;\n'
        f"decltype(host::kinds({name})) kinds_{name} = host::kinds({name});\n"
        f"void launch_{name}(const unsigned* dims, int order, int threads, void** arguments)"
        f" {{ host::launch({name}, dims, order, threads, arguments); }} }}\n"
        for name in names
    )
    macros = [f"-D{name}={value}" for name, value in sorted(constants.items())]
    texts = [wrapper, *macros, *_FLAGS, *_QUIET_FLAGS, _SHIM.read_text(), source.read_text()]
    texts += [header.read_text() for header in sorted(source.parent.glob("*.cuh"))]
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
    folder = Path(platformdirs.user_cache_dir("qpi-live")) / "host-kernels"
    library = folder / f"{source.stem}-{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(wrapper, macros, source, library)
    loaded = ctypes.CDLL(str(library))
    return {name: HostKernel(name, loaded) for name in names}


def _compile(wrapper: str, macros: list[str], source: Path, library: Path) -> None:
    half_done = library.with_name(f"{library.stem}-{time.monotonic_ns()}.part")
    command = ["g++", *_FLAGS, *_QUIET_FLAGS, *macros, f"-I{source.parent}", "-include", str(_SHIM), "-"]
    done = subprocess.run(
        [*command, "-o", str(half_done)], input=wrapper, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise DeviceError(f"{source.name} does not compile: {done.stderr}")
    half_done.replace(library)
