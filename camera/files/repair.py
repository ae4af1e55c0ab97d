"""Closes recordings that were cut off: what is whole is kept and counted, what is torn is taken off."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from time import time_ns

from qpi_live.camera.files.bounded_file import read_exactly
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.tiff_pages import TiffPages
from qpi_live.camera.files.shard_repair import ShardPart, close_image, shard_parts
from qpi_live.camera.files.writers.frame_list import FrameEntry, is_image_sound, parse_entry, read_entries
from qpi_live.camera.files.writers.layer_names import (
    Format,
    format_of,
    list_name,
    missing_parts,
    parts_of,
    said_missing,
)
from qpi_live.camera.files.writers.lock import RecordingIsWritten, RecordingLock
from qpi_live.camera.files.writers.manifest import RESERVE, Manifest
from qpi_live.camera.files.writers.ome_text import ome_text
from qpi_live.camera.files.writers.page_file import PageFile, PageLayout
from qpi_live.camera.whole_file import whole_file

_BIG = b"II+\0"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of one layer: frames that are whole, those that were torn, and which files are missing, if any."""

    layer: str
    frames: int
    torn: int
    missing: str = ""


def is_open(manifest: Manifest) -> bool:
    """Whether a recording was not closed: it is being written, or was cut off."""
    return manifest.ended_ns is None


def check(folder: Path) -> list[Repaired]:
    """How many frames of each layer are whole, by the checksum of every one; nothing is changed.

    Raises:
        ImageFileError: it is no recording.
    """
    manifest = Manifest.read(folder)
    return [_counted(folder, layer) for layer in manifest.layers]


def _counted(folder: Path, layer: str) -> Repaired:
    parts = _parts(folder, layer)
    entries = _known(folder, layer, parts)
    sound = sum(entry.part in parts and parts[entry.part].is_sound(entry) for entry in entries)
    missing = said_missing(folder, layer, missing_parts(parts, entries))
    return Repaired(layer, sound, len(entries) - sound, missing)


def repair(folder: Path) -> list[Repaired]:
    """Close a recording that was cut off; one that was closed stays as it is.

    Raises:
        ImageFileError: it is no recording, cannot be read, or is being written.
        OSError: it cannot be written.
    """
    if not is_open(Manifest.read(folder)):
        return check(folder)
    try:
        lock = RecordingLock(folder)
    except RecordingIsWritten as error:
        raise ImageFileError(str(error)) from error
    try:
        return _repair(folder, Manifest.read(folder))
    finally:
        lock.release()


def _repair(folder: Path, manifest: Manifest) -> list[Repaired]:
    repaired = [_repair_layer(folder, layer, manifest) for layer in manifest.layers]
    frames = ", ".join(f"{one.frames} of {one.layer}" for one in repaired)
    manifest.ended_ns, manifest.state = time_ns(), "repaired"
    (folder / RESERVE).unlink(missing_ok=True)
    missing = " ".join(one.missing for one in repaired if one.missing)
    manifest.sentence = f"The recording was cut off; these frames are whole: {frames}. {missing}".strip()
    manifest.write(folder)
    return repaired


def _repair_layer(folder: Path, layer: str, manifest: Manifest) -> Repaired:
    parts = _parts(folder, layer)
    entries = _known(folder, layer, parts)
    kept: list[FrameEntry] = []
    for number, part in parts.items():
        sound = [entry for entry in entries if entry.part == number and part.is_sound(entry)]
        if isinstance(part, _TiffPart):
            part.close(layer, manifest, sound)
        else:
            part.close(sound)
        kept += sound
    if format_of(folder, layer) is Format.ZARR:
        close_image(folder, layer, manifest, kept)
    else:  # pages have closed ranks
        kept = [replace(entry, frame=at) for at, entry in enumerate(kept)]
    with whole_file(folder / list_name(layer)) as written, written.open("wb") as file:
        file.writelines(entry.line() for entry in kept)
        file.flush()
        os.fsync(file.fileno())
    missing = said_missing(folder, layer, missing_parts(parts, entries))
    return Repaired(layer, len(kept), len(entries) - len(kept), missing)


@dataclass(frozen=True, slots=True)
class _TiffPart:
    """One file of a layer; `layout` is None where not even its first page is there."""

    path: Path
    layout: PageLayout | None

    def is_sound(self, entry: FrameEntry) -> bool:
        """Whether the image of a frame is there as it was recorded."""
        return self.layout is not None and is_image_sound(self.path, self.layout.image_bytes, entry)

    def entries(self) -> list[FrameEntry]:
        """What the pages say of their frames, as far as the chain goes; the first page has no room for it."""
        try:
            pages = TiffPages(self.path)
        except (ImageFileError, ValueError, OSError):
            return []
        try:
            found = [parse_entry(pages.description(number).encode()) for number in range(1, pages.directories)]
        finally:
            pages.close()
        return [entry for entry in found if entry is not None]

    def close(self, layer: str, manifest: Manifest, sound: list[FrameEntry]) -> None:
        """Let the chain of pages go through these frames and no others."""
        if not sound:
            if self.layout is None:  # not even a first page; a file that has pages stays, whatever is known of them
                self.path.unlink()
            return
        if self.layout is None:
            return
        layout = replace(self.layout, object_pixel_m=manifest.object_pixel_m)
        file = PageFile.reopen(self.path, layout, ome_text(manifest, layer, layout, 0))
        for entry in sound:
            file.adopt(entry.offset, entry.line().rstrip())
        file.close(ome_text(manifest, layer, layout, len(sound), sound))


def _parts(folder: Path, layer: str) -> dict[int, _TiffPart | ShardPart]:
    paths = parts_of(folder, layer)
    if format_of(folder, layer) is Format.ZARR:
        return {**shard_parts(folder, layer, paths)}
    return {number: _TiffPart(path, _layout_of(path)) for number, path in paths.items()}


def _known(folder: Path, layer: str, parts: dict[int, _TiffPart | ShardPart]) -> list[FrameEntry]:
    """The entries of a layer: those of its list, and those that stand in the files alone."""
    entries = list(read_entries(folder / list_name(layer)))
    listed = {(entry.part, entry.offset) for entry in entries}
    for part in parts.values():
        entries += [entry for entry in part.entries() if (entry.part, entry.offset) not in listed]
    return sorted(entries, key=lambda entry: entry.frame)


def _layout_of(path: Path) -> PageLayout | None:
    try:
        pages = TiffPages(path)
    except (ImageFileError, ValueError, OSError):
        return None
    try:
        is_big = read_exactly(path, 0, 4) == _BIG
        return PageLayout(pages.shape, pages.dtype.newbyteorder("="), None, is_big)
    finally:
        pages.close()
