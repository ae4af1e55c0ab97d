"""Micro-Manager: what its TIFF stacks and its folders of single images say of themselves.

Source: https://micro-manager.org/Micro-Manager_File_Formats; runs in NDTiff are read in `ndtiff_run`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import tifffile
from qpi_live.camera.files.bounded_file import size_of
from qpi_live.camera.files.contents import Channel, Contents, Facts, Stack, Values, optics_of, rate_of
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import read_image, read_values
from qpi_live.camera.files.readers.ome import PlaneKey
from qpi_live.camera.files.readers.tiff_pages import TiffPages

METADATA_TEXT = "metadata.txt"
_PART = re.compile(r"(?P<run>.+_MMStack.*?)(?:_\d+)?\.ome\.tiff?", re.IGNORECASE)
_OLD_NAME = re.compile(r"img_(?P<time>\d+)_(?P<channel>.+)_(?P<depth>\d+)\.tiff?", re.IGNORECASE)
_NEW_NAME = re.compile(
    r"img_channel(?P<channel>\d+)_position(?P<position>\d+)_time(?P<time>\d+)_z(?P<depth>\d+)\.tiff?", re.IGNORECASE
)

Run = tuple[str, tuple[Channel, ...], Facts, dict[PlaneKey, tuple[Path, int]]]


def facts_of(summary: Mapping[str, Any]) -> Facts:
    """What a summary says of scale, pace and bit depth."""

    def number(*names: str) -> float | None:
        for name in names:
            with suppress(TypeError, ValueError):
                if summary.get(name) is not None:
                    return float(summary[name])
        return None

    pixel_um, interval_ms, bits = number("PixelSize_um", "PixelSizeUm"), number("Interval_ms"), number("BitDepth")
    return Facts(
        optics=optics_of(object_pixel_m=pixel_um * 1e-6 if pixel_um else None),
        frame_rate_hz=rate_of(interval_ms / 1000 if interval_ms else None),
        bit_depth=int(bits) if bits and 1 <= bits <= 16 else None,
    )


def completed(facts: Facts, tiff: tifffile.TiffFile) -> Facts:
    """`facts`, and from the Micro-Manager summary of the file what they leave open."""
    stated = facts_of(summary_of(tiff))
    return Facts(
        facts.optics or stated.optics,
        facts.frame_rate_hz or stated.frame_rate_hz,
        facts.bit_depth or stated.bit_depth,
        facts.modality,
    )


def summary_of(tiff: tifffile.TiffFile) -> Mapping[str, Any]:
    """The run's summary in a TIFF file of Micro-Manager's; empty where there is no sound one."""
    with suppress(Exception):  # a run that broke off has no sound metadata
        found = (tiff.micromanager_metadata or {}).get("Summary", {})
        return found if isinstance(found, dict) else {}
    return {}


def index_of(path: Path, pages_of: Callable[[Path], TiffPages]) -> list[Run]:
    """The positions of the run that the stack file at `path` is part of, by Micro-Manager's own index maps.

    Files of a run are split at 4 GB; each has an index map of its own. Empty where there is none.
    """
    parts = _parts_of_run(path)
    found: dict[int, dict[tuple[int, int, int], tuple[Path, int]]] = {}
    for part in parts:
        pages = pages_of(part)
        with suppress(Exception):  # no index map: the run broke off before it was written
            numbers = pages.page_offsets()
            for channel, depth, time, position, offset in (pages.tiff.micromanager_metadata or {})["IndexMap"].tolist():
                if offset in numbers:
                    found.setdefault(position, {})[time, depth, channel] = (part, numbers[offset])
    if not found:
        return []
    summary = summary_of(pages_of(path).tiff)
    names = [str(name) for name in summary.get("ChNames", [])]
    runs = []
    for position, places in sorted(found.items()):
        channels = 1 + max(channel for _, _, channel in places)
        named = names[:channels] + [f"channel {index}" for index in range(len(names), channels)]
        name = f"position {position}" if len(found) > 1 else ""
        runs.append((name, tuple(map(Channel, named)), facts_of(summary), _by_frame(places)))
    return runs


def _parts_of_run(path: Path) -> list[Path]:
    """The files that a run was split into, in order: X.ome.tif, X_1.ome.tif, …"""
    match = _PART.fullmatch(path.name)
    if match is None:
        return [path]
    beside = [(_PART.fullmatch(other.name), other) for other in path.parent.iterdir() if not other.name.startswith(".")]
    parts = [other for same, other in beside if same and same["run"] == match["run"]]
    return sorted(parts, key=lambda other: (len(other.name), other.name))


def _by_frame(places: dict[tuple[int, int, int], tuple[Path, int]]) -> dict[PlaneKey, tuple[Path, int]]:
    moments = {moment: frame for frame, moment in enumerate(sorted({(time, depth) for time, depth, _ in places}))}
    return {(moments[time, depth], channel): place for (time, depth, channel), place in places.items()}


def open_single_images(folder: Path, files: Iterable[Path]) -> Contents | None:
    """A run that Micro-Manager saved as one file a plane, by the files' names; None where it is not such a run."""
    planes: dict[int, dict[tuple[int, int, int], Path]] = {}
    names: dict[str, int] = {}
    for file in files:
        match = _NEW_NAME.fullmatch(file.name) or _OLD_NAME.fullmatch(file.name)
        if match is None:
            return None
        parts = match.groupdict()
        channel = names.setdefault(parts["channel"], len(names))
        key = (int(parts["time"]), int(parts["depth"]), channel)
        planes.setdefault(int(parts.get("position") or 0), {})[key] = file
    if not planes:
        return None
    summary = _summary_text(folder)
    stated = [str(name) for name in summary.get("ChNames", [])]
    channels = tuple(Channel(_channel_name(name, stated)) for name in names)
    stacks = [_single_stack(position, found, channels, facts_of(summary)) for position, found in planes.items()]
    if len(stacks) == 1:
        stacks = [replace(stacks[0], name="")]
    return Contents("Micro-Manager folder", tuple(stacks), (folder,))


def _channel_name(name: str, stated: list[str]) -> str:
    return stated[int(name)] if name.isdecimal() and int(name) < len(stated) else name


def _single_stack(
    position: int, places: dict[tuple[int, int, int], Path], channels: tuple[Channel, ...], facts: Facts
) -> Stack:
    moments = sorted({key[:2] for key in places})

    def plane(frame: int, channel: int) -> Values:
        file = places.get((*moments[frame], channel))
        if file is None:
            raise ImageFileError("expected a file of this channel and time, got none")
        return read_values(file)

    shape = dtype = None
    for file in list(places.values())[:16]:
        with suppress(ImageFileError):
            first = read_image(file, may_miss=True).pixels
            shape, dtype = (first.shape[0], first.shape[1]), first.dtype.name
            break
    if shape is None or dtype is None:
        raise ImageFileError("expected readable images, got none among the first ones")
    title = "time {}".format
    return Stack(f"position {position}", shape, dtype, len(moments), plane, channels, facts, len(moments), title)


def _summary_text(folder: Path) -> Mapping[str, Any]:
    path = folder / METADATA_TEXT
    with suppress(OSError, ValueError, ImageFileError):
        if size_of(path) < 2**28:
            found = json.loads(path.read_text("utf-8")).get("Summary", {})
            return found if isinstance(found, dict) else {}
    return {}
