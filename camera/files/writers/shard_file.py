"""One shard of a Zarr array: a file of frames, whole after every one of them, however the program ends.

The index of where each frame lies stands at the shard's start, so that it can be brought up to date in place. A frame
is written behind all others, and only then does the index point to it; the index fits into one page of the disk. Each
frame is followed by its own CRC-32C, which readers check, and by its line of the list of frames, which they pass over.
Source: Zarr v3, codecs `sharding_indexed` 1.0 and `crc32c` 1.0.
"""

from __future__ import annotations

import os
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.bounded_file import read_exactly
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.writers.page_file import PageLayout, write_at

NO_FRAME = 2**64 - 1
"""In an index, for both place and size: no such frame."""
CRC_BYTES = 4
_FIRST_AT = 4096  # where the first frame lies, behind the index
MOST_FRAMES = (_FIRST_AT - CRC_BYTES) // 16
"""Of one shard, so that its index fits before them."""
_LONGEST_LINE = 1 << 16


class ShardFile:
    """Appends frames to a shard that does not exist yet.

    Args:
        path: of the file; its folders are made.
        layout: of every frame.
        most_frames: that it has room for, at most `MOST_FRAMES`.

    Attributes:
        frames: how many there are.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, layout: PageLayout, most_frames: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.frames = path, 0
        self._layout = layout
        self._index = np.full((most_frames, 2), NO_FRAME, "<u8")
        self.next_offset = _FIRST_AT
        self._file = path.open("xb+", buffering=0)
        self._write_index()

    @property
    def is_full(self) -> bool:
        """Whether it takes no further frame."""
        return self.frames == len(self._index)

    def fileno(self) -> int:
        """The file's descriptor, for whoever brings it to the disk."""
        return self._file.fileno()

    def append(self, image: NDArray[np.generic], line: bytes) -> None:
        """Add a frame and its line. Where that fails, the shard is as it was before.

        Raises:
            OSError: the disk is full, gone, or fails.
        """
        values = image.data.cast("B")
        behind = crc32c(values) + line
        self._before = self.next_offset
        try:
            write_at(self._file, self.next_offset, values)
            write_at(self._file, self.next_offset + len(values), behind)
            self._index[self.frames] = self.next_offset, len(values) + CRC_BYTES
            self._write_index()
        except OSError:
            self._index[self.frames] = NO_FRAME
            self._cut_back()
            raise
        self.frames += 1
        self.next_offset += len(values) + len(behind)

    def take_back(self) -> None:
        """Take the frame that was appended last off again.

        Raises:
            OSError: the disk is gone, or fails.
        """
        self.frames -= 1
        self._index[self.frames] = NO_FRAME
        self.next_offset = self._before
        self._cut_back()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _cut_back(self) -> None:
        self._write_index()
        self._file.truncate(self.next_offset)

    def _write_index(self) -> None:
        write_at(self._file, 0, index_bytes(self._index))


def crc32c(values: memoryview | bytes) -> bytes:
    """CRC-32C as Zarr writes it behind a chunk."""
    return int(google_crc32c.value(bytes(values))).to_bytes(CRC_BYTES, "little")


def index_bytes(index: NDArray[np.uint64]) -> bytes:
    """A shard's index with its checksum."""
    return index.tobytes() + crc32c(index.tobytes())


def rewrite_index(path: Path, index: NDArray[np.uint64]) -> None:
    """Replace the index of a shard that nobody writes, on the disk.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("rb+", buffering=0) as file:
        write_at(file, 0, index_bytes(index))
        os.fsync(file.fileno())


def read_index(path: Path, most_frames: int) -> NDArray[np.uint64]:
    """(most_frames, 2) offset and size of each frame of a shard, `NO_FRAME` where there is none.

    Raises:
        ImageFileError: it is damaged, or cannot be read.
    """
    data = read_exactly(path, 0, 16 * most_frames + CRC_BYTES)
    if crc32c(data[:-CRC_BYTES]) != data[-CRC_BYTES:]:
        raise ImageFileError(f"expected the index of a shard in {path}, got one with a wrong checksum")
    return np.frombuffer(data[:-CRC_BYTES], "<u8").reshape(most_frames, 2)


def read_frame(path: Path, offset: int, layout: PageLayout) -> NDArray[np.generic]:
    """The frame at `offset` of a shard, (H, W).

    Raises:
        ImageFileError: it is damaged, or cannot be read.
    """
    data = read_exactly(path, offset, layout.image_bytes + CRC_BYTES)
    if crc32c(data[:-CRC_BYTES]) != data[-CRC_BYTES:]:
        raise ImageFileError("expected the frame as it was recorded, got other bytes; its checksum is wrong")
    return np.frombuffer(data[:-CRC_BYTES], layout.dtype).reshape(layout.shape)


def read_line(path: Path, offset: int, layout: PageLayout) -> bytes:
    """The line of the list of frames behind the frame at `offset`; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(offset + layout.image_bytes + CRC_BYTES)
            return file.readline(_LONGEST_LINE)
    except OSError:
        return b""
