"""A recorded layer as OME-Zarr 0.5: an array (time, y, x) that grows shard by shard, a chunk a frame."""

from __future__ import annotations

import os
import shutil
from io import FileIO
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.writers.frame_list import FrameEntry
from qpi_live.camera.files.writers.layer_files import data_to_disk, layout_of, names_to_disk
from qpi_live.camera.files.writers.layer_names import ARRAY, Format, part_name, zarr_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.ome_text import MOST_PLANES
from qpi_live.camera.files.writers.page_file import PageLayout, write_at
from qpi_live.camera.files.writers.shard_file import MOST_FRAMES, ShardFile
from qpi_live.camera.files.writers.zarr_text import array_text, group_text
from qpi_live.camera.whole_file import whole_file

_SHARD_BYTES = 64 << 20
_DESCRIBED = "zarr.json"


class ZarrParts:
    """See `LayerFiles`; `sync` also lets go of the shards that are full.

    Args:
        folder: the recording's.
        layer: its name.
        manifest: of the recording.
    """

    def __init__(self, folder: Path, layer: str, manifest: Manifest) -> None:
        self._folder, self._layer, self._manifest = folder, layer, manifest
        self._image = folder / zarr_name(layer)
        self.layout: PageLayout | None = None
        self._per_shard = 1
        self._shard: ShardFile | None = None
        self._full: list[ShardFile] = []  # not known to be on the disk yet
        self._about: FileIO | None = None
        self._unnamed: set[Path] = set()  # folders whose new names are not known to be on the disk yet
        self._part = 0
        self._frames = 0
        self._entries: list[FrameEntry] = []
        self._files = Lock()  # held while files change hands: another thread brings them to the disk
        self._syncing = Lock()

    def place(self, image: NDArray[np.generic]) -> tuple[int, int]:
        """See `LayerFiles.place`."""
        if self._about is None:
            self._begin(image)
        shard = self._shard
        if shard is None or shard.is_full:
            shard = self._next_shard(shard)
        return self._part, shard.next_offset

    def append(self, image: NDArray[np.generic], entry: FrameEntry, line: bytes) -> None:
        """See `LayerFiles.append`."""
        assert self._shard is not None
        self._shard.append(image, line)
        self._frames += 1
        if len(self._entries) > MOST_PLANES:
            self._entries[1:] = []
        self._entries.append(entry)

    def take_back(self) -> None:
        """See `LayerFiles.take_back`."""
        if self._shard is not None:
            self._frames -= 1
            self._entries.pop()
            self._shard.take_back()

    def restate(self) -> None:
        """See `LayerFiles.restate`."""
        if self._about is not None and self.layout is not None:
            write_at(self._about, 0, array_text(self.layout, self._frames, self._per_shard))

    def sync(self) -> None:
        """See `LayerFiles.sync`."""
        with self._syncing:  # which keeps these files open; the lock of the writing thread is not held meanwhile
            with self._files:
                full, shard, about = list(self._full), self._shard, self._about
                unnamed, self._unnamed = self._unnamed, set()
            for one in (*full, *([shard] if shard else [])):
                data_to_disk(one.path, one.fileno())
            if about is not None:
                data_to_disk(self._image / ARRAY / _DESCRIBED, about.fileno())
            for folder in sorted(unnamed):
                names_to_disk(folder)
            with self._files:
                self._full = [one for one in self._full if one not in full]
            for one in full:
                one.close()

    def close(self) -> None:
        """See `LayerFiles.close`."""
        try:
            self._state_all()
            self.sync()
        finally:
            with self._syncing, self._files:
                for shard in (*self._full, self._shard):
                    if shard is not None:
                        shard.close()
                if self._about is not None:
                    self._about.close()
                self._full, self._shard, self._about = [], None, None
        if self.layout is not None and not self._frames:
            shutil.rmtree(self._image)

    def _state_all(self) -> None:
        """Say how many frames there are, and when each was taken."""
        if self.layout is None or self._about is None or not self._frames:
            return
        self.restate()
        known = self._entries
        if len(known) != self._frames:
            known = [known[0], known[-1]]
        describe(self._image, group_text(self._manifest, self._layer, self.layout, known, self._frames))

    def _begin(self, image: NDArray[np.generic]) -> None:
        layout = layout_of(image, self._manifest.object_pixel_m)
        self._per_shard = shard_room(layout)
        (self._image / ARRAY / "c").mkdir(parents=True)
        describe(self._image, group_text(self._manifest, self._layer, layout, [], 0))
        about = (self._image / ARRAY / _DESCRIBED).open("xb+", buffering=0)
        write_at(about, 0, array_text(layout, 0, self._per_shard))
        with self._files:
            self._about, self.layout = about, layout
            self._unnamed |= {self._folder, self._image, self._image / ARRAY, self._image / ARRAY / "c"}

    def _next_shard(self, full: ShardFile | None) -> ShardFile:
        assert self.layout is not None
        part = self._part if full is None else self._part + 1
        path = self._folder / part_name(self._layer, part, Format.ZARR)
        shard = ShardFile(path, self.layout, self._per_shard)
        with self._files:
            if full is not None:
                self._full.append(full)
            self._shard, self._part = shard, part
            self._unnamed |= {path.parent, path.parent.parent, path.parent.parent.parent}
        return shard


def describe(node: Path, text: bytes) -> None:
    """Replace what a group or array says of itself, whole or not at all, on the disk."""
    with whole_file(node / _DESCRIBED) as path, path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def shard_room(layout: PageLayout) -> int:
    """How many frames a shard has room for: about 64 MiB of them."""
    return max(1, min(MOST_FRAMES, _SHARD_BYTES // layout.image_bytes))
