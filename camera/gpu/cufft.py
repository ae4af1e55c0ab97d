"""Fourier transforms on a GPU: NVIDIA's cuFFT through its C interface. The only file that loads it."""

from __future__ import annotations

import ctypes

from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib
from qpi_live.camera.device import DeviceError, DeviceOutOfMemory, DeviceUnavailable

_REALS_TO_COMPLEX = 0x2A  # CUFFT_R2C
_COMPLEX_TO_COMPLEX = 0x29  # CUFFT_C2C
_INVERSE = 1  # CUFFT_INVERSE: exp(+2πi …)
_STATUS = {2: "ALLOC_FAILED", 3: "INVALID_TYPE", 4: "INVALID_VALUE", 5: "INTERNAL_ERROR", 6: "EXEC_FAILED"}
_OUT_OF_MEMORY = 2


def load_cufft() -> ctypes.CDLL:
    """The library, from its wheel or the CUDA toolkit.

    Raises:
        DeviceUnavailable: it is nowhere.
    """
    try:
        path = load_nvidia_dynamic_lib("cufft").abs_path
    except DynamicLibNotFoundError as error:
        raise DeviceUnavailable("expected NVIDIA's cuFFT, got none: pip install 'qpi-live[gpu]'") from error
    library = ctypes.CDLL(path)
    library.cufftExecR2C.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    library.cufftExecC2C.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    library.cufftSetStream.argtypes = [ctypes.c_int, ctypes.c_void_p]
    return library


class CufftPlans:
    """Plans for (H, W) fields; the caller's CUDA context must be current in every call.

    Raises:
        DeviceOutOfMemory, DeviceError: they cannot be made.
    """

    def __init__(self, library: ctypes.CDLL, shape: tuple[int, int]) -> None:
        self._library = library
        self._forward = self._plan(shape, _REALS_TO_COMPLEX)
        try:
            self._inverse = self._plan(shape, _COMPLEX_TO_COMPLEX)
        except DeviceError:
            library.cufftDestroy(self._forward)
            raise

    def forward(self, stream_handle: int, reals: int, half_spectrum: int) -> None:
        """(H, W) float32 at an address to (H, W // 2 + 1) complex64 at another."""
        _check(self._library.cufftSetStream(self._forward, stream_handle))
        _check(self._library.cufftExecR2C(self._forward, reals, half_spectrum))

    def inverse(self, stream_handle: int, spectrum: int, field: int) -> None:
        """(H, W) complex64 to (H, W) complex64, without the 1/(H·W)."""
        _check(self._library.cufftSetStream(self._inverse, stream_handle))
        _check(self._library.cufftExecC2C(self._inverse, spectrum, field, _INVERSE))

    def free(self) -> None:
        """Give the plans and their workspaces back."""
        self._library.cufftDestroy(self._forward)
        self._library.cufftDestroy(self._inverse)

    def _plan(self, shape: tuple[int, int], kind: int) -> ctypes.c_int:
        plan = ctypes.c_int()
        _check(self._library.cufftPlan2d(ctypes.byref(plan), shape[0], shape[1], kind))
        return plan


def _check(status: int) -> None:
    if status:
        kind = DeviceOutOfMemory if status == _OUT_OF_MEMORY else DeviceError
        raise kind(f"expected cuFFT to do its work, got status {_STATUS.get(status, status)}")
