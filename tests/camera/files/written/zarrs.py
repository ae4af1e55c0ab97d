"""Tiny recordings in Zarr: OME-Zarr 0.4 and 0.5, zipped or not, and plain arrays."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import zarr

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, Stack, hologram_and_fluorescence


def ome_zarr(folder: Path, stack: Stack, version: str = "0.4", **options: Any) -> str:
    """Axes t, c, z, y, x with scale, channels by `omero`."""
    path = folder / "image.ome.zarr"
    both = hologram_and_fluorescence(stack)[:, ::-1, None]
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=both, chunks=(1, 1, 1, 20, 32), **options)
    group.create_array("1", data=both[..., ::2, ::2], chunks=(1, 1, 1, 20, 32))
    kinds = {"t": ("time", "second"), "c": ("channel", None), "z": ("space", "micrometer")}
    axes = [
        {"name": name, "type": kind} | ({"unit": unit} if unit else {})
        for name in "tczyx"
        for kind, unit in [kinds.get(name, kinds["z"])]
    ]
    levels = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 1, 1, PIXEL_M * 1e6 * 2**level, PIXEL_M * 1e6 * 2**level]}
            ],
        }
        for level in (0, 1)
    ]
    whole = [{"type": "scale", "scale": [INTERVAL_S, 1, 1, 1, 1]}]
    stated: dict[str, Any] = {
        "multiscales": [{"version": version, "axes": axes, "datasets": levels, "coordinateTransformations": whole}],
        "omero": {"channels": [{"label": "RFP"}, {"label": "hologram"}]},
    }
    group.attrs.update(stated if version == "0.4" else {"ome": {"version": version, **stated}})
    return str(path)


def ome_zarr_05(folder: Path, stack: Stack) -> str:
    return ome_zarr(folder, stack, "0.5")


def ome_zarr_05_shards(folder: Path, stack: Stack) -> str:
    return ome_zarr(folder, stack, "0.5", shards=(1, 2, 1, 40, 64))


def _zipped(folder: Path, written: str, name: str, top: str = "") -> str:
    """The Zarr folder at `written` as one file, its folder gone."""
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(Path(written).rglob("*")):
            if file.is_file():
                packed.write(file, Path(top) / file.relative_to(written))
    shutil.rmtree(written)
    return str(folder / name)


def ome_zarr_zipped(folder: Path, stack: Stack) -> str:
    return _zipped(folder, ome_zarr(folder, stack), "image.zarr.zip", "image.ome.zarr")


def ome_zarr_05_zipped(folder: Path, stack: Stack) -> str:
    return _zipped(folder, ome_zarr_05(folder, stack), "image.ozx")


def plain_zarr(folder: Path, stack: Stack) -> str:
    array = zarr.create_array(str(folder / "plain.zarr"), shape=stack.shape, chunks=(2, 36, 48), dtype=stack.dtype)
    array[:] = stack
    return str(folder / "plain.zarr")
