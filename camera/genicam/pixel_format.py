"""How cameras lay grey values into memory: mono and Bayer formats of the Pixel Format Naming Convention (PFNC 2.4).

A Bayer frame is taken as it is, one grey value a pixel: fringes are in the raw values, and interpolated colours would
blur them. What its mosaic does to the spectrum, the search for the carrier sees to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One way to lay grey values into memory.

    Attributes:
        name: PFNC's name.
        code: PFNC's 32-bit value; its bits 16 … 23 say how many bits a pixel takes.
        bit_depth: significant bits of a grey value.
        group: pixels that fill whole bytes together; a frame has a multiple of them. 1 where a pixel lies as uint8
            or little-endian uint16 already.
    """

    name: str
    code: int
    bit_depth: int
    group: int = 1

    @property
    def packing(self) -> str:
        """How pixels share bytes: the name of the mono format that is packed alike."""
        return f"Mono{self.name[len('BayerGR') :]}" if self.name.startswith("Bayer") else self.name

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Of the pixels once they are unpacked."""
        return np.dtype(np.uint8) if self.bit_depth <= 8 else np.dtype(np.uint16)

    def row_bytes(self, width: int) -> int:
        """Bytes of `width` pixels."""
        return ceil(width * self.bits_per_pixel / 8)

    @property
    def bits_per_pixel(self) -> int:
        """In memory."""
        return self.code >> 16 & 0xFF

    def of_depth(self, bit_depth: int) -> PixelFormat:
        """The same with fewer significant bits, where pixels of 16 bits leave the high ones unused."""
        return replace(self, bit_depth=bit_depth) if self.bits_per_pixel == 16 and self.bit_depth > 8 else self

    def read_into(
        self,
        pixels: Pixels,
        buffer: bytes | memoryview | NDArray[np.uint8],
        row_padding: int = 0,
        is_big_endian: bool = False,
    ) -> None:
        """Put the frame at the start of `buffer` into `pixels`, touching every byte once.

        Args:
            pixels: (H, W) of `dtype`, C-contiguous; written.
            buffer: at least H rows of `row_bytes(W) + row_padding` bytes.
            row_padding: unused bytes after each row.
            is_big_endian: whether a pixel of two bytes has the high one first; packed formats have one order only.

        Raises:
            ValueError: the buffer is too short, or the frame's pixels do not fill whole bytes.
        """
        height, width = pixels.shape
        row = self.row_bytes(width) + row_padding
        needed = height * row if row_padding else self.row_bytes(height * width)
        source = np.frombuffer(buffer, np.uint8)
        if source.size < needed:
            raise ValueError(f"expected {needed} bytes of {width} × {height} {self.name}, got {source.size}")
        source = source[:needed]
        if row_padding:
            source = source.reshape(height, row)[:, : self.row_bytes(width)].reshape(-1)
        if self.group == 1:
            pixels[...] = source.view(self.dtype.newbyteorder(">" if is_big_endian else "<")).reshape(pixels.shape)
            return
        if pixels.size % self.group or (row_padding and width % self.group):
            raise ValueError(f"expected a multiple of {self.group} pixels of {self.name}, got {width} × {height}")
        from qpi_live.camera.genicam.packed_pixels import UNPACK  # noqa: PLC0415  # it compiles, which only these formats should wait for

        UNPACK[self.packing](source, pixels.reshape(-1).view(np.uint16))


def _bayer(packing: str, bit_depth: int, *codes: int, group: int = 1) -> list[PixelFormat]:
    """The four mosaics, whose codes follow one another where only the first is given."""
    values = codes if len(codes) > 1 else range(codes[0], codes[0] + 4)
    return [
        PixelFormat(f"Bayer{corner}{packing}", code, bit_depth, group)
        for corner, code in zip(("GR", "RG", "GB", "BG"), values, strict=True)
    ]


_FORMATS = (
    PixelFormat("Mono8", 0x01080001, 8),
    PixelFormat("Mono10", 0x01100003, 10),
    PixelFormat("Mono12", 0x01100005, 12),
    PixelFormat("Mono14", 0x01100025, 14),
    PixelFormat("Mono16", 0x01100007, 16),
    PixelFormat("Mono10p", 0x010A0046, 10, 4),
    PixelFormat("Mono12p", 0x010C0047, 12, 2),
    PixelFormat("Mono10Packed", 0x010C0004, 10, 2),
    PixelFormat("Mono12Packed", 0x010C0006, 12, 2),
    *_bayer("8", 8, 0x01080008),
    *_bayer("10", 10, 0x0110000C),
    *_bayer("12", 12, 0x01100010),
    *_bayer("16", 16, 0x0110002E),
    *_bayer("10p", 10, 0x010A0056, 0x010A0058, 0x010A0054, 0x010A0052, group=4),
    *_bayer("12p", 12, 0x010C0057, 0x010C0059, 0x010C0055, 0x010C0053, group=2),
    *_bayer("10Packed", 10, 0x010C0026, group=2),
    *_bayer("12Packed", 12, 0x010C002A, group=2),
)
FORMATS_BY_CODE = {format_.code: format_ for format_ in _FORMATS}
FORMATS_BY_NAME = {format_.name: format_ for format_ in _FORMATS}
