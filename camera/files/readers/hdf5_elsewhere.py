"""Frames of an HDF5 file that lie in other files: behind links, in virtual datasets, or as plain bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from qpi_live.camera.files.bounded_file import read_exactly, size_of
from qpi_live.camera.files.contents import Values
from qpi_live.camera.files.image_bounds import ImageFileError

CheckPresence = Callable[[Path, h5py.Dataset, tuple[int, ...]], None]


def open_with_neighbours(path: Path) -> h5py.File:
    """The file, opened by HDF5 itself, which alone finds the files that it refers to; a truncated one it refuses."""
    try:
        return h5py.File(path.resolve(), "r", locking=False)
    except OSError as error:
        raise ImageFileError(
            f"expected a whole file, since its frames lie in others, got an error ({error})"
        ) from error


def is_linked(file: h5py.File, name: str) -> bool:
    """Whether `name` stands for something in another file."""
    with suppress(Exception):  # a link that is damaged refers to nothing
        return isinstance(file.get(name, getlink=True), h5py.ExternalLink)
    return False


def what_to_ask(file: h5py.File, lost: str) -> str:
    """A question that leads on, about an object that cannot be read."""
    if is_linked(file, lost):
        return f"is {file.get(lost, getlink=True).filename} beside the file, and whole?"
    return "is the file truncated?"


def file_of(path: Path, dataset: h5py.Dataset) -> Path:
    """Where the dataset lies: in the file at `path` or, behind a link, in another."""
    name = dataset.file.filename  # of a file that was opened through Python, no path
    return Path(name) if isinstance(name, str) and Path(name).is_file() else path


def check_sources(path: Path, dataset: h5py.Dataset, where: tuple[int, ...], check: CheckPresence) -> None:
    """Refuse a frame of a virtual dataset of which a source misses a part; HDF5 would make zeros of it."""
    for source in dataset.virtual_sources():
        first, last = source.vspace.get_select_bounds()
        if all(low <= at <= high for at, low, high in zip(where, first, last, strict=False)):
            _check_source(path, dataset, source, tuple(at - low for at, low in zip(where, first, strict=False)), check)


def _check_source(path: Path, dataset: h5py.Dataset, source: Any, where: tuple[int, ...], check: CheckPresence) -> None:
    lies_in = path if source.file_name == "." else path.parent / source.file_name
    if not lies_in.is_file():
        raise ImageFileError(f"expected {source.file_name} beside the file, which holds its frames, got none")
    try:
        with h5py.File(lies_in, "r", locking=False) as file:
            held = file[source.dset_name]
            begins = _begins(source.src_space, len(held.shape))
            there = tuple(at + begin for at, begin in zip(where, begins, strict=False))
            check(lies_in, held, there if len(held.shape) == len(dataset.shape) else ())
    except (OSError, KeyError) as error:
        name = f"{source.dset_name} in {source.file_name}"
        raise ImageFileError(f"expected the frames' dataset {name}, got an error ({error})") from error


def _begins(space: Any, axes: int) -> tuple[int, ...]:
    with suppress(ValueError):  # no bounds: all of the source
        return tuple(space.get_select_bounds()[0])
    return (0,) * axes


def read_bytes(path: Path, dataset: h5py.Dataset, where: tuple[int, ...]) -> Values:
    """A frame of a dataset whose values are plain bytes beside the file; HDF5 would look in the current folder."""
    shape = dataset.shape[len(where) :]
    size = int(np.prod(shape, dtype=np.int64)) * dataset.dtype.itemsize
    begin = size * (int(np.ravel_multi_index(where, dataset.shape[: len(where)])) if where else 0)
    parts, passed = [], 0
    for name, offset, held in dataset.external:
        beside = path.parent / name
        room = min(held, size_of(beside) - offset, dataset.nbytes)  # the last may be without end
        low, high = max(begin - passed, 0), min(begin + size - passed, room)
        if low < high:
            parts.append(read_exactly(beside, offset + low, high - low))
        passed += min(held, dataset.nbytes)
    read = b"".join(parts)
    if len(read) != size:
        raise ImageFileError(
            "expected a whole frame in the files beside this one, got a part; is one of them truncated?"
        )
    return np.frombuffer(read, dataset.dtype).reshape(shape)
