"""The frames of one TIFF file, by number: pages, or images that lie one behind the other after a single page."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from qpi_live.camera.files.bounded_file import read_exactly, size_of
from qpi_live.camera.files.contents import Values
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.tiff_chain import Page, walk_tiff
from qpi_live.camera.files.tiff_page import tiff_page

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would warn of is said in sentences here


@dataclass(frozen=True, slots=True)
class FlatFrames:
    """Frames of one size that lie at equal distances in a file, uncompressed.

    Attributes:
        path: the file.
        offset: of the first frame, in bytes.
        shape: of each frame.
        dtype: of its values, byte order included.
        promised: frames that the file says it has.
        gap: bytes between two frames.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    promised: int
    gap: int = 0

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def frames(self) -> int:
        """Whole frames that the file holds now, at most those promised."""
        held = size_of(self.path) - self.offset + self.gap
        return max(0, min(self.promised, held // (self.frame_bytes + self.gap)))

    def read(self, index: int) -> Values:
        """The values of a frame; raises `ImageFileError` where the file ends before."""
        start = self.offset + index * (self.frame_bytes + self.gap)
        values: Values = np.frombuffer(read_exactly(self.path, start, self.frame_bytes), self.dtype)
        return values.reshape(self.shape)


class TiffPages:
    """The frames of the TIFF file at `path`: those pages that are like the first.

    Attributes:
        tiff: the file as tifffile has it, for what it says of itself.
        shape: (H, W) of each.
        samples: colours of a pixel.
        dtype: of the stored values.
        promised: frames that the file says it has.
        is_cut: whether another page was announced and is not there.
        others: pages of another size or type, which are no frames; thumbnails and levels of a pyramid not counted.

    Raises:
        ImageFileError: no page can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        chain = walk_tiff(path)
        if not chain.pages:
            raise ImageFileError("expected a TIFF of at least one page, got none; is it truncated, or being written?")
        whole = [page for page in chain.pages if not page.is_reduced] or list(chain.pages)
        # Thumbnails, labels and levels of a pyramid are pages too; frames are like the first.
        self._pages = [page for page in whole if page.layout == whole[0].layout]
        self.others = len(whole) - len(self._pages)
        self._all_pages = chain.pages
        self.tiff = tifffile.TiffFile(path)
        first = self._load(self._pages[0])
        if first.dtype is None:
            raise ImageFileError("expected a TIFF of grey values, got samples of an unknown type")
        self.shape = self._pages[0].shape
        self.samples = int(first.samplesperpixel)
        self.dtype = np.dtype(first.dtype)
        self.is_imagej = bool(self.tiff.is_imagej)
        if chain.broken_at is not None:
            self._leave_out_the_cut()
        self.promised = len(self._pages)
        self.is_cut = chain.broken_at is not None
        self._flat: FlatFrames | None = None
        self._look_behind_the_first(first, chain.broken_at)

    @property
    def frames(self) -> int:
        """Whole frames that are there."""
        return len(self._pages) if self._flat is None else self._flat.frames

    def read(self, index: int) -> Values:
        """The stored values of a frame.

        Raises:
            ImageFileError: it cannot be read, or a part of it is missing.
        """
        if self._flat is not None:
            return self._flat.read(index)
        return self._read(self._pages[index])

    def read_directory(self, index: int) -> Values:
        """The stored values of the page of this number, thumbnails counted as well, as OME-XML numbers them."""
        if self._flat is not None:
            return self._flat.read(index)
        return self._read(self._all_pages[index])

    @property
    def directories(self) -> int:
        """Pages that `read_directory` knows."""
        return len(self._all_pages) if self._flat is None else self._flat.frames

    def page_offsets(self) -> dict[int, int]:
        """The number of each page among `directories`, by where its header lies."""
        return {page.offset: number for number, page in enumerate(self._all_pages)}

    def tag(self, number: int) -> Any:
        """The value of a tag of the first page, or None."""
        with suppress(Exception):  # a malformed tag is as good as none
            return self._load(self._pages[0]).tags.valueof(number)
        return None

    def description(self, index: int) -> str:
        """What the page of this number, as `read_directory` counts, says of itself; "" where nothing."""
        with suppress(Exception):  # a malformed tag is as good as none
            return str(self._load(self._all_pages[index]).description)
        return ""

    def close(self) -> None:
        """Let go of the file."""
        self.tiff.close()

    def _look_behind_the_first(self, first: tifffile.TiffPage, broken_at: int | None) -> None:
        """Find frames without pages: ImageJ's beyond 4 GB, and those of a stack whose last pages are missing."""
        promised = max(self.promised, promised_frames(self.tiff))
        is_flat = first.is_contiguous and first.compression == 1 and self.samples == 1 and not first.is_tiled
        if not is_flat:
            self.promised = promised
            return
        flat = FlatFrames(
            self._path, first.dataoffsets[0], self.shape, self.dtype.newbyteorder(first.parent.byteorder), 1
        )
        if len(self._pages) == 1 and promised == 1 and broken_at is not None:
            # Writers of uncompressed stacks put the other pages' headers behind all images: where the first of those
            # headers should be tells how many images there are.
            promised = max(1, (broken_at - flat.offset) // flat.frame_bytes)
        self.promised = promised
        if len(self._pages) == 1 and promised > 1:
            self._flat = FlatFrames(flat.path, flat.offset, flat.shape, flat.dtype, promised)

    def _leave_out_the_cut(self) -> None:
        """Drop pages from the end whose images are not there: their headers came first."""
        while len(self._pages) > 1:
            try:
                self._check_end(self._load(self._pages[-1]))
                return
            except Exception:  # a header that is cut off in its middle trips tifffile in many ways
                self._pages.pop()

    def _check_end(self, page: tifffile.TiffPage) -> None:
        held = size_of(self._path)  # tifffile remembers the size that the file had when it was opened
        if any(offset + count > held for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise ImageFileError("expected a whole page, got one whose end is missing; is the file truncated?")

    def _load(self, page: Page) -> tifffile.TiffPage:
        self.tiff.filehandle.seek(page.offset)
        return tifffile.TiffPage(self.tiff, 0)

    def _read(self, page: Page) -> Values:
        return _translated(lambda: self._decoded(page))

    def _decoded(self, page: Page) -> Values:
        loaded = self._load(page)
        self._check_end(loaded)
        return tiff_page(loaded)


def _translated(read: Callable[[], Values]) -> Values:
    try:
        return read()
    except ImageFileError:
        raise
    except Exception as error:  # tifffile's and its codecs' ways to trip are many
        raise ImageFileError(f"expected a sound page, got an error ({error})") from error


def promised_frames(tiff: tifffile.TiffFile) -> int:
    """How many frames the first page's description speaks of, by ImageJ's or tifffile's habits; 1 where of none."""
    imagej = tiff.imagej_metadata if tiff.is_imagej else None
    if imagej:
        return max(1, int(imagej.get("images", 1)))
    shape = shaped_description(tiff).get("shape", ())
    return max(1, int(np.prod(shape[:-2], dtype=np.int64))) if len(shape) > 2 else 1


def shaped_description(tiff: tifffile.TiffFile) -> dict[str, Any]:
    """tifffile's own description of a stack, where its shape ends in the page's; empty otherwise."""
    page = tiff.pages.first
    with suppress(ValueError, TypeError, AttributeError):
        found = json.loads(page.description)
        shape = [int(length) for length in found["shape"]]
        if shape[-2:] == [page.imagelength, page.imagewidth]:
            return {**found, "shape": shape}
    return {}
