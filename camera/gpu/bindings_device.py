"""A CUDA device through NVIDIA's own binding of the driver, which comes as wheels: nothing is compiled to install it.

`camera.gpu.cuda_device.open_device` is the way in.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from types import TracebackType

import numpy as np
from cuda.bindings import driver
from cuda.pathfinder import DynamicLibNotFoundError
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
from qpi_live.camera.gpu.cuda_driver import LaunchableGraph, done, reset_first_device

_LONGEST_NAME = 256
_MAJOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_MINOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR


class _Context:
    """`CurrentContext` of a binding that raises nothing itself: `done` turns the driver's status into errors."""

    def __init__(self) -> None:
        self.is_lost = False
        try:
            done(driver.cuInit(0))
            (self.device,) = done(driver.cuDeviceGet(0))
            (self._context,) = done(driver.cuDevicePrimaryCtxRetain(self.device))
            with self:
                done(driver.cuMemGetInfo())
        except (DynamicLibNotFoundError, RuntimeError) as error:  # RuntimeError: `DeviceError`, or no such function
            why = "no driver" if isinstance(error, DynamicLibNotFoundError) else str(error)
            raise DeviceUnavailable(
                f"expected an NVIDIA GPU that works, got: {why}; `nvidia-smi` must list it "
                "(after a fault of the GPU, start the program again)"
            ) from error

    def __enter__(self) -> None:
        if self.is_lost:
            raise DeviceLost("expected the GPU, which was lost; it is opened again with the next frame")
        try:
            done(driver.cuCtxPushCurrent(self._context))
        except DeviceError as error:
            self.is_lost = True
            raise DeviceLost(f"expected the GPU's context, got: {error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        translated = self._translated(error) if isinstance(error, DeviceError) else None
        try:
            done(driver.cuCtxPopCurrent())
        except DeviceError as failure:
            translated = translated or self._translated(failure)
        if translated is not None and translated is not error:
            raise translated from error

    def release(self) -> None:
        """See `CurrentContext.release`."""
        was_lost, self.is_lost = self.is_lost, True
        try:
            done(driver.cuDevicePrimaryCtxRelease(self.device))
            if was_lost:
                reset_first_device()
        except DeviceError:  # the driver has given up on it already
            pass

    def _translated(self, error: DeviceError) -> DeviceError:
        if isinstance(error, DeviceOutOfMemory):
            return DeviceOutOfMemory(f"{error}; close what else uses the GPU")
        if isinstance(error, DeviceLost):
            return error
        try:
            done(driver.cuMemGetInfo())  # after a fault every call fails, and goes on failing
        except DeviceError:
            self.is_lost = True
            return DeviceLost(f"expected the GPU to go on, got: {error}; everything on it is gone")
        return error


class BindingsMemory:
    """`DeviceMemory`; also freed when nobody holds it any more."""

    def __init__(self, context: _Context, nbytes: int) -> None:
        with context:
            (self._address,) = done(driver.cuMemAlloc(nbytes))
        self.pointer = int(self._address)
        self.nbytes = nbytes
        self._give_back = weakref.finalize(self, under, context, partial(driver.cuMemFree, self._address))

    def free(self) -> None:
        """See `DeviceMemory.free`. Waits for the work that the driver has, which may still use it."""
        self._give_back()


class BindingsEvent:
    """`Event`; CUDA's own goes back to be used again, which spares two calls of the driver a time."""

    def __init__(self, context: _Context, unused: deque[driver.CUevent]) -> None:
        self._context = context
        self._unused = unused
        try:
            self.event = unused.popleft()
        except IndexError:
            with context:
                (self.event,) = done(driver.cuEventCreate(0))

    def __del__(self) -> None:
        event = getattr(self, "event", None)
        if event is not None:
            self._unused.append(event)

    def is_done(self) -> bool:
        """See `Event.is_done`."""
        with self._context:
            (status,) = driver.cuEventQuery(self.event)
            if status == driver.CUresult.CUDA_ERROR_NOT_READY:
                return False
            done((status,))
            return True

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        with self._context:
            done(driver.cuEventSynchronize(self.event))  # without the interpreter's lock

    def ms_since(self, earlier: Event) -> float:
        """See `Event.ms_since`."""
        with self._context:
            (took_ms,) = done(driver.cuEventElapsedTime(own(BindingsEvent, earlier).event, self.event))
        return float(took_ms)


class BindingsKernel:
    """`Kernel`."""

    def __init__(self, name: str, function: driver.CUfunction) -> None:
        self.name = name
        self.function = function


class BindingsGraph:
    """`Graph`."""

    def __init__(self, context: _Context, graph: LaunchableGraph) -> None:
        self._context = context
        self._graph = graph
        weakref.finalize(self, under, context, graph.free)

    def launch(self, stream: Stream) -> None:
        """See `Graph.launch`."""
        with self._context:
            self._graph.launch(stream.handle)


class BindingsStream:
    """`Stream`."""

    def __init__(self, context: _Context, unused_events: deque[driver.CUevent]) -> None:
        self._context = context
        self._unused_events = unused_events
        with context:
            (self._stream,) = done(driver.cuStreamCreate(NON_BLOCKING))
        self.handle = int(self._stream)
        weakref.finalize(self, under, context, partial(driver.cuStreamDestroy, self._stream))

    def upload(self, source: Array, target: DeviceMemory) -> None:
        """See `Stream.upload`."""
        check_fits(source, target)
        with self._context:
            done(driver.cuMemcpyHtoDAsync(target.pointer, _address(source), source.nbytes, self._stream))

    def download(self, source: DeviceMemory, target: Array) -> None:
        """See `Stream.download`."""
        check_fits(target, source)
        if not target.flags.writeable:
            raise DeviceError("expected a writeable array to copy to, got a read-only one")
        with self._context:
            done(driver.cuMemcpyDtoHAsync(_address(target), source.pointer, target.nbytes, self._stream))

    def fill(self, target: DeviceMemory, byte: int) -> None:
        """See `Stream.fill`."""
        with self._context:
            done(driver.cuMemsetD8Async(target.pointer, byte, target.nbytes, self._stream))

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, *arguments: KernelArgument) -> None:
        """See `Stream.launch`."""
        function = own(BindingsKernel, kernel).function
        values = [np.array(one if isinstance(one, np.generic) else np.uint64(one.pointer)) for one in arguments]
        places = (ctypes.c_void_p * len(values))(*map(_address, values))  # the driver copies the values in the call
        with self._context:
            done(driver.cuLaunchKernel(function, *grid, *block, 0, self._stream, ctypes.addressof(places), 0))

    def record(self) -> Event:
        """See `Stream.record`."""
        event = BindingsEvent(self._context, self._unused_events)
        with self._context:
            done(driver.cuEventRecord(event.event, self._stream))
        return event

    def wait_for(self, event: Event) -> None:
        """See `Stream.wait_for`."""
        with self._context:
            done(driver.cuStreamWaitEvent(self._stream, own(BindingsEvent, event).event, 0))

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        with self._context:
            return BindingsGraph(self._context, LaunchableGraph(self.handle, work))

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        with self._context:
            done(driver.cuStreamSynchronize(self._stream))  # without the interpreter's lock


