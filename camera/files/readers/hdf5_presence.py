"""A test whether all of a frame is there in an HDF5 file: h5py makes zeros of missing parts.

A frame may not have been written yet, or its chunks may lie behind the end of a truncated file. Another file that it
refers to may be gone, or the filter that unpacks it may not be installed.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
from qpi_live.camera.files.bounded_file import size_of
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.hdf5_elsewhere import check_sources, file_of

_OFTEN_FOREIGN = {32008: "bitshuffle", 32004: "LZ4", 32001: "Blosc", 32026: "Blosc2", 32015: "zstd", 32013: "ZFP"}


def check_filters(dataset: h5py.Dataset) -> None:
    """Have the filters that unpack a dataset ready; raises `ImageFileError` with the name of one that is missing."""
    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        with suppress(ModuleNotFoundError):
            import_module("hdf5plugin")  # registers its filters
        if not h5py.h5z.filter_avail(code):
            called = _OFTEN_FOREIGN.get(code) or name.decode("utf-8", "replace") or "unknown"
            raise ImageFileError(
                f"expected a filter that HDF5 has, got {called} (filter {code}): pip install 'qpi-live[files]'"
            )


def check_presence(path: Path, dataset: h5py.Dataset, where: tuple[int, ...]) -> None:
    """Refuse a frame of which a part was never written, or lies behind the end of the file.

    Args:
        path: of the file.
        dataset: in it.
        where: the frame's place along the first axes; () where the dataset is the frame.

    Raises:
        ImageFileError: a part is missing.
    """
    path = file_of(path, dataset)
    if dataset.is_virtual:
        check_sources(path, dataset, where, check_presence)
        return
    if dataset.external:
        for name, offset, size in dataset.external:
            if size_of(path.parent / name) < offset + min(size, dataset.nbytes):
                raise ImageFileError(f"expected whole frames in {name}, got a shorter file")
        return
    held, layout = size_of(path), dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CONTIGUOUS:
        start = dataset.id.get_offset()
        size = int(np.prod(dataset.shape[len(where) :], dtype=np.int64)) * dataset.dtype.itemsize
        index = int(np.ravel_multi_index(where, dataset.shape[: len(where)])) if where else 0
        if start is None or start + (index + 1) * size > held:
            raise ImageFileError("expected a whole frame, got one that was not written, or whose end is missing")
    elif layout == h5py.h5d.CHUNKED:
        for corner in _corners(dataset, where):
            chunk = dataset.id.get_chunk_info_by_coord(corner)
            if chunk.byte_offset is None or chunk.byte_offset + chunk.size > held:
                raise ImageFileError("expected a whole frame, got one of which a chunk was not written, or is lost")


def _corners(dataset: h5py.Dataset, where: tuple[int, ...]) -> itertools.product[tuple[int, ...]]:
    """Where the chunks begin that hold a frame."""
    starts = []
    for axis, (length, chunk) in enumerate(zip(dataset.shape, dataset.chunks, strict=True)):
        if axis < len(where):
            starts.append([where[axis] // chunk * chunk])
        else:
            starts.append(list(range(0, length, chunk)))
    return itertools.product(*starts)
