"""A CUDA device, whichever binding drives it: page-locked memory, compiled kernels, cuFFT's transforms."""

from __future__ import annotations

import re
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from mmap import mmap
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, DeviceMemory, Kernel, Stream
from qpi_live.camera.gpu.binding import Binding
from qpi_live.camera.gpu.cuda_driver import register_pages, unregister_pages
from qpi_live.camera.gpu.cuda_objects import CudaKernel, CudaMemory, CudaStream, under
from qpi_live.camera.gpu.cufft import CufftPlans, load_cufft
from qpi_live.camera.gpu.nvrtc import compile_cubin
from qpi_live.camera.gpu.page_locked import PageLockedPool

_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\([^)]*\)\s+)?void\s+(\w+)')


class CufftTransform:
    """`FieldTransform`."""

    def __init__(self, binding: Binding, shape: tuple[int, int]) -> None:
        self._binding = binding
        with binding:
            self._plans = CufftPlans(load_cufft(), shape)
        weakref.finalize(self, under, binding, self._plans.free)

    def forward(self, stream: Stream, reals: DeviceMemory, half_spectrum: DeviceMemory) -> None:
        """See `FieldTransform.forward`."""
        with self._binding:
            self._plans.forward(stream.handle, reals.pointer, half_spectrum.pointer)

    def inverse(self, stream: Stream, spectrum: DeviceMemory, field: DeviceMemory) -> None:
        """See `FieldTransform.inverse`."""
        with self._binding:
            self._plans.inverse(stream.handle, spectrum.pointer, field.pointer)


class BaseDevice:
    """`Device` through a binding.

    Args:
        binding: the calls of the driver, and the first GPU's primary context.
    """

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        with binding:
            self.identity = binding.identity()
        self._pool = PageLockedPool(self._allocate_locked, self._free_locked)
        self._kernels: dict[object, Mapping[str, Kernel]] = {}
        self._compiling = Lock()
        self._unused_events: deque[Any] = deque()

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Device.allocate`."""
        return CudaMemory(self._binding, nbytes)

    def stream(self) -> Stream:
        """See `Device.stream`."""
        return CudaStream(self._binding, self._unused_events)

    @property
    def is_lost(self) -> bool:
        """See `Device.is_lost`."""
        return self._binding.is_lost

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """See `Device.page_locked`. An array of a size that was given back costs microseconds."""
        return self._pool.array(shape, dtype)

    def page_lock(self, memory: NDArray[np.uint8]) -> AbstractContextManager[None]:
        """See `Device.page_lock`."""
        return self._page_locked(memory)

    def kernels(self, source: Path, constants: Mapping[str, int] | None = None) -> Mapping[str, Kernel]:
        """See `Device.kernels`."""
        key = (source, tuple(sorted((constants or {}).items())))
        with self._compiling:
            if key not in self._kernels:
                cubin = compile_cubin(source, self.identity.compute_capability, constants)
                names = _KERNEL.findall(source.read_text(encoding="utf-8"))
                with self._binding:
                    functions = self._binding.load(cubin, names)
                self._kernels[key] = {name: CudaKernel(name, function) for name, function in functions.items()}
            return self._kernels[key]

    def field_transform(self, shape: tuple[int, int]) -> CufftTransform:
        """See `Device.field_transform`."""
        return CufftTransform(self._binding, shape)

    def close(self) -> None:
        """See `Device.close`."""
        if not self.is_lost:
            self._pool.close()
            under(self._binding, self._close)
        self._binding.release()

    def _close(self) -> None:
        self._kernels.clear()
        self._binding.unload(self._unused_events)

    def _allocate_locked(self, nbytes: int) -> NDArray[np.uint8]:
        # Our own memory, locked, and not the driver's: who holds a phase may read it after the device was lost.
        block = np.frombuffer(mmap(-1, nbytes), np.uint8)
        with self._binding:
            register_pages(block)
        return block

    def _free_locked(self, block: NDArray[np.uint8]) -> None:
        under(self._binding, partial(unregister_pages, block))

    @contextmanager
    def _page_locked(self, memory: NDArray[np.uint8]) -> Iterator[None]:
        with self._binding:
            register_pages(memory)
        try:
            yield
        finally:
            with self._binding:
                unregister_pages(memory)
