"""A CUDA device through PyCUDA. The only file that imports it; `camera.gpu.cuda_device.open_device` is the way in.

PyCUDA's objects clean up after themselves only in a thread that has their context current. So every call here makes it
current for its own length. Whatever must be given back is given back under it, whichever thread drops it.
"""

from __future__ import annotations

import re
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from mmap import mmap
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import pycuda
import pycuda.driver as cu
from numpy.typing import NDArray
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceIdentity,
    DeviceLost,
    DeviceMemory,
    DeviceOutOfMemory,
    DeviceUnavailable,
    Dim3,
    Event,
    Graph,
    Kernel,
    KernelArgument,
    Stream,
)
from qpi_live.camera.gpu.cuda_driver import LaunchableGraph, register_pages, reset_first_device, unregister_pages
from qpi_live.camera.gpu.cufft import CufftPlans, load_cufft
from qpi_live.camera.gpu.nvrtc import compile_cubin
from qpi_live.camera.gpu.page_locked import PageLockedPool

Thing = TypeVar("Thing")

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no other library's work on the default stream holds ours up
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\([^)]*\)\s+)?void\s+(\w+)')


class _Context:
    """The context, current within a `with`; CUDA's errors come out of it translated."""

    def __init__(self) -> None:
        self.is_lost = False
        try:
            cu.init()
            self.device = cu.Device(0)
            self._context = self.device.retain_primary_context()
            with self:
                cu.mem_get_info()
        except (cu.Error, DeviceError) as error:
            raise DeviceUnavailable(
                f"expected an NVIDIA GPU that works, got: {error}; `nvidia-smi` must list it "
                "(after a fault of the GPU, start the program again)"
            ) from error

    def __enter__(self) -> None:
        if self.is_lost:
            raise DeviceLost("expected the GPU, which was lost; it is opened again with the next frame")
        try:
            self._context.push()
        except cu.Error as error:
            self.is_lost = True
            raise DeviceLost(f"expected the GPU's context, got: {error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        translated = self._translated(error) if isinstance(error, cu.Error | DeviceError) else None
        try:
            cu.Context.pop()
        except cu.Error as failure:
            translated = translated or self._translated(failure)
        if translated is not None and translated is not error:
            raise translated from error

    def release(self) -> None:
        """Let go of the context; what still refers to it is dead from now on, and harmless."""
        was_lost, self.is_lost = self.is_lost, True
        try:
            self._context.detach()
            if was_lost:
                reset_first_device()
        except (cu.Error, DeviceError):  # the driver has given up on it already
            pass

    def _translated(self, error: cu.Error | DeviceError) -> DeviceError:
        if isinstance(error, cu.MemoryError):
            return DeviceOutOfMemory(f"expected free GPU memory, got: {error}; close what else uses the GPU")
        if isinstance(error, DeviceLost | DeviceOutOfMemory):
            return error
        try:
            cu.mem_get_info()  # after a fault every call fails, and goes on failing
        except cu.Error:
            self.is_lost = True
            return DeviceLost(f"expected the GPU to go on, got: {error}; everything on it is gone")
        return (
            error if isinstance(error, DeviceError) else DeviceError(f"expected the GPU to do its work, got: {error}")
        )


def _under(context: _Context, give_back: Callable[[], object]) -> None:
    """Give something back to the driver, from whichever thread dropped it."""
    try:
        with context:
            give_back()
    except DeviceError:  # lost, and what was on it with it
        pass


class PyCudaMemory:
    """`DeviceMemory`; also freed when nobody holds it any more."""

    def __init__(self, context: _Context, nbytes: int) -> None:
        with context:
            allocation = cu.mem_alloc(nbytes)
        self.pointer = int(allocation)
        self.nbytes = nbytes
        self._give_back = weakref.finalize(self, _under, context, allocation.free)

    def free(self) -> None:
        """See `DeviceMemory.free`. Waits for the work that the driver has, which may still use it."""
        self._give_back()


class PyCudaEvent:
    """`Event`; CUDA's own goes back to be used again, which spares two calls of the driver a time."""

    def __init__(self, context: _Context, unused: deque[cu.Event]) -> None:
        self._context = context
        self._unused = unused
        try:
            self.event = unused.popleft()
        except IndexError:
            with context:
                self.event = cu.Event()

    def __del__(self) -> None:
        event = getattr(self, "event", None)
        if event is not None:
            self._unused.append(event)

    def is_done(self) -> bool:
        """See `Event.is_done`."""
        with self._context:
            return bool(self.event.query())

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        with self._context:
            self.event.synchronize()  # without the interpreter's lock

    def ms_since(self, earlier: Event) -> float:
        """See `Event.ms_since`."""
        with self._context:
            return float(self.event.time_since(_own(PyCudaEvent, earlier).event))


class PyCudaKernel:
    """`Kernel`."""

    def __init__(self, name: str, function: cu.Function) -> None:
        self.name = name
        self.function = function


class PyCudaGraph:
    """`Graph`."""

    def __init__(self, context: _Context, graph: LaunchableGraph) -> None:
        self._context = context
        self._graph = graph
        weakref.finalize(self, _under, context, graph.free)

    def launch(self, stream: Stream) -> None:
        """See `Graph.launch`."""
        with self._context:
            self._graph.launch(stream.handle)


class PyCudaStream:
    """`Stream`."""

    def __init__(self, context: _Context, unused_events: deque[cu.Event]) -> None:
        self._context = context
        self._unused_events = unused_events
        with context:
            stream = cu.Stream(_NON_BLOCKING)
        self.handle = int(stream.handle)
        self._only = [stream]  # emptied under the context, since a stream ends only with its last reference
        weakref.finalize(self, _under, context, self._only.clear)

    def upload(self, source: Array, target: DeviceMemory) -> None:
        """See `Stream.upload`."""
        _check_fits(source, target)
        with self._context:
            cu.memcpy_htod_async(target.pointer, source, self._only[0])

    def download(self, source: DeviceMemory, target: Array) -> None:
        """See `Stream.download`."""
        _check_fits(target, source)
        with self._context:
            cu.memcpy_dtoh_async(target, source.pointer, self._only[0])

    def fill(self, target: DeviceMemory, byte: int) -> None:
        """See `Stream.fill`."""
        with self._context:
            cu.memset_d8_async(target.pointer, byte, target.nbytes, self._only[0])

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, *arguments: KernelArgument) -> None:
        """See `Stream.launch`."""
        values = [one if isinstance(one, np.generic) else np.uintp(one.pointer) for one in arguments]
        with self._context:
            _own(PyCudaKernel, kernel).function(*values, grid=grid, block=block, stream=self._only[0])

    def record(self) -> Event:
        """See `Stream.record`."""
        event = PyCudaEvent(self._context, self._unused_events)
        with self._context:
            event.event.record(self._only[0])
        return event

    def wait_for(self, event: Event) -> None:
        """See `Stream.wait_for`."""
        with self._context:
            self._only[0].wait_for_event(_own(PyCudaEvent, event).event)

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        with self._context:
            return PyCudaGraph(self._context, LaunchableGraph(self.handle, work))

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        with self._context:
            self._only[0].synchronize()  # without the interpreter's lock


