"""What an OME-Zarr 0.5 says of itself while it is recorded: the group, and the array that grows.

Source: https://ngff.openmicroscopy.org/0.5 (multiscales, axes); Zarr v3 core, `sharding_indexed` 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.writers.frame_list import FrameEntry
from qpi_live.camera.files.writers.layer_names import ARRAY
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.ome_text import MOST_PLANES
from qpi_live.camera.files.writers.page_file import PageLayout
from qpi_live.camera.files.writers.shard_file import MOST_FRAMES

_VERSION = "0.5"
_ARRAY_TEXT_BYTES = 2048  # whatever the number of frames, so that it is replaced in place
_TYPES = ("uint8", "uint16", "float32")


def array_text(layout: PageLayout, frames: int, frames_per_shard: int) -> bytes:
    """`zarr.json` of an array of so many frames: a chunk a frame, as long for any number of them."""
    height, width = layout.shape
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    checked = [little, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": [1, height, width],
        "codecs": checked,
        "index_codecs": checked,
        "index_location": "start",
    }
    stated = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [frames, height, width],
        "data_type": layout.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [frames_per_shard, height, width]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if layout.dtype.kind == "f" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["t", "y", "x"],
        "attributes": {},
    }
    return json.dumps(stated, indent=1).encode().ljust(_ARRAY_TEXT_BYTES)


def parse_array(text: bytes) -> tuple[PageLayout, int]:
    """The layout of the frames, and how many a shard has room for, of an array that was recorded here.

    Raises:
        ImageFileError: it is another array.
    """
    try:
        stated = json.loads(text)
        (_, height, width), dtype = stated["shape"], stated["data_type"]
        (per_shard, *_) = stated["chunk_grid"]["configuration"]["chunk_shape"]
        is_ours = stated["codecs"][0]["configuration"]["index_location"] == "start" and dtype in _TYPES
        if not is_ours or not all(isinstance(n, int) and n > 0 for n in (height, width, per_shard)):
            raise ValueError("an array of another layout")
        if per_shard > MOST_FRAMES:
            raise ValueError(f"shards of {per_shard} frames")
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ImageFileError(f"expected an OME-Zarr that was recorded here, got an error ({error})") from error
    return PageLayout((height, width), np.dtype(dtype)), per_shard


def group_text(manifest: Manifest, layer: str, layout: PageLayout, entries: Sequence[FrameEntry], frames: int) -> bytes:
    """`zarr.json` of the image: OME's axes and scale, and what was known when it was recorded.

    Args:
        manifest: of the recording.
        layer: that it has.
        layout: of its frames.
        entries: of its frames, for their times; the first and the last where they are many; none while it is recorded.
        frames: how many there are.
    """
    interval_s = None
    if len(entries) > 1:
        interval_s = max(entries[-1].captured_ns - entries[0].captured_ns, 1) / 1e9 / (frames - 1)
    pixel_um = round(layout.object_pixel_m * 1e6, 9) if layout.object_pixel_m else None
    micrometre = {"unit": "micrometer"} if pixel_um else {}
    axes = [
        {"name": "t", "type": "time", **({"unit": "second"} if interval_s else {})},
        {"name": "y", "type": "space", **micrometre},
        {"name": "x", "type": "space", **micrometre},
    ]
    scale = [{"type": "scale", "scale": [interval_s or 1.0, pixel_um or 1.0, pixel_um or 1.0]}]
    multiscale = {
        "name": f"{manifest.name} {layer}",
        "axes": axes,
        "datasets": [{"path": ARRAY, "coordinateTransformations": scale}],
    }
    known: dict[str, Any] = {"bit_depth": manifest.bit_depth} if layer == "interferogram" else {}
    known |= {"optics": manifest.optics, "started_ns": manifest.started_ns, "particulars": manifest.particulars(layer)}
    if len(entries) == frames <= MOST_PLANES:
        known["captured_ns"] = [entry.captured_ns for entry in entries]
        known["exposure_us"] = [entry.exposure_us for entry in entries]
    attributes = {
        "ome": {"version": _VERSION, "multiscales": [multiscale]},
        "qpi-live": {"layer": layer, "unit": "rad" if layer == "phase" else "grey value", **known},
    }
    stated = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(stated, indent=1, default=str).encode()
