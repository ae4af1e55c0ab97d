"""Label images as OME-TIFF and OME-Zarr."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
import tifffile
from numpy.typing import NDArray
from qpi_live.models.analysis.scale import Scale


def label_tiff(labels: NDArray[np.uint16], scale: Scale, ids: NDArray[np.int64] | None = None) -> bytes:
    """A label image as an OME-TIFF, uint16 or uint32, lossless, with the pixel size where it is known.

    Args:
        labels: (H, W), 0 where there is no cell, 1 … n on cells.
        scale: the optics.
        ids: (n,) what stands for each label in the file, such as the ids that cells keep; None: the labels.
    """
    written = numbered(labels, ids)
    metadata: dict[str, Any] = {"axes": "YX", "Channel": {"Name": ["cells"]}}
    if scale.pixel_um is not None:
        metadata |= {
            "PhysicalSizeX": scale.pixel_um,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": scale.pixel_um,
            "PhysicalSizeYUnit": "µm",
        }
    file = BytesIO()
    tifffile.imwrite(file, written, ome=True, metadata=metadata, compression="zlib")
    return file.getvalue()


def label_zarr(labels: NDArray[np.uint16], scale: Scale, ids: NDArray[np.int64] | None = None) -> bytes:
    """A label image as an OME-Zarr 0.5 in a ZIP file, (1, H, W); arguments as for `label_tiff`.

    Raises:
        ModuleNotFoundError: zarr is not installed.
    """
    from qpi_live.camera.files.writers.ome_zarr import create_ome_zarr  # noqa: PLC0415 - the package is an extra

    written, pixel_m = numbered(labels, ids), scale.pixel_um and scale.pixel_um * 1e-6
    file = BytesIO()
    with TemporaryDirectory() as folder:
        image = Path(folder) / "cells"
        array = create_ome_zarr(
            image, "cells", 1, written.shape, written.dtype, frames_per_shard=1, object_pixel_m=pixel_m, labels_of=""
        )
        array[0] = written
        with ZipFile(file, "w") as archive:  # not compressed once more: readers look into it by place
            for path in sorted(image.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(image).as_posix())
    return file.getvalue()


def numbered(labels: NDArray[np.uint16], ids: NDArray[np.int64] | None) -> NDArray[Any]:
    """(H, W) uint16 or uint32, what stands for each label: its id, where there are ids."""
    if ids is None:
        return labels
    written = np.concatenate([[0], ids])[labels]
    return written.astype(np.uint16 if written.max(initial=0) < 2**16 else np.uint32)
