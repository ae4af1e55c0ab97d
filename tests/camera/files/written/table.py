"""Tiny recordings of every kind, made by the programs' and libraries' own writers; nothing of them is committed.

Each function in `WRITERS` writes the frames of a stack (N, H, W) into a folder and gives the address to replay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hdf5plugin

from tests.camera.files.written.folders import (
    folder_of_images,
    folder_of_stacks,
    npy,
    npy_big_endian,
    npy_fortran,
    npz,
    npz_compressed_by_name,
    raw,
    video,
)
from tests.camera.files.written.hdf5 import hdf5, hdf5_by_name, hdf5_swmr, matlab, qpformat
from tests.camera.files.written.micromanager import (
    micromanager_single_files,
    micromanager_split,
    micromanager_split_folder,
    ndtiff_run,
)
from tests.camera.files.written.stack import Stack
from tests.camera.files.written.tiff import (
    imagej_channels,
    imagej_one_page,
    ome_channels,
    ome_companion,
    ome_folder,
    ome_over_files,
    tiff,
    tiff_page_by_page,
    tiff_with_thumbnails,
)
from tests.camera.files.written.zarrs import (
    ome_zarr,
    ome_zarr_05,
    ome_zarr_05_shards,
    ome_zarr_05_zipped,
    ome_zarr_zipped,
    plain_zarr,
)

WRITERS: dict[str, Callable[[Path, Stack], str]] = {
    "TIFF": tiff(),
    "TIFF without a description": tiff(metadata=None),
    "TIFF, big endian": tiff(byteorder=">"),
    "TIFF, deflated with a predictor": tiff(compression="zlib", predictor=True),
    "TIFF, LZW": tiff(compression="lzw"),
    "TIFF, tiles": tiff(tile=(16, 16), compression="zlib"),
    "TIFF, page by page": tiff_page_by_page,
    "TIFF with thumbnails": tiff_with_thumbnails,
    "BigTIFF": tiff(bigtiff=True),
    "OME-TIFF": tiff(ome=True, metadata={"axes": "TYX"}),
    "OME-TIFF of nameless channels": tiff(ome=True),
    "OME-TIFF, two channels": ome_channels,
    "OME-TIFF over several files": ome_over_files,
    "folder of an OME-TIFF over several files": ome_folder,
    "ImageJ": tiff(imagej=True, metadata={"axes": "TYX"}),
    "ImageJ, series as channels": tiff(imagej=True),
    "ImageJ beyond 4 GB": imagej_one_page,
    "ImageJ, two channels": imagej_channels,
    "Micro-Manager, split": micromanager_split,
    "folder of a Micro-Manager run, split": micromanager_split_folder,
    "Micro-Manager, single files": micromanager_single_files,
    "NDTiff": ndtiff_run,
    "folder of images": folder_of_images,
    "folder of stacks": folder_of_stacks,
    "npy": npy,
    "npy, Fortran order": npy_fortran,
    "npy, big endian": npy_big_endian,
    "npz": npz,
    "npz, compressed, by name": npz_compressed_by_name,
    "HDF5": hdf5("entry/images"),
    "HDF5, gzip": hdf5("images", chunks=(1, 20, 48), compression="gzip"),
    "HDF5, zstd": hdf5("data", chunks=(1, 36, 48), **hdf5plugin.Zstd()),
    "HDF5, Blosc": hdf5("data", chunks=(2, 36, 48), **hdf5plugin.Blosc()),
    "HDF5, bitshuffle": hdf5("data", chunks=(1, 36, 48), **hdf5plugin.Bitshuffle()),
    "HDF5, by name": hdf5_by_name,
    "HDF5, SWMR": hdf5_swmr,
    "HDF5 of MATLAB": matlab,
    "HDF5 of qpformat": qpformat,
    "OME-Zarr 0.4": ome_zarr,
    "OME-Zarr 0.5": ome_zarr_05,
    "OME-Zarr 0.5, shards": ome_zarr_05_shards,
    "OME-Zarr 0.4, zipped": ome_zarr_zipped,
    "OME-Zarr 0.5, zipped": ome_zarr_05_zipped,
    "OME-TIFF by its companion": ome_companion,
    "Zarr": plain_zarr,
    "raw frames": raw,
    "video, FFV1 of 16 bits": video("ffv1", "gray16le", "video.mkv"),
}
EIGHT_BIT_WRITERS: dict[str, Callable[[Path, Stack], str]] = {
    "AVI, uncompressed": video("rawvideo", "gray", "video.avi"),
    "AVI, FFV1": video("ffv1", "gray", "video.avi"),
    "AVI, Huffyuv of RGB": video("huffyuv", "rgb24", "video.avi"),
    "MOV, PNG": video("png", "gray", "video.mov"),
}
STATED = ["OME-TIFF, two channels", "OME-TIFF over several files", "ImageJ, two channels", "Micro-Manager, split"]


STATED += ["Micro-Manager, single files", "NDTiff", "HDF5 of qpformat", "OME-Zarr 0.4", "OME-Zarr 0.5", "raw frames"]


STATED += ["OME-Zarr 0.4, zipped", "OME-Zarr 0.5, zipped", "OME-TIFF by its companion"]


LIGHT = ["OME-TIFF over several files", "HDF5 of qpformat", "raw frames"]  # those that state the wavelength
