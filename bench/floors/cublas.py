"""A large half-precision matrix product on a GPU, by NVIDIA's cuBLAS. The only file that loads it."""

from __future__ import annotations

import ctypes

from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib
from qpi_live.camera.device import Device, DeviceError, DeviceUnavailable

_HALF = 2  # CUDA_R_16F
_IN_SINGLE = 68  # CUBLAS_COMPUTE_32F
_DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT
_EDGE = 8192
_PRODUCTS = 10
_REPEATS = 5


def half_matrix_rate(device: Device) -> float:
    """fp16 multiply-accumulates a second, summed in fp32, of 8192 × 8192 matrices.

    Raises:
        DeviceUnavailable: cuBLAS is nowhere.
        DeviceError: it fails.
    """
    try:
        library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    except (DynamicLibNotFoundError, OSError) as error:
        raise DeviceUnavailable("expected NVIDIA's cuBLAS, got none: pip install nvidia-cublas") from error
    stream = device.stream()
    matrices = [device.allocate(2 * _EDGE * _EDGE) for _ in range(3)]
    for matrix in matrices:
        stream.fill(matrix, 0x3C)  # 1.06 in half precision: zeros would draw less power, and clock higher
    stream.synchronize()
    handle = ctypes.c_void_p()
    _check(library.cublasCreate_v2(ctypes.byref(handle)))
    try:
        _check(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.handle)))
        best_ms = float("inf")
        for _ in range(_REPEATS + 1):
            began = stream.record()
            for _ in range(_PRODUCTS):
                _check(library.cublasGemmEx(handle, *_product(*(matrix.pointer for matrix in matrices))))
            done = stream.record()
            done.synchronize()
            best_ms = min(best_ms, done.ms_since(began))
    finally:
        library.cublasDestroy_v2(handle)
        for matrix in matrices:
            matrix.free()
    return _PRODUCTS * _EDGE**3 / best_ms * 1e3


def _product(left: int, right: int, product: int) -> list[object]:
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    edge = ctypes.c_int(_EDGE)
    plain = ctypes.c_int(0)  # CUBLAS_OP_N
    half = ctypes.c_int(_HALF)
    return [
        *(plain, plain, edge, edge, edge, ctypes.byref(one)),
        *(ctypes.c_void_p(left), half, edge, ctypes.c_void_p(right), half, edge),
        *(ctypes.byref(zero), ctypes.c_void_p(product), half, edge),
        *(ctypes.c_int(_IN_SINGLE), ctypes.c_int(_DEFAULT_ALGORITHM)),
    ]


def _check(status: int) -> None:
    if status:
        raise DeviceError(f"expected cuBLAS to do its work, got status {status}")
