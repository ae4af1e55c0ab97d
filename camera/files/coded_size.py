"""The size that a codec's own header promises, read before anything is decoded.

A TIFF page says how large it is, and so does each JPEG, PNG, WebP, JPEG 2000, JPEG XL or LERC strip inside it. A
decoder believes the strip: 800 bytes may ask for 12 GB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # ITU T.81, table B.1: SOF0 … SOF15
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_J2K_START = b"\xff\x4f\xff\x51"  # ITU T.800: SOC, SIZ
_JXL_START = b"\xff\x0a"
_JXL_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # ISO/IEC 18181-1, SizeHeader


class NoCodedSize(ValueError):
    """The bytes have no header of this codec."""


def coded_size(codec: str, data: bytes) -> tuple[int, int]:
    """(H, W) in pixels that decoding `data` would give, the largest where its headers contradict each other.

    Args:
        codec: one of `CODECS`.
        data: the strip or tile as it stands in the file.

    Raises:
        NoCodedSize: there is no such header.
    """
    try:
        height, width = CODECS[codec](data)
    except (struct.error, IndexError, ValueError) as error:
        raise NoCodedSize(f"expected a header of {codec}, got {data[:8]!r}") from error
    if height <= 0 or width <= 0:
        raise NoCodedSize(f"expected a header of {codec} with a size, got {height} × {width}")
    return height, width


def _jpeg(data: bytes) -> tuple[int, int]:
    sizes: list[tuple[int, int]] = []
    at = data.index(b"\xff\xd8") + 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError(data[at])
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:  # a fill byte, or nothing behind it
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA and sizes:  # the scan: what follows is image
            break
        if marker in _JPEG_SIZES:
            sizes.append(struct.unpack_from(">HH", data, at + 5))
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return _largest(sizes)


def _png(data: bytes) -> tuple[int, int]:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError(data[:16])
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _webp(data: bytes) -> tuple[int, int]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError(data[:12])
    sizes, at = [], 12
    while at + 18 <= len(data):  # every chunk: an extended file says its size once more in the image itself
        kind, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if kind == b"VP8X":
            sizes.append((1 + _little24(data, at + 15), 1 + _little24(data, at + 12)))
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, at + 14)
            sizes.append((height & 0x3FFF, width & 0x3FFF))
        elif kind == b"VP8L":
            bits = struct.unpack_from("<I", data, at + 9)[0]
            sizes.append((1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)))
        at += 8 + length + length % 2
    return _largest(sizes)


def _jpeg_2000(data: bytes) -> tuple[int, int]:
    sizes, at = [], data.index(_J2K_START)
    while at >= 0:  # boxes may hold a decoy before the codestream
        right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
        sizes.append((bottom - top, right - left))
        at = data.find(_J2K_START, at + 4)
    return _largest(sizes)


def _jpeg_xl(data: bytes) -> tuple[int, int]:
    if data[:2] == _JXL_START:
        return _jpeg_xl_size(data[2:])
    if data[4:8] != b"JXL ":
        raise ValueError(data[:8])
    # In boxes of a container: the whole codestream, or the first part of one behind its number.
    starts = [found.end() for found in re.finditer(rb"(?:jxlc|jxlp.{4})\xff\x0a", data, re.DOTALL)]
    return _largest([_jpeg_xl_size(data[start:]) for start in starts])


def _jpeg_xl_size(data: bytes) -> tuple[int, int]:
    bits, at = int.from_bytes(data[:12].ljust(12, b"\0"), "little"), 0

    def take(count: int) -> int:
        nonlocal at
        value = bits >> at & ((1 << count) - 1)
        at += count
        return value

    def edge(is_small: int) -> int:
        return (take(5) + 1) * 8 if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    is_small = take(1)
    height, ratio = edge(is_small), take(3)
    if ratio == 0:
        return height, edge(is_small)
    across, down = _JXL_RATIOS[ratio - 1]
    return height, height * across // down


def _lerc(data: bytes) -> tuple[int, int]:
    if data[:10] == b"CntZImage ":
        height, width = struct.unpack_from("<ii", data, 18)
        return height, width
    if data[:6] != b"Lerc2 ":
        raise ValueError(data[:10])
    version = struct.unpack_from("<i", data, 6)[0]
    at = 14 if version >= 3 else 10  # a checksum stands between, since version 3
    height, width = struct.unpack_from("<ii", data, at)
    depth = struct.unpack_from("<i", data, at + 8)[0] if version >= 4 else 1
    return height * max(depth, 1), width


def _largest(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if not sizes:
        raise ValueError("no size")
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def _little24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


CODECS: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "JPEG 2000": _jpeg_2000,
    "JPEG XL": _jpeg_xl,
    "LERC": _lerc,
}
