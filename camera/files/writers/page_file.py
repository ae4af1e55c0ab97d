"""A TIFF of uncompressed pages that is whole after every page, however the program ends (TIFF 6.0, §2; BigTIFF).

A page's image and header are written behind all others, and only then does the page before point to them. A reader that
follows the chain finds whole pages and nothing else, whenever it looks. The description of the first page has a place
of its own before all images. So what it says of the number of pages can be brought up to date.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSIC_END = 1 << 32
"""Where a classic TIFF ends: its offsets have 32 bits."""

_ALIGNED = 16
_SHORT, _LONG, _RATIONAL, _LONG8, _ASCII = 3, 4, 5, 16, 2
_DESCRIPTION = 270
_LARGEST_FRACTION = 1_000_000
_CENTIMETRE = 3


@dataclass(frozen=True, slots=True)
class PageLayout:
    """What all pages of a file have in common.

    Attributes:
        shape: (H, W) in pixels.
        dtype: uint8, uint16 or float32.
        object_pixel_m: one pixel in the object plane; None where it is not known.
        is_big: whether it is a BigTIFF, which may be larger than 4 GiB.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    object_pixel_m: float | None = None
    is_big: bool = False

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


class PageFile:
    """Appends pages to a file that does not exist yet.

    Args:
        path: of the file.
        layout: of every page.
        text: description of the first page; `restate` replaces it by one of the same length, `close` by any.

    Attributes:
        pages: how many there are.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, layout: PageLayout, text: bytes) -> None:
        self.path, self.layout, self.pages = path, layout, 0
        self._form = _Form(layout)
        self._file = path.open("xb+", buffering=0)
        self._begin(text)

    def _begin(self, text: bytes) -> None:
        header = self._form.header
        self._text_at, self._text_bytes = len(header), len(text) + 1
        self._link_at = self._form.first_link_at
        self._entry_at = 0  # of the first page's description
        self.end = self._text_at + self._text_bytes
        write_at(self._file, 0, header + text + b"\0")

    @classmethod
    def reopen(cls, path: Path, layout: PageLayout, text: bytes) -> PageFile:
        """A file that was cut off, as it was before its first page: `adopt` takes those that are whole.

        Raises:
            OSError: it cannot be written.
        """
        again = cls.__new__(cls)
        again.path, again.layout, again.pages = path, layout, 0
        again._form = _Form(layout)
        again._file = path.open("rb+", buffering=0)
        again._text_at, again._text_bytes = len(again._form.header), len(text) + 1
        again._link_at, again._entry_at = again._form.first_link_at, 0
        again.end = again._text_at + again._text_bytes
        return again

    @property
    def next_end(self) -> int:
        """At least where the file will end with another page and its last description."""
        return self.end + self.layout.image_bytes + (1 << 16)

    def fileno(self) -> int:
        """The file's descriptor, for whoever brings it to the disk."""
        return self._file.fileno()

    @property
    def next_offset(self) -> int:
        """Where the next image will lie."""
        return _aligned(self.end)

    def append(self, image: NDArray[np.generic], description: bytes) -> None:
        """Add a page. Where that fails, the file is as it was before.

        Args:
            image: (H, W) of the layout's type, C-contiguous.
            description: of the page, ASCII; not used for the first one, which has the file's.

        Raises:
            OSError: the disk is full, gone, or fails.
        """
        at, self._before = self.next_offset, (self.pages, self.end, self._link_at, self._entry_at)
        try:
            write_at(self._file, at, image.data.cast("B"))
            self.adopt(at, description)
        except OSError:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Take the page that was appended last off again.

        Raises:
            OSError: the disk is gone, or fails.
        """
        self.pages, self.end, self._link_at, self._entry_at = self._before
        write_at(self._file, self._link_at, self._form.offset.pack(0))
        self._cut_back()

    def adopt(self, image_at: int, description: bytes) -> None:
        """Make a page of an image that lies in the file already, behind all pages.

        Raises:
            OSError: see `append`.
        """
        header_at = _aligned(image_at + self.layout.image_bytes)
        is_first = self.pages == 0
        text_at = self._text_at if is_first else 0
        header, link_in, entry_in = self._form.page(
            header_at, image_at, description, text_at, self._text_bytes if is_first else 0
        )
        write_at(self._file, header_at, header)
        write_at(self._file, self._link_at, self._form.offset.pack(header_at))
        self._link_at = header_at + link_in
        if is_first:
            self._entry_at = header_at + entry_in
        self.end = header_at + len(header)
        self.pages += 1

    def restate(self, text: bytes) -> None:
        """Replace the first page's description by one of the same length.

        Raises:
            OSError: see `append`.
        """
        if len(text) + 1 != self._text_bytes:
            raise ValueError(f"expected a description of {self._text_bytes - 1} bytes, got {len(text)}")
        write_at(self._file, self._text_at, text)

    def close(self, text: bytes | None = None) -> None:
        """End the file behind its last page, with `text` for the first one's description, on the disk.

        Raises:
            OSError: there is no room for that; the file is whole all the same, with the description it had.
        """
        try:
            self._cut_back()
            if text is not None and self.pages:
                at = _aligned(self.end)
                write_at(self._file, at, text + b"\0")
                os.fsync(self.fileno())  # before anything points there
                write_at(self._file, self._entry_at, self._form.place(len(text) + 1, at))
            os.fsync(self.fileno())
        except OSError:
            self._cut_back()
            raise
        finally:
            self._file.close()
        if not self.pages:
            self.path.unlink(missing_ok=True)

    def _cut_back(self) -> None:
        """Take off what was written of a page that did not become one."""
        if self._file.seek(0, os.SEEK_END) > self.end:
            self._file.truncate(self.end)


class _Form:
    """How pages of a layout are written: classic or big."""

    def __init__(self, layout: PageLayout) -> None:
        self._layout = layout
        big = layout.is_big
        self.offset = struct.Struct("<Q" if big else "<I")
        self._count = struct.Struct("<Q" if big else "<H")
        self._entry = struct.Struct("<HHQ8s" if big else "<HHI4s")
        self._words = struct.Struct("<QQ" if big else "<II")
        self._wide = _LONG8 if big else _LONG
        self.header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
        self.first_link_at = len(self.header) - self.offset.size
        self._per_cm = _fraction(0.01 / layout.object_pixel_m) if layout.object_pixel_m else None

    def place(self, count: int, at: int) -> bytes:
        """Count and place of a tag's value."""
        return self._words.pack(count, at)

    def page(self, at: int, image_at: int, description: bytes, text_at: int, text_bytes: int) -> tuple[bytes, int, int]:
        """A page's header for the place `at`; where in it stand the link to the next and the description's place."""
        height, width = self._layout.shape
        bits, kind = 8 * self._layout.dtype.itemsize, 3 if self._layout.dtype.kind == "f" else 1
        tags: list[tuple[int, int, int]] = [
            (256, _LONG, width),
            (257, _LONG, height),
            (258, _SHORT, bits),
            (259, _SHORT, 1),
            (262, _SHORT, 1),
            (_DESCRIPTION, _ASCII, 0),
            (273, self._wide, image_at),
            (277, _SHORT, 1),
            (278, _LONG, height),
            (279, self._wide, self._layout.image_bytes),
        ]
        if self._per_cm:
            tags += [(282, _RATIONAL, 0), (283, _RATIONAL, 0), (296, _SHORT, _CENTIMETRE)]
        tags.append((339, _SHORT, kind))
        link_in = self._count.size + len(tags) * self._entry.size
        behind = link_in + self.offset.size
        fraction_at = at + behind
        if not text_bytes:
            text_at, text_bytes = fraction_at + 8, len(description) + 1
        else:
            description = b""
        fraction = struct.pack("<II", *(self._per_cm or (0, 1)))
        # A BigTIFF's entry has room for the fraction itself.
        held = fraction if self._layout.is_big else fraction_at.to_bytes(4, "little")
        parts, entry_in = [self._count.pack(len(tags))], 0
        for tag, type_, value in tags:
            if tag == _DESCRIPTION:
                entry_in = sum(map(len, parts)) + 4
                parts.append(self._entry.pack(tag, type_, text_bytes, text_at.to_bytes(self.offset.size, "little")))
            elif type_ == _RATIONAL:
                parts.append(self._entry.pack(tag, type_, 1, held))
            else:
                parts.append(self._entry.pack(tag, type_, 1, value.to_bytes(self.offset.size, "little")))
        parts += [self.offset.pack(0), fraction, description + b"\0"]
        return b"".join(parts), link_in, entry_in


def _fraction(value: float) -> tuple[int, int]:
    """`value` as numerator and denominator of 32 bits."""
    denominator = max(1, min(_LARGEST_FRACTION, int((CLASSIC_END - 1) / max(value, 1e-9))))
    return max(1, min(CLASSIC_END - 1, round(value * denominator))), denominator


def _aligned(at: int) -> int:
    return at + -at % _ALIGNED


def write_at(file: FileIO, at: int, data: bytes | memoryview) -> None:
    """Write all of `data` at a place, which an unbuffered file may take in parts; raises OSError as the disk does."""
    view = memoryview(data)
    file.seek(at)
    while view:
        written = file.write(view)
        view = view[written or 0 :]