class CufftTransform:
    """`FieldTransform`."""

    def __init__(self, context: _Context, shape: tuple[int, int]) -> None:
        self._context = context
        with context:
            self._plans = CufftPlans(load_cufft(), shape)
        weakref.finalize(self, _under, context, self._plans.free)

    def forward(self, stream: Stream, reals: DeviceMemory, half_spectrum: DeviceMemory) -> None:
        """See `FieldTransform.forward`."""
        with self._context:
            self._plans.forward(stream.handle, reals.pointer, half_spectrum.pointer)

    def inverse(self, stream: Stream, spectrum: DeviceMemory, field: DeviceMemory) -> None:
        """See `FieldTransform.inverse`."""
        with self._context:
            self._plans.inverse(stream.handle, spectrum.pointer, field.pointer)


class PyCudaDevice:
    """`Device`: the first GPU, in its primary context, which other libraries of this process share.

    Raises:
        DeviceUnavailable: no GPU that works.
    """

    def __init__(self) -> None:
        self._context = _Context()
        device = self._context.device
        with self._context:
            self.identity = DeviceIdentity(
                name=str(device.name()),
                compute_capability=device.compute_capability(),
                memory_bytes=int(device.total_memory()),
                runtime=_runtime(),
            )
        self._pool = PageLockedPool(self._allocate_locked, self._free_locked)
        self._unused_events: deque[cu.Event] = deque()
        self._kernels: dict[object, Mapping[str, Kernel]] = {}
        self._compiling = Lock()

    @property
    def is_lost(self) -> bool:
        """See `Device.is_lost`."""
        return self._context.is_lost

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Device.allocate`."""
        return PyCudaMemory(self._context, nbytes)

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """See `Device.page_locked`. An array of a size that was given back costs microseconds."""
        return self._pool.array(shape, dtype)

    def page_lock(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """See `Device.page_lock`."""
        return self._page_locked(memory)

    def stream(self) -> Stream:
        """See `Device.stream`."""
        return PyCudaStream(self._context, self._unused_events)

    def kernels(self, source: Path, constants: Mapping[str, int] | None = None) -> Mapping[str, Kernel]:
        """See `Device.kernels`."""
        key = (source, tuple(sorted((constants or {}).items())))
        with self._compiling:
            if key not in self._kernels:
                cubin = compile_cubin(source, self.identity.compute_capability, constants)
                names = _KERNEL.findall(source.read_text(encoding="utf-8"))
                with self._context:
                    module = cu.module_from_buffer(cubin)
                    self._kernels[key] = {name: PyCudaKernel(name, module.get_function(name)) for name in names}
            return self._kernels[key]

    def field_transform(self, shape: tuple[int, int]) -> CufftTransform:
        """See `Device.field_transform`."""
        return CufftTransform(self._context, shape)

    def close(self) -> None:
        """See `Device.close`."""
        if not self.is_lost:
            self._pool.close()
            _under(self._context, self._let_go)
        self._context.release()

    def _let_go(self) -> None:
        self._kernels.clear()
        self._unused_events.clear()

    def _allocate_locked(self, nbytes: int) -> NDArray[np.uint8]:
        # Our own memory, locked, and not the driver's: who holds a phase may read it after the device was lost.
        block = np.frombuffer(mmap(-1, nbytes), np.uint8)
        with self._context:
            register_pages(block)
        return block

    def _free_locked(self, block: NDArray[np.uint8]) -> None:
        _under(self._context, partial(unregister_pages, block))

    @contextmanager
    def _page_locked(self, memory: NDArray[np.uint8]) -> Iterator[None]:
        with self._context:
            register_pages(memory)
        try:
            yield
        finally:
            with self._context:
                unregister_pages(memory)


def _own(kind: type[Thing], thing: object) -> Thing:
    """`thing`, which must be of this device's own `kind`."""
    if not isinstance(thing, kind):
        raise DeviceError(f"expected a {kind.__name__}, got {type(thing).__name__}, which is another device's")
    return thing


def _check_fits(array: Array, memory: DeviceMemory) -> None:
    if not array.flags.c_contiguous or array.nbytes > memory.nbytes:
        raise DeviceError(f"expected a C-contiguous array of at most {memory.nbytes} bytes, got {array.nbytes}")


def _runtime() -> str:
    major, minor, _ = cu.get_version()
    newest = cu.get_driver_version()
    return f"PyCUDA {pycuda.VERSION_TEXT}, CUDA {major}.{minor}, driver for CUDA {newest // 1000}.{newest % 1000 // 10}"
