"""NVIDIA's own binding of the driver, which comes as wheels: nothing is compiled to install it.

`camera.gpu.cuda_device.open_device` is the way in.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from cuda.bindings import driver
from cuda.pathfinder import DynamicLibNotFoundError
from qpi_live.camera.device import Array, DeviceIdentity, DeviceUnavailable, Dim3
from qpi_live.camera.gpu.base_device import BaseDevice
from qpi_live.camera.gpu.binding import NO_GPU, NON_BLOCKING, Binding
from qpi_live.camera.gpu.cuda_driver import done

_LONGEST_NAME = 256
_MAJOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_MINOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR


class BindingsDevice(BaseDevice):
    """`Device`: the first GPU, through NVIDIA's binding.

    Raises:
        DeviceUnavailable: no driver, or no GPU that works.
    """

    def __init__(self) -> None:
        super().__init__(_NvidiaBinding())


class _NvidiaBinding(Binding):
    """`Binding` that raises nothing itself: `done` turns the driver's status into errors."""

    def __init__(self) -> None:
        super().__init__()
        self._modules: list[driver.CUmodule] = []
        try:
            done(driver.cuInit(0))
            (self._device,) = done(driver.cuDeviceGet(0))
            (self._context,) = done(driver.cuDevicePrimaryCtxRetain(self._device))
            with self:
                self.check()
        except (DynamicLibNotFoundError, RuntimeError) as error:  # RuntimeError: `DeviceError`, or no such function
            why = "no driver" if isinstance(error, DynamicLibNotFoundError) else str(error)
            raise DeviceUnavailable(NO_GPU.format(why)) from error

    def _push(self) -> None:
        done(driver.cuCtxPushCurrent(self._context))

    def _pop(self) -> None:
        done(driver.cuCtxPopCurrent())

    def _let_go(self) -> None:
        done(driver.cuDevicePrimaryCtxRelease(self._device))

    def check(self) -> None:
        done(driver.cuMemGetInfo())

    def identity(self) -> DeviceIdentity:
        (name,) = done(driver.cuDeviceGetName(_LONGEST_NAME, self._device))
        major, minor = (done(driver.cuDeviceGetAttribute(which, self._device))[0] for which in (_MAJOR, _MINOR))
        (newest,) = done(driver.cuDriverGetVersion())
        return DeviceIdentity(
            name=name.split(b"\0")[0].decode(),
            compute_capability=(int(major), int(minor)),
            memory_bytes=int(done(driver.cuDeviceTotalMem(self._device))[0]),
            runtime=f"cuda-bindings {version('cuda-bindings')}, driver for CUDA {newest // 1000}.{newest % 1000 // 10}",
        )

    def allocate(self, nbytes: int) -> Any:
        return done(driver.cuMemAlloc(nbytes))[0]

    def free(self, allocation: Any) -> None:
        driver.cuMemFree(allocation)

    def load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Any]:
        (module,) = done(driver.cuModuleLoadData(cubin))
        self._modules.append(module)
        return {name: done(driver.cuModuleGetFunction(module, name.encode()))[0] for name in names}

    def unload(self, unused_events: deque[Any]) -> None:
        while unused_events:
            driver.cuEventDestroy(unused_events.popleft())
        while self._modules:
            driver.cuModuleUnload(self._modules.pop())

    def make_stream(self) -> list[Any]:
        return list(done(driver.cuStreamCreate(NON_BLOCKING)))

    def handle_of(self, stream: list[Any]) -> int:
        return int(stream[0])

    def end_stream(self, stream: list[Any]) -> None:
        driver.cuStreamDestroy(stream.pop())

    def upload(self, source: Array, address: int, stream: list[Any]) -> None:
        done(driver.cuMemcpyHtoDAsync(address, _address(source), source.nbytes, stream[0]))

    def download(self, address: int, target: Array, stream: list[Any]) -> None:
        done(driver.cuMemcpyDtoHAsync(_address(target), address, target.nbytes, stream[0]))

    def fill(self, address: int, byte: int, nbytes: int, stream: list[Any]) -> None:
        done(driver.cuMemsetD8Async(address, byte, nbytes, stream[0]))

    def launch(self, function: Any, grid: Dim3, block: Dim3, values: Sequence[np.generic], stream: list[Any]) -> None:
        arrays = [np.array(value) for value in values]
        places = (ctypes.c_void_p * len(arrays))(*map(_address, arrays))  # the driver copies the values in the call
        done(driver.cuLaunchKernel(function, *grid, *block, 0, stream[0], ctypes.addressof(places), 0))

    def wait_for_stream(self, stream: list[Any]) -> None:
        done(driver.cuStreamSynchronize(stream[0]))

    def make_event(self) -> Any:
        return done(driver.cuEventCreate(0))[0]

    def record(self, event: Any, stream: list[Any]) -> None:
        done(driver.cuEventRecord(event, stream[0]))

    def hold_for(self, event: Any, stream: list[Any]) -> None:
        done(driver.cuStreamWaitEvent(stream[0], event, 0))

    def has_passed(self, event: Any) -> bool:
        (status,) = driver.cuEventQuery(event)
        if status == driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        done((status,))
        return True

    def wait_for_event(self, event: Any) -> None:
        done(driver.cuEventSynchronize(event))

    def ms_between(self, earlier: Any, later: Any) -> float:
        return float(done(driver.cuEventElapsedTime(earlier, later))[0])


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
