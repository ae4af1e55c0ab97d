"""Runs that Micro-Manager 2 and Pycro-Manager save as NDTiff: an index of all frames beside one or more files.

Source: the NDTiff specification, https://github.com/micro-manager/NDTiffStorage.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from qpi_live.camera.files.contents import Channel, Contents, Facts, Stack, Values
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.micromanager import facts_of, summary_of
from qpi_live.camera.files.readers.tiff_pages import FlatFrames

NDTIFF_INDEX = "NDTiff.index"
# The index' number of a type of pixels: how they are stored, and their significant bits.
_PIXEL_TYPES = {0: ("u1", 8), 1: ("<u2", 16), 3: ("<u2", 10), 4: ("<u2", 12), 5: ("<u2", 14), 6: ("<u2", 11)}

Others = tuple[tuple[str, Any], ...]
Moment = tuple[Any, Any]


@dataclass(slots=True)
class _Index:
    """Planes by what does not move (a position), then by (time, depth) and channel."""

    planes: dict[Others, dict[tuple[Moment, Any], FlatFrames]] = field(default_factory=dict)
    channels: dict[Any, None] = field(default_factory=dict)
    bit_depth: int = 16


def open_ndtiff(folder: Path) -> Contents:
    """The run in `folder`, by its index.

    Raises:
        ImageFileError: the index or the files cannot be read.
    """
    path = folder / NDTIFF_INDEX
    index = _read_index(path)
    facts = facts_of(_summary(folder))
    if facts.bit_depth is None and index.bit_depth < 16:
        facts = replace(facts, bit_depth=index.bit_depth)
    stacks = tuple(_stack(others, planes, tuple(index.channels), facts) for others, planes in index.planes.items())
    files = {flat.path for planes in index.planes.values() for flat in planes.values()}
    return Contents("NDTiff run", stacks, (path, *sorted(files)))


def _read_index(path: Path) -> _Index:
    index = _Index()
    try:
        for axes, name, offset, width, height, kind, compression, *_ in tifffile.read_ndtiff_index(path):
            if kind not in _PIXEL_TYPES or compression:
                raise ImageFileError(f"expected uncompressed grey values, got pixel type {kind} in {path.name}")
            stored_as, index.bit_depth = _PIXEL_TYPES[kind]
            flat = FlatFrames(path.parent / Path(name).name, offset, (height, width), np.dtype(stored_as), 1)
            channel = axes.get("channel", "")
            index.channels.setdefault(channel)
            others = tuple(sorted((key, at) for key, at in axes.items() if key not in ("time", "z", "channel")))
            index.planes.setdefault(others, {})[(axes.get("time", 0), axes.get("z", 0)), channel] = flat
    except ImageFileError:
        raise
    except Exception as error:  # an index that is being written, or was cut short, ends anywhere
        if not index.planes:
            raise ImageFileError(f"expected a readable {path.name}, got an error ({error})") from error
    if not index.planes:
        raise ImageFileError(f"expected frames in {path.name}, got none yet")
    return index


def _stack(
    others: Others, planes: dict[tuple[Moment, Any], FlatFrames], channels: tuple[Any, ...], facts: Facts
) -> Stack:
    moments = sorted({moment for moment, _ in planes})
    height, width = next(iter(planes.values())).shape

    def plane(frame: int, channel: int) -> Values:
        found = planes.get((moments[frame], channels[channel]))
        if found is None:
            raise ImageFileError("expected a plane of this channel and time, got none in the index")
        return found.read(0)

    return Stack(
        name=", ".join(f"{axis} {value}" for axis, value in others),
        shape=(height, width),
        dtype=next(iter(planes.values())).dtype.name,
        frames=len(moments),
        plane=plane,
        channels=tuple(Channel(str(name)) for name in channels),
        facts=facts,
        promised=len(moments),
    )


def _summary(folder: Path) -> Mapping[str, Any]:
    for file in sorted(folder.glob("*.tif")):
        with suppress(Exception), tifffile.TiffFile(file) as tiff:
            return summary_of(tiff)
    return {}
