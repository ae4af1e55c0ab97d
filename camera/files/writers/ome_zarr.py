"""OME-Zarr 0.5: an image (time, y, x) in shards, each one file with a chunk a frame.

Source: https://ngff.openmicroscopy.org/0.5 (multiscales, axes, coordinateTransformations).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from qpi_live.camera.files.writers.layer_names import ARRAY
from qpi_live.camera.whole_file import whole_file
from zarr.codecs import BloscCodec

_VERSION = "0.5"
_LABELS = "labels"
_SHARD_BYTES = 64 << 20
_MOST_SHARD_FRAMES = 64
_NO_CHUNK = 2**64 - 1


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
    is_compressed: bool = True,
    labels_of: str | None = None,
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
        is_compressed: whether chunks are; `write_shard` writes those of an image that is not.
        labels_of: where, as seen from it, the image lies whose parts its values number; "": nowhere; None: it has no
            such values.

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
        compressors=BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle") if is_compressed else None,
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
    ome: dict[str, Any] = {"version": _VERSION, "multiscales": [multiscale]}
    if labels_of is not None:
        source = {"source": {"image": labels_of}} if labels_of else {}
        ome["image-label"] = {"version": _VERSION, **source}
    known: dict[str, Any] = {"ome": ome, **(attributes or {})}
    group.attrs.update(known)
    return array


def label_folder(path: Path, name: str) -> Path:
    """Where the label image `name` of the image at `path` belongs; its group says so from now on."""
    group = zarr.open_group(path, mode="r+").require_group(_LABELS)
    known: Any = group.attrs.get("ome", {})
    listed = [*known.get(_LABELS, []), name]
    group.attrs["ome"] = {"version": _VERSION, _LABELS: sorted(set(listed))}
    return path / _LABELS / name


def write_shard(path: Path, number: int, frames_per_shard: int, values: NDArray[np.generic]) -> None:
    """Write a whole shard of an image that is not compressed, onto the disk, whole or not at all.

    Such a shard is its frames one behind the other, and an index of where each lies (Zarr's sharding codec, 1.0). Zarr
    itself takes three times as long over it, copying.

    Args:
        path: of the folder that `create_ome_zarr` made.
        number: of the shard along time.
        frames_per_shard: as it was made with.
        values: (frames, H, W), little-endian; fewer frames than a shard has only in the last one.

    Raises:
        OSError: it cannot be written.
    """
    frame_bytes = values.nbytes // len(values)
    index = np.full((frames_per_shard, 2), _NO_CHUNK, "<u8")
    index[: len(values), 0] = np.arange(len(values)) * frame_bytes
    index[: len(values), 1] = frame_bytes
    target = path / ARRAY / "c" / str(number) / "0" / "0"
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as written, written.open("wb", buffering=0) as file:
        rest = values.data.cast("B")
        while len(rest):
            rest = rest[file.write(rest) or 0 :]
        file.write(index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(4, "little"))
        os.fsync(file.fileno())
