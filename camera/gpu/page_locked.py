"""Page-locked host arrays that go round: locking pages takes a driver milliseconds, so what comes back is kept."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_FREE_BYTES = 256 << 20


class PageLockedPool:
    """Gives out arrays in blocks of page-locked memory; a block is used again once the last view of it is gone.

    Safe to use from any thread; a block comes back without a lock, and so may do so inside a garbage collection.

    Args:
        allocate: makes a block of so many bytes.
        free: gives a block back to the driver.
        most_free_bytes: how much may lie unused; beyond it the blocks that came back first are freed.
    """

    def __init__(
        self,
        allocate: Callable[[int], NDArray[np.uint8]],
        free: Callable[[NDArray[np.uint8]], None],
        most_free_bytes: int = _MOST_FREE_BYTES,
    ) -> None:
        self._allocate = allocate
        self._free = free
        self._most_free_bytes = most_free_bytes
        self._back: deque[NDArray[np.uint8]] = deque()
        self._unused: list[NDArray[np.uint8]] = []  # under the lock; what comes back goes through `_back`
        self._lock = Lock()

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A C-contiguous array, contents undefined."""
        nbytes = max(1, prod(shape) * dtype.itemsize)
        block = self._take(nbytes)
        # Through its memoryview, which ends the chain of bases: views of the array keep `flat` alive, not the block.
        flat = np.frombuffer(block.data, dtype, prod(shape))
        weakref.finalize(flat, self._back.append, block).atexit = False
        return flat.reshape(shape)

    def close(self) -> None:
        """Free what lies unused; arrays that are still held stay what they are."""
        with self._lock:
            self._collect()
            while self._unused:
                self._free(self._unused.pop())

    def _take(self, nbytes: int) -> NDArray[np.uint8]:
        with self._lock:
            self._collect()
            fitting = next((at for at, block in enumerate(self._unused) if block.nbytes == nbytes), None)
            block = None if fitting is None else self._unused.pop(fitting)
            while sum(unused.nbytes for unused in self._unused) > self._most_free_bytes:
                self._free(self._unused.pop(0))
        return self._allocate(nbytes) if block is None else block

    def _collect(self) -> None:
        while self._back:
            self._unused.append(self._back.popleft())
