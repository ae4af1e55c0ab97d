"""The chain of pages in a TIFF file, walked without reading any image (TIFF 6.0, §2; BigTIFF).

A few microseconds a page, so that ten thousand cost no wait; and it says where a chain is broken off.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from qpi_live.camera.files.image_bounds import ImageFileError

_USUAL_PAGE_BYTES = 1024
_MOST_TAGS = 4096
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SUBFILE, _SAMPLES, _FORMAT = 256, 257, 258, 259, 254, 277, 339
_LAYOUT = (_LENGTH, _WIDTH, _BITS, _SAMPLES, _FORMAT)
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page's header lies, and what must be alike for pages to be frames of one stack."""

    offset: int
    layout: tuple[int, ...]
    is_reduced: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.layout[0], self.layout[1]


@dataclass(frozen=True, slots=True)
class TiffChain:
    """The pages of a file in order; `broken_at` is where a next one was announced and is not, or None."""

    pages: tuple[Page, ...]
    broken_at: int | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers lie in this file: classic or big, little or big endian."""

    order: str
    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def walk_tiff(path: Path) -> TiffChain:
    """The pages of the TIFF or BigTIFF file at `path`.

    Raises:
        ImageFileError: it cannot be read, or is no TIFF.
    """
    try:
        with path.open("rb", buffering=0) as file:
            header = file.read(16)
            layout, at = _layout(header)
            pages: list[Page] = []
            seen: set[int] = set()
            while at:
                if at in seen:  # a chain that bites its tail
                    return TiffChain(tuple(pages), at)
                seen.add(at)
                file.seek(at)
                block = file.read(_USUAL_PAGE_BYTES)
                needed = _page_bytes(block, layout)
                if len(block) < needed:
                    block += file.read(needed - len(block))
                if not needed or len(block) < needed:
                    return TiffChain(tuple(pages), at)
                page, following = _page(at, block[:needed], layout)
                pages.append(page)
                at = following
    except (OSError, OverflowError) as error:
        raise ImageFileError(f"expected a readable file at {path}, got: {error}") from error
    return TiffChain(tuple(pages), None)


def _layout(header: bytes) -> tuple[_Layout, int]:
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 8:
        raise ImageFileError(f"expected a TIFF, got bytes that begin {header[:8]!r}")
    (version,) = struct.unpack_from(f"{order}H", header, 2)
    if version == 43 and len(header) == 16:
        (first,) = struct.unpack_from(f"{order}Q", header, 8)
        return _Layout(order, *(struct.Struct(order + code) for code in ("Q", "HHQ8s", "Q"))), first
    if version != 42:
        raise ImageFileError(f"expected a TIFF of version 42 or 43, got {version}")
    (first,) = struct.unpack_from(f"{order}I", header, 4)
    return _Layout(order, *(struct.Struct(order + code) for code in ("H", "HHI4s", "I"))), first


def _page_bytes(block: bytes, layout: _Layout) -> int:
    """Bytes of the page header that begins `block`; 0 where it is none."""
    if len(block) < layout.count.size:
        return 0
    (tags,) = layout.count.unpack_from(block)
    return layout.count.size + tags * layout.entry.size + layout.offset.size if 0 < tags <= _MOST_TAGS else 0


def _page(at: int, block: bytes, layout: _Layout) -> tuple[Page, int]:
    tags: dict[int, int] = {}
    entries = block[layout.count.size : -layout.offset.size]
    for tag, kind, count, value in layout.entry.iter_unpack(entries):
        code = _INTEGERS.get(kind)
        if code is None or (tag not in _LAYOUT and tag != _SUBFILE):
            continue
        # Of several values only the first is looked at, where they lie in the entry itself: RGB has three alike.
        is_here = count * struct.calcsize(code) <= len(value)
        tags[tag] = struct.unpack_from(layout.order + code, value)[0] if is_here else -count
    (following,) = layout.offset.unpack_from(block, len(block) - layout.offset.size)
    page = Page(at, tuple(tags.get(tag, 1) for tag in _LAYOUT), bool(tags.get(_SUBFILE, 0) & 1))
    return page, following
