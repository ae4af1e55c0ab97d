"""What a CUDA device is made of whichever binding drives it: page-locked memory, compiled kernels, cuFFT's transforms.

A binding's objects are made and given back only in a thread that has the context current. So each call makes it current
for its own length. Whatever must be given back is given back under it, whichever thread drops it.
"""

from __future__ import annotations

import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from mmap import mmap
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceIdentity,
    DeviceMemory,
    Kernel,
    Stream,
)
from qpi_live.camera.gpu.cuda_driver import register_pages, unregister_pages
from qpi_live.camera.gpu.cufft import CufftPlans, load_cufft
from qpi_live.camera.gpu.nvrtc import compile_cubin
from qpi_live.camera.gpu.page_locked import PageLockedPool

Thing = TypeVar("Thing")

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no other library's work on the default stream holds ours up
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\([^)]*\)\s+)?void\s+(\w+)')


class CurrentContext(Protocol):
    """The first device's primary context, current within a `with`; CUDA's errors come out of it translated."""

    @property
    def is_lost(self) -> bool:
        """Whether everything in it is gone."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def release(self) -> None:
        """Let go of it; what still refers to it is dead from now on, and harmless."""


def under(context: CurrentContext, give_back: Callable[[], object]) -> None:
    """Give something back to the driver, from whichever thread dropped it."""
    try:
        with context:
            give_back()
    except DeviceError:  # lost, and what was on it with it
        pass


def own(kind: type[Thing], thing: object) -> Thing:
    """`thing`, which must be of this device's own `kind`."""
    if not isinstance(thing, kind):
        raise DeviceError(f"expected a {kind.__name__}, got {type(thing).__name__}, which is another device's")
    return thing


def check_fits(array: Array, memory: DeviceMemory) -> None:
    """Refuse an array that a copy would run past."""
    if not array.flags.c_contiguous or array.nbytes > memory.nbytes:
        raise DeviceError(f"expected a C-contiguous array of at most {memory.nbytes} bytes, got {array.nbytes}")


class CufftTransform:
    """`FieldTransform`."""

    def __init__(self, context: CurrentContext, shape: tuple[int, int]) -> None:
        self._context = context
        with context:
            self._plans = CufftPlans(load_cufft(), shape)
        weakref.finalize(self, under, context, self._plans.free)

    def forward(self, stream: Stream, reals: DeviceMemory, half_spectrum: DeviceMemory) -> None:
        """See `FieldTransform.forward`."""
        with self._context:
            self._plans.forward(stream.handle, reals.pointer, half_spectrum.pointer)

    def inverse(self, stream: Stream, spectrum: DeviceMemory, field: DeviceMemory) -> None:
        """See `FieldTransform.inverse`."""
        with self._context:
            self._plans.inverse(stream.handle, spectrum.pointer, field.pointer)


class BaseDevice(ABC):
    """`Device` but for memory, streams and the loading of kernels, which are its binding's.

    Args:
        context: the first GPU's primary context, which other libraries of this process share.
        identity: which GPU that is.
    """

    def __init__(self, context: CurrentContext, identity: DeviceIdentity) -> None:
        self.identity = identity
        self._current = context
        self._pool = PageLockedPool(self._allocate_locked, self._free_locked)
        self._kernels: dict[object, Mapping[str, Kernel]] = {}
        self._compiling = Lock()

    @abstractmethod
    def _load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Kernel]:
        """The kernels of these names in a module's machine code; the context is current."""

    @abstractmethod
    def _let_go(self) -> None:
        """Give back what the device keeps for itself; the context is current."""

    @property
    def is_lost(self) -> bool:
        """See `Device.is_lost`."""
        return self._current.is_lost

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
                with self._current:
                    self._kernels[key] = self._load(cubin, names)
            return self._kernels[key]

    def field_transform(self, shape: tuple[int, int]) -> CufftTransform:
        """See `Device.field_transform`."""
        return CufftTransform(self._current, shape)

    def close(self) -> None:
        """See `Device.close`."""
        if not self.is_lost:
            self._pool.close()
            under(self._current, self._close)
        self._current.release()

    def _close(self) -> None:
        self._kernels.clear()
        self._let_go()

    def _allocate_locked(self, nbytes: int) -> NDArray[np.uint8]:
        # Our own memory, locked, and not the driver's: who holds a phase may read it after the device was lost.
        block = np.frombuffer(mmap(-1, nbytes), np.uint8)
        with self._current:
            register_pages(block)
        return block

    def _free_locked(self, block: NDArray[np.uint8]) -> None:
        under(self._current, partial(unregister_pages, block))

    @contextmanager
    def _page_locked(self, memory: NDArray[np.uint8]) -> Iterator[None]:
        with self._current:
            register_pages(memory)
        try:
            yield
        finally:
            with self._current:
                unregister_pages(memory)
