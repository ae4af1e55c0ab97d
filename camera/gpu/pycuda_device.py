"""PyCUDA's binding of the driver. The only file that imports it; `camera.gpu.cuda_device.open_device` is the way in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycuda
import pycuda.driver as cu
from qpi_live.camera.device import Array, DeviceError, DeviceIdentity, DeviceUnavailable, Dim3
from qpi_live.camera.gpu.base_device import BaseDevice
from qpi_live.camera.gpu.binding import NO_GPU, NON_BLOCKING, Binding


class PyCudaDevice(BaseDevice):
    """`Device`: the first GPU, through PyCUDA.

    Raises:
        DeviceUnavailable: no GPU that works.
    """

    def __init__(self) -> None:
        super().__init__(_PyCudaBinding())


class _PyCudaBinding(Binding):
    """`Binding`; graphs, page-locking and the reset go through NVIDIA's, as for every device."""

    errors = (cu.Error, DeviceError)

    def __init__(self) -> None:
        super().__init__()
        try:
            cu.init()
            self._device = cu.Device(0)
            self._context = self._device.retain_primary_context()
            with self:
                self.check()
        except self.errors as error:
            raise DeviceUnavailable(NO_GPU.format(error)) from error

    def _is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, cu.MemoryError) or super()._is_out_of_memory(error)

    def _push(self) -> None:
        self._context.push()

    def _pop(self) -> None:
        cu.Context.pop()

    def _let_go(self) -> None:
        self._context.detach()

    def check(self) -> None:
        cu.mem_get_info()

    def identity(self) -> DeviceIdentity:
        major, minor, _ = cu.get_version()
        newest = cu.get_driver_version()
        return DeviceIdentity(
            name=str(self._device.name()),
            compute_capability=self._device.compute_capability(),
            memory_bytes=int(self._device.total_memory()),
            runtime=f"PyCUDA {pycuda.VERSION_TEXT}, CUDA {major}.{minor}, "
            f"driver for CUDA {newest // 1000}.{newest % 1000 // 10}",
        )

    def allocate(self, nbytes: int) -> Any:
        return cu.mem_alloc(nbytes)

    def free(self, allocation: Any) -> None:
        allocation.free()

    def load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Any]:
        module = cu.module_from_buffer(cubin)
        return {name: module.get_function(name) for name in names}

    def unload(self, unused_events: deque[Any]) -> None:
        unused_events.clear()

    def make_stream(self) -> list[Any]:
        return [cu.Stream(NON_BLOCKING)]

    def handle_of(self, stream: list[Any]) -> int:
        return int(stream[0].handle)

    def end_stream(self, stream: list[Any]) -> None:
        stream.clear()  # a stream ends with its last reference

    def upload(self, source: Array, address: int, stream: list[Any]) -> None:
        cu.memcpy_htod_async(address, source, stream[0])

    def download(self, address: int, target: Array, stream: list[Any]) -> None:
        cu.memcpy_dtoh_async(target, address, stream[0])

    def fill(self, address: int, byte: int, nbytes: int, stream: list[Any]) -> None:
        cu.memset_d8_async(address, byte, nbytes, stream[0])

    def launch(self, function: Any, grid: Dim3, block: Dim3, values: Sequence[np.generic], stream: list[Any]) -> None:
        function(*values, grid=grid, block=block, stream=stream[0])

    def wait_for_stream(self, stream: list[Any]) -> None:
        stream[0].synchronize()

    def make_event(self) -> Any:
        return cu.Event()

    def record(self, event: Any, stream: list[Any]) -> None:
        event.record(stream[0])

    def hold_for(self, event: Any, stream: list[Any]) -> None:
        stream[0].wait_for_event(event)

    def has_passed(self, event: Any) -> bool:
        return bool(event.query())

    def wait_for_event(self, event: Any) -> None:
        event.synchronize()

    def ms_between(self, earlier: Any, later: Any) -> float:
        return float(later.time_since(earlier))
