"""OME-Zarr 0.5: an image (time, y, x) in shards, each one file with a chunk a frame.

Source: https://ngff.openmicroscopy.org/0.5 (multiscales, axes, coordinateTransformations).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

ARRAY = "0"
_SHARD_BYTES = 64 << 20
_MOST_SHARD_FRAMES = 64


def shard_frames(shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
    """How many frames of (H, W) go into a shard: about 64 MiB of them."""
    frame_bytes = shape[0] * shape[1] * dtype.itemsize
    return max(1, min(_MOST_SHARD_FRAMES, _SHARD_BYTES // frame_bytes))


def create_ome_zarr(
    path: Path,
    name: str,
    frames: int,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    *,
    frames_per_shard: int,
    object_pixel_m: float | None = None,
    interval_s: float | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> zarr.Array[Any]:
    """An image of (frames, H, W) at a path that is not there yet, to write shard by shard.

    Args:
        path: of the folder.
        name: of the image.
        frames: how many.
        shape: (H, W) of each.
        dtype: of the values.
        frames_per_shard: how many frames a file has.
        object_pixel_m: one pixel in the object plane; None where it is not known.
        interval_s: between frames; None where it is not known.
        attributes: of the group, beside OME's own.

    Raises:
        FileExistsError: there is something at the path.
    """
    if path.exists():
        raise FileExistsError(f"expected a new name, got {path}, which is there already")
    group = zarr.create_group(store=path, zarr_format=3)
    array = group.create_array(
        ARRAY,
        shape=(frames, *shape),
        dtype=dtype,
        chunks=(1, *shape),
        shards=(frames_per_shard, *shape),
        # Quick enough to keep up with an engine; bits that hardly change lie together.
        compressors=BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"),
        fill_value=np.nan if dtype.kind == "f" else 0,
        dimension_names=("t", "y", "x"),
    )
    micrometre = {"unit": "micrometer"} if object_pixel_m else {}
    pixel = object_pixel_m * 1e6 if object_pixel_m else 1.0
    axes = [
        {"name": "t", "type": "time", **({"unit": "second"} if interval_s else {})},
        {"name": "y", "type": "space", **micrometre},
        {"name": "x", "type": "space", **micrometre},
    ]
    scale = [{"type": "scale", "scale": [interval_s or 1.0, pixel, pixel]}]
    multiscale = {"name": name, "axes": axes, "datasets": [{"path": ARRAY, "coordinateTransformations": scale}]}
    known: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale]}, **(attributes or {})}
    group.attrs.update(known)
    return array


def open_array(path: Path) -> zarr.Array[Any]:
    """The image of a folder that `create_ome_zarr` made, to write to."""
    return zarr.open_array(store=path, path=ARRAY, mode="r+")
