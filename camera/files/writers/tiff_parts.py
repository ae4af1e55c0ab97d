"""A recorded layer as OME-TIFF, in parts where it is too large for one file."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.writers.frame_list import FrameEntry
from qpi_live.camera.files.writers.layer_files import data_to_disk, layout_of, names_to_disk
from qpi_live.camera.files.writers.layer_names import part_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.ome_text import MOST_PLANES, ome_text
from qpi_live.camera.files.writers.page_file import CLASSIC_END, PageFile, PageLayout

_LAST_TEXT_BYTES = 320  # of the description that closes a file, for each frame


class TiffParts:
    """See `LayerFiles`.

    Args:
        folder: the recording's.
        layer: its name.
        manifest: of the recording.
        most_file_bytes: where a file ends and the next begins, at most 4 GiB; None: one file of any size.
    """

    def __init__(self, folder: Path, layer: str, manifest: Manifest, most_file_bytes: int | None) -> None:
        self._folder, self._layer, self._manifest = folder, layer, manifest
        self._most_file_bytes = None if most_file_bytes is None else min(most_file_bytes, CLASSIC_END - 1)
        self.layout: PageLayout | None = None
        self._file: PageFile | None = None
        self._part = 0
        self._entries: list[FrameEntry] = []
        self._is_named = False  # whether the files' names are on the disk, too
        self._files = Lock()  # held while files are opened and closed: another thread brings them to the disk

    def place(self, image: NDArray[np.generic]) -> tuple[int, int]:
        """See `LayerFiles.place`."""
        return self._part_for(image)

    def append(self, image: NDArray[np.generic], entry: FrameEntry, line: bytes) -> None:
        """See `LayerFiles.append`."""
        assert self._file is not None
        self._file.append(image, line.rstrip())
        if len(self._entries) > MOST_PLANES:
            self._entries[1:] = []
        self._entries.append(entry)

    def take_back(self) -> None:
        """See `LayerFiles.take_back`."""
        if self._file is not None:
            self._entries.pop()
            self._file.take_back()

    def restate(self) -> None:
        """See `LayerFiles.restate`."""
        file = self._file
        if file is not None:
            file.restate(ome_text(self._manifest, self._layer, file.layout, file.pages))

    def sync(self) -> None:
        """See `LayerFiles.sync`."""
        with self._files:
            if self._file is None:
                return
            data_to_disk(self._folder / part_name(self._layer, self._part), self._file.fileno())
            if not self._is_named:
                names_to_disk(self._folder)
                self._is_named = True

    def close(self) -> None:
        """See `LayerFiles.close`."""
        with self._files:
            file, self._file = self._file, None
        entries, self._entries = self._entries, []
        if file is None:
            return
        file.restate(ome_text(self._manifest, self._layer, file.layout, file.pages))  # should there be no room for more
        known = entries if len(entries) == file.pages else [*entries[:1], *entries[-1:]]
        file.close(ome_text(self._manifest, self._layer, file.layout, file.pages, known))

    def _part_for(self, image: NDArray[np.generic]) -> tuple[int, int]:
        file, most = self._file, self._most_file_bytes
        if file is not None and (most is None or file.next_end + _LAST_TEXT_BYTES * (file.pages + 1) <= most):
            return self._part, file.next_offset
        if file is not None:
            self.close()
            self._part += 1
        layout = layout_of(image, self._manifest.object_pixel_m, is_big=most is None)
        text = ome_text(self._manifest, self._layer, layout, 0)
        with self._files:
            self._file = file = PageFile(self._folder / part_name(self._layer, self._part), layout, text)
            self.layout, self._is_named = layout, False
        return self._part, file.next_offset
