"""A `camera.device.Device` that runs the kernels' own source on the host, so that all but the driver is tested.

`.cu` files are compiled with g++ and `cuda_on_host.h`. What a GPU would do wrong quietly is refused or made visible.
Memory is handed out full of rubbish, and what is written past its end is noticed. Arguments are checked against the
kernel's own. Memory that was freed is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceIdentity,
    DeviceLost,
    DeviceOutOfMemory,
    Kernel,
)

from tests.cuda_host.kernels import load
from tests.cuda_host.memory import RUBBISH, HostMemory
from tests.cuda_host.streams import HostStream, HostTransform

_ORDERS = ("forward", "backward", "scattered")


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
        self.uploaded_bytes = self.downloaded_bytes = 0
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
        array.reshape(-1).view(np.uint8).fill(RUBBISH)
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
                self._kernels[key] = load(source, constants or {})
            return self._kernels[key]

    def field_transform(self, shape: tuple[int, int]) -> HostTransform:
        self.check()
        return HostTransform(shape)

    def close(self) -> None:
        for memory in self._memory:
            memory.check_guard()
