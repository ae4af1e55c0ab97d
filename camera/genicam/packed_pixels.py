"""Grey values out of the packed formats, compiled: one pass over the bytes, as fast as memory.

A module of its own, imported when the first packed frame comes, so that nobody else waits for the compiler.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import qpi_live.camera.kernel_cache  # noqa: F401 - before any kernel is declared
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Unpack = Callable[[Bytes, NDArray[np.uint16]], None]


def _compiled(function: Unpack) -> Unpack:
    compiled: Unpack = njit(cache=True, nogil=True)(function)
    return compiled


@_compiled
def _unpack_10p(packed: Bytes, pixels: NDArray[np.uint16]) -> None:
    # One stream of bits, least significant first: four pixels in five bytes.
    for group in range(pixels.size // 4):
        a = np.uint16(packed[5 * group])
        b = np.uint16(packed[5 * group + 1])
        c = np.uint16(packed[5 * group + 2])
        d = np.uint16(packed[5 * group + 3])
        e = np.uint16(packed[5 * group + 4])
        pixels[4 * group] = a | (b & 0x03) << 8
        pixels[4 * group + 1] = b >> 2 | (c & 0x0F) << 6
        pixels[4 * group + 2] = c >> 4 | (d & 0x3F) << 4
        pixels[4 * group + 3] = d >> 6 | e << 2


@_compiled
def _unpack_12p(packed: Bytes, pixels: NDArray[np.uint16]) -> None:
    # One stream of bits, least significant first: two pixels in three bytes.
    for pair in range(pixels.size // 2):
        a = np.uint16(packed[3 * pair])
        b = np.uint16(packed[3 * pair + 1])
        c = np.uint16(packed[3 * pair + 2])
        pixels[2 * pair] = a | (b & 0x0F) << 8
        pixels[2 * pair + 1] = b >> 4 | c << 4


@_compiled
def _unpack_10_packed(packed: Bytes, pixels: NDArray[np.uint16]) -> None:
    # GigE Vision: the high eight bits of either pixel, their low two bits in the byte between.
    for pair in range(pixels.size // 2):
        a = np.uint16(packed[3 * pair])
        b = np.uint16(packed[3 * pair + 1])
        c = np.uint16(packed[3 * pair + 2])
        pixels[2 * pair] = a << 2 | b & 0x03
        pixels[2 * pair + 1] = c << 2 | b >> 4 & 0x03


@_compiled
def _unpack_12_packed(packed: Bytes, pixels: NDArray[np.uint16]) -> None:
    # GigE Vision: the high eight bits of either pixel, their low four bits in the byte between.
    for pair in range(pixels.size // 2):
        a = np.uint16(packed[3 * pair])
        b = np.uint16(packed[3 * pair + 1])
        c = np.uint16(packed[3 * pair + 2])
        pixels[2 * pair] = a << 4 | b & 0x0F
        pixels[2 * pair + 1] = c << 4 | b >> 4


UNPACK: dict[str, Unpack] = {
    "Mono10p": _unpack_10p,
    "Mono12p": _unpack_12p,
    "Mono10Packed": _unpack_10_packed,
    "Mono12Packed": _unpack_12_packed,
}
"""(packed bytes, flat pixels that are written) by PFNC name; both hold whole groups of pixels."""
