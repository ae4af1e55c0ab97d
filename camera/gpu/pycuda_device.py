"""A CUDA device through PyCUDA. The only file that imports it; `camera.gpu.cuda_device.open_device` is the way in."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import numpy as np
import pycuda
import pycuda.driver as cu
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
from qpi_live.camera.gpu.base_device import NON_BLOCKING, BaseDevice, check_fits, own, under
from qpi_live.camera.gpu.cuda_driver import LaunchableGraph, reset_first_device


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


class PyCudaMemory:
    """`DeviceMemory`; also freed when nobody holds it any more."""

    def __init__(self, context: _Context, nbytes: int) -> None:
        with context:
            allocation = cu.mem_alloc(nbytes)
        self.pointer = int(allocation)
        self.nbytes = nbytes
        self._give_back = weakref.finalize(self, under, context, allocation.free)

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
            return float(self.event.time_since(own(PyCudaEvent, earlier).event))


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
        weakref.finalize(self, under, context, graph.free)

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
            stream = cu.Stream(NON_BLOCKING)
        self.handle = int(stream.handle)
        self._only = [stream]  # emptied under the context, since a stream ends only with its last reference
        weakref.finalize(self, under, context, self._only.clear)

    def upload(self, source: Array, target: DeviceMemory) -> None:
        """See `Stream.upload`."""
        check_fits(source, target)
        with self._context:
            cu.memcpy_htod_async(target.pointer, source, self._only[0])

    def download(self, source: DeviceMemory, target: Array) -> None:
        """See `Stream.download`."""
        check_fits(target, source)
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
            own(PyCudaKernel, kernel).function(*values, grid=grid, block=block, stream=self._only[0])

    def record(self) -> Event:
        """See `Stream.record`."""
        event = PyCudaEvent(self._context, self._unused_events)
        with self._context:
            event.event.record(self._only[0])
        return event

    def wait_for(self, event: Event) -> None:
        """See `Stream.wait_for`."""
        with self._context:
            self._only[0].wait_for_event(own(PyCudaEvent, event).event)

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        with self._context:
            return PyCudaGraph(self._context, LaunchableGraph(self.handle, work))

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        with self._context:
            self._only[0].synchronize()  # without the interpreter's lock


class PyCudaDevice(BaseDevice):
    """`Device`: the first GPU, in its primary context, which other libraries of this process share.

    Raises:
        DeviceUnavailable: no GPU that works.
    """

    def __init__(self) -> None:
        self._context = _Context()
        device = self._context.device
        with self._context:
            identity = DeviceIdentity(
                name=str(device.name()),
                compute_capability=device.compute_capability(),
                memory_bytes=int(device.total_memory()),
                runtime=_runtime(),
            )
        super().__init__(self._context, identity)
        self._unused_events: deque[cu.Event] = deque()

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Device.allocate`."""
        return PyCudaMemory(self._context, nbytes)

    def stream(self) -> Stream:
        """See `Device.stream`."""
        return PyCudaStream(self._context, self._unused_events)

    def _load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Kernel]:
        module = cu.module_from_buffer(cubin)
        return {name: PyCudaKernel(name, module.get_function(name)) for name in names}

    def _let_go(self) -> None:
        self._unused_events.clear()


def _runtime() -> str:
    major, minor, _ = cu.get_version()
    newest = cu.get_driver_version()
    return f"PyCUDA {pycuda.VERSION_TEXT}, CUDA {major}.{minor}, driver for CUDA {newest // 1000}.{newest % 1000 // 10}"