class BindingsDevice(BaseDevice):
    """`Device`: the first GPU, in its primary context, which other libraries of this process share.

    Raises:
        DeviceUnavailable: no driver, or no GPU that works.
    """

    def __init__(self) -> None:
        self._context = _Context()
        with self._context:
            identity = _identity(self._context.device)
        super().__init__(self._context, identity)
        self._unused_events: deque[driver.CUevent] = deque()
        self._modules: list[driver.CUmodule] = []

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Device.allocate`."""
        return BindingsMemory(self._context, nbytes)

    def stream(self) -> Stream:
        """See `Device.stream`."""
        return BindingsStream(self._context, self._unused_events)

    def _load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Kernel]:
        (module,) = done(driver.cuModuleLoadData(cubin))
        self._modules.append(module)
        return {name: BindingsKernel(name, *done(driver.cuModuleGetFunction(module, name.encode()))) for name in names}

    def _let_go(self) -> None:
        while self._unused_events:
            driver.cuEventDestroy(self._unused_events.popleft())
        while self._modules:
            driver.cuModuleUnload(self._modules.pop())


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _identity(device: driver.CUdevice) -> DeviceIdentity:
    (name,) = done(driver.cuDeviceGetName(_LONGEST_NAME, device))
    major, minor = (done(driver.cuDeviceGetAttribute(which, device))[0] for which in (_MAJOR, _MINOR))
    (newest,) = done(driver.cuDriverGetVersion())
    return DeviceIdentity(
        name=name.split(b"\0")[0].decode(),
        compute_capability=(int(major), int(minor)),
        memory_bytes=int(done(driver.cuDeviceTotalMem(device))[0]),
        runtime=f"cuda-bindings {version('cuda-bindings')}, driver for CUDA {newest // 1000}.{newest % 1000 // 10}",
    )
