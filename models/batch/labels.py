"""Where the cells of a recording are: an image of their ids beside its phase, in the phase's own kind of file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import tifffile
from numpy.typing import NDArray
from qpi_live.camera.files.writers.ome_zarr import create_ome_zarr, label_folder
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.batch.job import Job
from qpi_live.models.batch.output import ZARR

NAME, TIFF = "cells", "cells.ome.tif"
_MOST_TIFF_BYTES = 4_000_000_000

Labels = NDArray[np.uint32]


def write_labels(job: Job, labels: Iterator[Labels]) -> None:
    """Write the ids of all frames, (H, W) uint32 each, 0 where no cell is, whole or not at all.

    In OME-Zarr they are the label image `labels/cells` of the phase, in OME-TIFF the file `cells.ome.tif` beside it.

    Raises:
        OSError: they cannot be written.
    """
    if job.kind == ZARR:
        _write_zarr(job, labels)
    else:
        _write_tiff(job, labels)


def _write_zarr(job: Job, labels: Iterator[Labels]) -> None:
    partial = job.out / f".{NAME}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    array = create_ome_zarr(
        partial,
        NAME,
        job.frames,
        job.shape,
        np.dtype(np.uint32),
        frames_per_shard=job.frames_per_region,
        object_pixel_m=job.optics.object_pixel_m if job.optics else None,
        interval_s=1 / job.frame_rate_hz if job.frame_rate_hz else None,
        labels_of="../../",
    )
    for number in range(job.regions):
        frames = job.region(number)
        array[frames.start : frames.stop] = np.stack([next(labels) for _ in frames])
    for _ in labels:  # what comes after the last one may have to be done, too
        pass
    target = label_folder(job.out, NAME)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _write_tiff(job: Job, labels: Iterator[Labels]) -> None:
    metadata: dict[str, object] = {"axes": "TYX", "Channel": {"Name": [NAME]}}
    pixel_m = job.optics.object_pixel_m if job.optics else None
    if pixel_m is not None:
        metadata |= {f"PhysicalSize{axis}": pixel_m * 1e6 for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    shape = (job.frames, *job.shape)
    with whole_file(job.out / TIFF) as path, tifffile.TiffWriter(path, bigtiff=_is_large(job), ome=True) as file:
        file.write(labels, shape=shape, dtype=np.uint32, compression="zlib", metadata=metadata)


def _is_large(job: Job) -> bool:
    return job.frames * job.shape[0] * job.shape[1] * 4 > _MOST_TIFF_BYTES
