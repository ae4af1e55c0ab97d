"""What is whole of a layer in OME-Zarr that was cut off, and closing it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qpi_live.camera.files.bounded_file import read_exactly, size_of
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.writers.frame_list import FrameEntry, is_image_sound, parse_entry
from qpi_live.camera.files.writers.layer_names import ARRAY, zarr_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.page_file import PageLayout
from qpi_live.camera.files.writers.shard_file import CRC_BYTES, NO_FRAME, read_index, read_line, rewrite_index
from qpi_live.camera.files.writers.zarr_parts import describe
from qpi_live.camera.files.writers.zarr_text import array_text, group_text, parse_array


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One shard of a layer; `layout` is None where the array does not say what its frames are."""

    path: Path
    layout: PageLayout | None
    per_shard: int

    def is_sound(self, entry: FrameEntry) -> bool:
        """Whether the image of a frame is there as it was recorded."""
        return self.layout is not None and is_image_sound(self.path, self.layout.image_bytes, entry)

    def entries(self) -> list[FrameEntry]:
        """What stands behind the frames of the shard itself, as far as its index goes."""
        if self.layout is None:
            return []
        try:
            index = read_index(self.path, self.per_shard)
        except ImageFileError:
            return []
        offsets = (int(offset) for offset, _ in index if offset != NO_FRAME)
        found = [parse_entry(read_line(self.path, offset, self.layout)) for offset in offsets]
        return [entry for entry in found if entry is not None]

    def close(self, sound: list[FrameEntry]) -> None:
        """Let the index point to these frames and no others."""
        if self.layout is None:
            return
        index = np.full((self.per_shard, 2), NO_FRAME, "<u8")
        for entry in sound:
            index[entry.frame % self.per_shard] = entry.offset, self.layout.image_bytes + CRC_BYTES
        rewrite_index(self.path, index)


def shard_parts(folder: Path, layer: str, parts: dict[int, Path]) -> dict[int, ShardPart]:
    """The shards of a layer, by their numbers."""
    layout, per_shard = None, 1
    with suppress(ImageFileError):
        layout, per_shard = layout_of_array(folder / zarr_name(layer))
    return {number: ShardPart(path, layout, per_shard) for number, path in parts.items()}


def layout_of_array(image: Path) -> tuple[PageLayout, int]:
    """The layout of the frames in an OME-Zarr that was recorded here, and how many a shard has room for.

    Raises:
        ImageFileError: it is another one.
    """
    about = image / ARRAY / "zarr.json"
    return parse_array(read_exactly(about, 0, size_of(about)))


def close_image(folder: Path, layer: str, manifest: Manifest, sound: list[FrameEntry]) -> None:
    """Let a layer's image say which frames it has; one that is torn between whole ones stays out of it, as a gap."""
    image = folder / zarr_name(layer)
    try:
        layout, per_shard = layout_of_array(image)
    except ImageFileError:
        return
    frames = max((entry.frame for entry in sound), default=-1) + 1
    layout = PageLayout(layout.shape, layout.dtype, manifest.object_pixel_m)
    describe(image / ARRAY, array_text(layout, frames, per_shard))
    if sound:
        known = sound if len(sound) == frames else [sound[0], sound[-1]]
        describe(image, group_text(manifest, layer, layout, known, frames))
