"""Device memory in the host's own: full of rubbish at first, and guarded behind its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qpi_live.camera.device import (
    Array,
    DeviceError,
)

if TYPE_CHECKING:
    from tests.cuda_host.device import HostDevice


RUBBISH = 0xCB
_GUARD_BYTES = 256


class HostMemory:
    """`DeviceMemory` in the host's own, with a guard behind it."""

    def __init__(self, nbytes: int, device: HostDevice) -> None:
        self.nbytes = nbytes
        self.device = device
        self._bytes = np.full(nbytes + 2 * _GUARD_BYTES, RUBBISH, np.uint8)
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
        if not (guard == RUBBISH).all():
            raise DeviceError(f"a kernel wrote behind the end of {self.nbytes} bytes of device memory")
