"""One layer of a recording on its way to the disk: pages, in parts where they are too many for a file, and a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.files.writers.frame_list import FrameEntry, FrameList, entry_of
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.ome_text import MOST_PLANES, ome_text
from qpi_live.camera.files.writers.page_file import CLASSIC_END, PageFile, PageLayout
from qpi_live.camera.frame import Frame

_MOST_NAMED = 3
_LAST_TEXT_BYTES = 320  # of the description that closes a file, for each frame


def part_name(layer: str, part: int) -> str:
    """The file name of a layer's part."""
    return f"{layer}.ome.tif" if part == 0 else f"{layer}-{part:04d}.ome.tif"


def list_name(layer: str) -> str:
    """The file name of a layer's list of frames."""
    return f"{layer}.frames.jsonl"


def parts_of(folder: Path, layer: str) -> dict[int, Path]:
    """The files of a layer that are there, by the number in their name, in order; one may be missing."""
    found = {}
    for path in (folder / part_name(layer, 0), *folder.glob(f"{layer}-*.ome.tif")):
        digits = path.name.removeprefix(layer).removesuffix(".ome.tif").removeprefix("-") or "0"
        if digits.isdecimal() and path.name == part_name(layer, int(digits)) and path.is_file():
            found[int(digits)] = path
    return dict(sorted(found.items()))


def missing_parts(parts: Iterable[int], entries: Iterable[FrameEntry]) -> list[int]:
    """Numbers of the files that a layer should have, of which there are `parts`, and has not."""
    there, listed = set(parts), {entry.part for entry in entries}
    last = max(there | listed, default=-1)
    return [number for number in range(last + 1) if number not in there]


def said_missing(layer: str, missing: Sequence[int]) -> str:
    """The missing files, in a sentence; "" where there are none."""
    if not missing:
        return ""
    names = ", ".join(part_name(layer, number) for number in missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return f"{names}{more} {'is' if len(missing) == 1 else 'are'} missing."


class RecordedLayer:
    """Writes one layer's frames; one thread appends, another may `sync`.

    Args:
        folder: the recording's.
        layer: its name.
        manifest: of the recording.
        most_file_bytes: where a file ends and the next begins, at most 4 GiB; None: one file of any size.

    Attributes:
        frames: written so far.
        bytes: of images, likewise.
    """

    def __init__(self, folder: Path, layer: str, manifest: Manifest, most_file_bytes: int | None) -> None:
        self._folder, self._layer, self._manifest = folder, layer, manifest
        self._most_file_bytes = None if most_file_bytes is None else min(most_file_bytes, CLASSIC_END - 1)
        self.frames = self.bytes = 0
        self._list: FrameList | None = FrameList(folder / list_name(layer))
        self._file: PageFile | None = None
        self._part = 0
        self._entries: list[FrameEntry] = []
        self._settings: Mapping[str, FeatureValue] | None = None
        self._is_named = False  # whether the files' names are on the disk, too
        self._files = Lock()  # held while files are opened and closed: another thread brings them to the disk

    @property
    def shape(self) -> tuple[int, int] | None:
        """(H, W) of the frames; None before the first."""
        return None if self._file is None else self._file.layout.shape

    def takes(self, image: NDArray[np.generic]) -> bool:
        """Whether the image is of the first one's size and type."""
        file = self._file
        return file is None or (image.shape == file.layout.shape and image.dtype == file.layout.dtype)

    def append(self, frame: Frame, image: NDArray[np.generic], made_by: dict[str, Any] | None = None) -> None:
        """Write what is recorded of a frame: its pixels, or the phase that was made of it.

        Raises:
            OSError: the disk is full, gone, or fails; what was written before stands.
        """
        file = self._file_for(image)
        entry = entry_of(frame, image, self.frames, (self._part, file.next_offset), self._settings, made_by)
        line = entry.line()
        file.append(image, line.rstrip())
        if self._list is not None:
            try:
                self._list.append(line)
            except OSError:  # a frame is in both or in neither
                file.take_back()
                raise
        self._settings = frame.settings or {}
        if len(self._entries) > MOST_PLANES:
            self._entries[1:] = []
        self._entries.append(entry)
        self.frames += 1
        self.bytes += image.nbytes

    def restate(self) -> None:
        """Bring what the file says of its number of frames up to date."""
        file = self._file
        if file is not None:
            file.restate(ome_text(self._manifest, self._layer, file.layout, file.pages))

    def sync(self) -> None:
        """Wait until all that was appended is on the disk.

        Raises:
            OSError: the disk fails, or the files are not where they were any more.
        """
        with self._files:
            for path, file in (
                (self._folder / part_name(self._layer, self._part), self._file),
                (self._folder / list_name(self._layer), self._list),
            ):
                if file is not None:
                    _data_to_disk(file.fileno())
                    there, here = path.stat(), os.fstat(file.fileno())
                    if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
                        raise FileNotFoundError(2, "the file was replaced by another", str(path))
            if not self._is_named:
                names_to_disk(self._folder)
                self._is_named = True

    def close(self) -> None:
        """End the files, on the disk.

        Raises:
            OSError: there is no room for the last words; the frames stand.
        """
        try:
            self._close_file()
        finally:
            with self._files:
                frames, self._list = self._list, None
            if frames is not None:
                frames.close()

    def _file_for(self, image: NDArray[np.generic]) -> PageFile:
        file = self._file
        if file is not None and self._most_file_bytes is not None:
            if file.next_end + _LAST_TEXT_BYTES * (file.pages + 1) <= self._most_file_bytes:
                return file
            self._close_file()
            self._part += 1
        elif file is not None:
            return file
        layout = PageLayout(
            (image.shape[0], image.shape[1]),
            image.dtype,
            self._manifest.object_pixel_m,
            self._most_file_bytes is None,
        )
        text = ome_text(self._manifest, self._layer, layout, 0)
        with self._files:
            self._file = PageFile(self._folder / part_name(self._layer, self._part), layout, text)
            self._is_named = False
        return self._file

    def _close_file(self) -> None:
        with self._files:
            file, self._file = self._file, None
        entries, self._entries = self._entries, []
        if file is None:
            return
        file.restate(ome_text(self._manifest, self._layer, file.layout, file.pages))  # should there be no room for more
        known = entries if len(entries) == file.pages else [*entries[:1], *entries[-1:]]
        text = ome_text(self._manifest, self._layer, file.layout, file.pages, known)
        file.close(text)


def names_to_disk(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk, where the system has such a thing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _data_to_disk(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)
