"""Where a recorded layer's files lie: its parts, in either format, and its list of frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from qpi_live.camera.files.writers.frame_list import FrameEntry

ARRAY = "0"
"""Where in an OME-Zarr the full resolution lies."""
_MOST_NAMED = 3


class Format(StrEnum):
    """What a recording's images are written as."""

    TIFF = "ome-tiff"
    ZARR = "ome-zarr"


def zarr_name(layer: str) -> str:
    """The folder name of a layer in OME-Zarr."""
    return f"{layer}.ome.zarr"


def format_of(folder: Path, layer: str) -> Format:
    """What a layer was recorded as."""
    return Format.ZARR if (folder / zarr_name(layer)).is_dir() else Format.TIFF


def part_name(layer: str, part: int, kind: Format = Format.TIFF) -> str:
    """A layer's part, as seen from the recording's folder: a TIFF, or a shard."""
    if kind is Format.ZARR:
        return f"{zarr_name(layer)}/{ARRAY}/c/{part}/0/0"
    return f"{layer}.ome.tif" if part == 0 else f"{layer}-{part:04d}.ome.tif"


def list_name(layer: str) -> str:
    """The file name of a layer's list of frames."""
    return f"{layer}.frames.jsonl"


def parts_of(folder: Path, layer: str) -> dict[int, Path]:
    """The files of a layer that are there, by the number in their name, in order; one may be missing."""
    kind = format_of(folder, layer)
    if kind is Format.ZARR:
        numbers = (path.name for path in (folder / zarr_name(layer) / ARRAY / "c").glob("*"))
    else:
        names = (path.name for path in (folder / part_name(layer, 0), *folder.glob(f"{layer}-*.ome.tif")))
        numbers = (name.removeprefix(layer).removesuffix(".ome.tif").removeprefix("-") or "0" for name in names)
    found = {}
    for digits in numbers:
        if digits.isdecimal() and (path := folder / part_name(layer, int(digits), kind)).is_file():
            found[int(digits)] = path
    return dict(sorted(found.items()))


def missing_parts(parts: Iterable[int], entries: Iterable[FrameEntry]) -> list[int]:
    """Numbers of the files that a layer should have, of which there are `parts`, and has not."""
    there, listed = set(parts), {entry.part for entry in entries}
    last = max(there | listed, default=-1)
    return [number for number in range(last + 1) if number not in there]


def said_missing(folder: Path, layer: str, missing: Sequence[int]) -> str:
    """The missing files, in a sentence; "" where there are none."""
    if not missing:
        return ""
    kind = format_of(folder, layer)
    names = ", ".join(part_name(layer, number, kind) for number in missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return f"{names}{more} {'is' if len(missing) == 1 else 'are'} missing."
