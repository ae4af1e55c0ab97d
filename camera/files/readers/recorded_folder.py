"""Recordings of this program: a folder with `recording.json`, interferograms in files, and what is known of each."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from qpi_live.camera.files.contents import Contents, Facts, Stack, Values, rate_of
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.tiff_pages import TiffPages
from qpi_live.camera.files.shard_repair import layout_of_array
from qpi_live.camera.files.writers.frame_list import FrameEntry, read_entries
from qpi_live.camera.files.writers.layer_names import (
    ARRAY,
    Format,
    format_of,
    list_name,
    missing_parts,
    parts_of,
    said_missing,
    zarr_name,
)
from qpi_live.camera.files.writers.manifest import NAME, Manifest
from qpi_live.camera.files.writers.shard_file import NO_FRAME, read_frame, read_index

_MOST_OPEN = 16


def open_recorded(folder: Path) -> Contents:
    """What a recording of this program holds: its interferograms, or its phase where it has nothing else.

    Raises:
        ImageFileError: it cannot be read, or has no frames.
    """
    layers = Manifest.read(folder).layers
    return open_layer(folder, "interferogram" if "interferogram" in layers else layers[0])


def open_layer(folder: Path, layer: str) -> Contents:
    """What a recording of this program holds of one of its layers, `interferogram` or `phase`.

    Raises:
        ImageFileError: it cannot be read, or has no such frames.
    """
    manifest = Manifest.read(folder)
    numbered = parts_of(folder, layer)
    paths = list(numbered.values())
    if not paths:
        raise ImageFileError("expected a recording with frames, got one without; nothing was recorded")
    parts: _Parts | _Shards
    if format_of(folder, layer) is Format.ZARR:
        parts = _Shards(folder / zarr_name(layer), paths)
        paths = [parts.about]
    else:
        parts = _Parts(paths)
    entries = list(read_entries(folder / list_name(layer)))
    frames = parts.frames
    facts = Facts(
        manifest.known_optics,
        rate_of(mean_interval_s(entries)),
        manifest.bit_depth if layer == "interferogram" else None,
    )
    there = [entry.captured_ns for entry in entries if entry.part in numbered]  # frames play by their place in those
    times_s = {place: (captured_ns - there[0]) / 1e9 for place, captured_ns in enumerate(there)}
    cut = "It was not closed; `qpi files --repair` does that." if manifest.ended_ns is None else ""
    missing = said_missing(folder, layer, missing_parts(numbered, entries))
    stack = Stack(
        name="",
        shape=parts.shape,
        dtype=parts.dtype,
        frames=frames,
        plane=lambda frame, _: parts.read(frame),
        facts=facts,
        promised=max(frames, len(entries)),
        remark=f"{missing} {cut}".strip(),
        time_s=times_s.get,
    )
    watched = (folder / NAME, *paths, folder)
    return Contents("recording", (stack,), watched, parts.close)


def mean_interval_s(entries: list[FrameEntry]) -> float | None:
    """The mean time between frames, in s; None where there are not two."""
    if len(entries) < 2:
        return None
    return (entries[-1].captured_ns - entries[0].captured_ns) / 1e9 / (len(entries) - 1)


class _Parts:
    """The files of one layer, by the number of the frame; a few of them are open at a time."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._open: dict[int, TiffPages] = {}
        held = [self._pages(part).directories for part in range(len(paths))]
        self._ends = list(accumulate(held))
        first = self._pages(0)
        self.shape, self.dtype = first.shape, first.dtype.name

    @property
    def frames(self) -> int:
        """How many there are in all."""
        return self._ends[-1]

    def read(self, frame: int) -> Values:
        """The values of a frame; raises `ImageFileError` where it cannot be read."""
        part = bisect_right(self._ends, frame)
        if part >= len(self._paths):
            raise ImageFileError(f"expected a frame below {self.frames}, got {frame}")
        return self._pages(part).read_directory(frame - (self._ends[part - 1] if part else 0))

    def close(self) -> None:
        """Let go of the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _pages(self, part: int) -> TiffPages:
        if part not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[part] = TiffPages(self._paths[part])
        return self._open[part]


class _Shards:
    """The frames of a layer in OME-Zarr, those that the shards' indexes point to; nothing stays open.

    Attributes:
        about: the file that says how many there are; it is written again as they come.
    """

    def __init__(self, image: Path, paths: list[Path]) -> None:
        self.about = image / ARRAY / "zarr.json"
        self._layout, per_shard = layout_of_array(image)
        self._places: list[tuple[Path, int]] = []
        for path in paths:
            offsets = read_index(path, per_shard)[:, 0]
            self._places += [(path, int(offset)) for offset in offsets if offset != NO_FRAME]
        self.shape, self.dtype = self._layout.shape, self._layout.dtype.name

    @property
    def frames(self) -> int:
        """How many there are in all."""
        return len(self._places)

    def read(self, frame: int) -> Values:
        """The values of a frame; raises `ImageFileError` where it cannot be read."""
        if frame >= self.frames:
            raise ImageFileError(f"expected a frame below {self.frames}, got {frame}")
        return read_frame(*self._places[frame], self._layout)

    def close(self) -> None:
        """Nothing is open."""
