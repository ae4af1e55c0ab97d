"""HDF5: any dataset of frames, qpformat's layout of numbered ones, files that are still being written.

h5py makes zeros of what is missing in a file, so every frame is first looked up: is each of its chunks there?
"""

from __future__ import annotations

import errno
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from typing import Any

import h5py
import numpy as np
from qpi_live.camera.files.bounded_file import BoundedFile
from qpi_live.camera.files.contents import Contents, Facts, Stack, Values, optics_of, rate_of, whole_frames
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.flat_file import frame_axes
from qpi_live.camera.files.readers.hdf5_elsewhere import (
    file_of,
    is_linked,
    open_with_neighbours,
    read_bytes,
    what_to_ask,
)
from qpi_live.camera.files.readers.hdf5_presence import check_filters, check_presence

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_DATASETS = 20_000
_SWMR_FLAG = 4
_WRITERS_PAUSE_S = 60.0  # a file that was not written for so long is taken as one whose writer has gone
_SUPERBLOCKS = (0, 512, 1024, 2048)


def open_hdf5(path: Path) -> Contents:
    """The datasets of frames in the HDF5 file at `path`.

    Numbered datasets of one group ("0", "1", …) are the frames of one stack.

    Raises:
        ImageFileError: it cannot be read, or holds no frames.
    """
    file = _open(path)
    try:
        found = _look_through(file)
        if any(is_linked(file, name) for name in found.lost) or any(
            dataset.is_virtual or dataset.external for dataset in found.datasets.values()
        ):
            file.close()
            file = open_with_neighbours(path)
            found = _look_through(file)
        stacks = [*_numbered(path, file, found), *_whole(path, file, found)]
        lost = len(found.lost)
        if not stacks:
            also = f", and {lost} that cannot be read; {what_to_ask(file, found.lost[0])}" if lost else ""
            raise ImageFileError(f"expected datasets of frames, got {_listed(found.datasets)}{also}")
        if lost:
            question = what_to_ask(file, found.lost[0])
            sentence = f"{lost} of the file's objects cannot be read ({found.lost[0]}); {question}"
            stacks = [replace(stack, remark=sentence) for stack in stacks]
        return Contents("HDF5", tuple(stacks), (path,), file.close)
    except BaseException:
        file.close()
        raise


@dataclass(slots=True)
class _Found:
    """What is in a file whose end may be missing.

    Attributes:
        datasets: by name; of numbered ones that are frames only the first.
        numbered: by the first one's name, the names of all, in order.
        lost: what cannot be read.
    """

    datasets: dict[str, h5py.Dataset] = field(default_factory=dict)
    numbered: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def _look_through(file: h5py.File) -> _Found:
    found = _Found()
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    seen = {h5py.h5o.get_info(file.id).addr}
    for prefix, group in groups:
        names = list(group)
        numbers = sorted((name for name in names if name.isdecimal()), key=int)
        if len(numbers) > 1 or numbers == ["0"]:
            # Ten thousand of them are listed in no time only if they are not opened one by one.
            first = next((number for number in numbers if _opened(group, number) is not None), None)
            if first is not None and _is_image(_opened(group, first)):
                found.datasets[prefix + first] = _opened(group, first)
                found.numbered[prefix + first] = [prefix + number for number in numbers]
                names = [name for name in names if not name.isdecimal()]
        for name in names[:_MOST_DATASETS]:
            thing = _opened(group, name)
            if thing is None:
                found.lost.append(prefix + name)
            elif isinstance(thing, h5py.Dataset):
                found.datasets[prefix + name] = thing
            elif isinstance(thing, h5py.Group):
                address = h5py.h5o.get_info(thing.id).addr
                if address not in seen and len(groups) < _MOST_DATASETS:  # links may go round in circles
                    seen.add(address)
                    groups.append((f"{prefix}{name}/", thing))
    return found


def _opened(group: h5py.Group, name: str) -> Any:
    try:
        return group[name]
    except Exception:  # h5py lets KeyError, RuntimeError and OSError out
        return None


def _listed(found: Mapping[str, h5py.Dataset]) -> str:
    return (
        ", ".join(f"/{name} {thing.shape} {thing.dtype}" for name, thing in itertools.islice(found.items(), 8))
        or "none"
    )


def _open(path: Path) -> h5py.File:
    """The file, read in such a way that bytes which are not there are an error.

    Only one that is being written under SWMR is opened so. HDF5 would try for minutes to make sense of a damaged file
    there. No lock is held that could keep another program from writing.
    """
    if _is_locked(path):
        raise ImageFileError(
            "expected a file that may be read, got one that another program writes; close it there, or let that "
            "program write in SWMR mode"
        )
    header = _header(path)
    if header.is_written_under_swmr and time() - path.stat().st_mtime < _WRITERS_PAUSE_S:
        for locking in (False, None):  # the latter where this very process writes it
            with suppress(OSError, ValueError):
                return h5py.File(path, "r", swmr=True, libver="latest", locking=locking)
    try:
        return h5py.File(BoundedFile(path, header.claimed_size), "r")
    except OSError as error:
        raise ImageFileError(f"expected a readable HDF5 file, got an error ({error})") from error


def _is_locked(path: Path) -> bool:
    """Whether another program holds the lock of HDF5's writers, which those that let others read along give up."""
    if sys.platform == "win32":
        return False
    import fcntl  # noqa: PLC0415  # where there is one

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EACCES)
    return False


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file's superblock says: how large the file should be (0: nothing), and whether SWMR is on."""

    claimed_size: int = 0
    is_written_under_swmr: bool = False


def _header(path: Path) -> _Header:
    """The superblock at one of its places (HDF5 File Format Specification 3.0, II.A)."""
    with path.open("rb") as file:
        for start in _SUPERBLOCKS:
            file.seek(start)
            block = file.read(64)
            if not block.startswith(HDF5_MAGIC):
                continue
            version = block[8]
            width = block[13] if version < 2 else block[9]
            # The end of file address stands behind two other addresses.
            at = {0: 24, 1: 28}.get(version, 12) + 2 * width
            claimed = int.from_bytes(block[at : at + width], "little")
            return _Header(claimed if claimed < 2**62 else 0, version >= 3 and bool(block[11] & _SWMR_FLAG))
    return _Header()


def _numbered(path: Path, file: h5py.File, found: _Found) -> list[Stack]:
    stacks = []
    for first_name, names in found.numbered.items():
        first = found.datasets[first_name]
        group = first_name.rpartition("/")[0]
        frames = whole_frames(len(names), lambda frame, names=names: _is_there(path, file, names[frame]))  # type: ignore[misc]
        times_s = [_time_s(file, name) for name in (names[0], names[max(frames - 1, 0)])]
        stacks.append(
            Stack(
                name=f"/{group}",
                shape=(first.shape[0], first.shape[1]),
                dtype=first.dtype.name,
                frames=frames,
                plane=_plane_of_numbered(path, file, names),
                facts=_facts({**file.attrs, **first.attrs}, _interval_s(times_s, frames - 1)),
                promised=len(names),
                title=lambda frame, names=names: f"/{names[frame]}",  # type: ignore[misc]
            )
        )
    return stacks


def _is_there(path: Path, file: h5py.File, name: str) -> bool:
    with suppress(Exception):  # h5py's errors are many
        check_presence(path, file[name], ())
        return True
    return False


def _time_s(file: h5py.File, name: str) -> Any:
    with suppress(Exception):
        return file[name].attrs.get("time")
    return None


def _plane_of_numbered(path: Path, file: h5py.File, names: Sequence[str]) -> Any:
    def plane(frame: int, _channel: int) -> Values:
        return _frame(path, lambda: file[names[frame]], None)

    return plane


def _whole(path: Path, file: h5py.File, found: _Found) -> list[Stack]:
    stacks = []
    for name, dataset in found.datasets.items():
        if name in found.numbered:
            continue
        axes = frame_axes(dataset.shape) if dataset.shape and dataset.dtype.kind in "uif" else None
        if axes is None or min(axes[0][:2]) < 16:
            continue
        inner, frames = axes
        # MATLAB's first axis is the fastest, so in its files (from 7.3 on) all axes stand the other way round.
        is_matlab = "MATLAB_class" in dataset.attrs and len(inner) == 2
        lead = len(dataset.shape) - len(inner)
        moving = next((axis for axis in range(lead) if dataset.shape[axis] != 1), 0) if lead else None
        stacks.append(
            Stack(
                name=f"/{name}",
                shape=(inner[1], inner[0]) if is_matlab else (inner[0], inner[1]),
                dtype=dataset.dtype.name,
                frames=whole_frames(frames, _is_whole(path, dataset, moving, lead)),
                plane=_plane_of_whole(path, file, name, moving, lead, is_matlab),
                facts=_facts({**file.attrs, **dataset.parent.attrs, **dataset.attrs}, None),
                promised=frames,
            )
        )
    return stacks


def _at(frame: int, moving: int | None, lead: int) -> tuple[int, ...]:
    """Where a frame lies along the axes before its own."""
    return tuple(frame if axis == moving else 0 for axis in range(lead))


def _is_whole(path: Path, dataset: h5py.Dataset, moving: int | None, lead: int) -> Callable[[int], bool]:
    def is_whole(frame: int) -> bool:
        with suppress(Exception):  # an index of chunks that is cut off
            check_presence(path, dataset, _at(frame, moving, lead))
            return True
        return False

    return is_whole


def _plane_of_whole(path: Path, file: h5py.File, name: str, moving: int | None, lead: int, is_matlab: bool) -> Any:
    def plane(frame: int, _channel: int) -> Values:
        values = _frame(path, lambda: file[name], _at(frame, moving, lead) or None)
        return values.T if is_matlab else values

    return plane


def _is_image(thing: Any) -> bool:
    shape = thing.shape if isinstance(thing, h5py.Dataset) else None
    return bool(shape and len(shape) == 2 and thing.dtype.kind in "uif" and min(shape) >= 16)


def _frame(path: Path, dataset_of: Any, where: tuple[int, ...] | None) -> Values:
    try:
        dataset = dataset_of()
        check_filters(dataset)
        check_presence(path, dataset, where or ())
        if dataset.external:
            return read_bytes(file_of(path, dataset), dataset, where or ())
        return np.asarray(dataset[()] if where is None else dataset[where])
    except ImageFileError:
        raise
    except Exception as error:  # h5py lets OSError, KeyError, RuntimeError and others out
        raise ImageFileError(f"expected a sound frame, got an error ({str(error).splitlines()[0]})") from error


def _facts(attributes: Mapping[str, Any], interval_s: float | None) -> Facts:
    """Of qpformat's attributes, in SI units; its pixel size is the object's."""

    def number(name: str) -> float | None:
        with suppress(TypeError, ValueError):
            return None if attributes.get(name) is None else float(attributes[name])
        return None

    modality = attributes.get("imaging_modality", attributes.get("imaging modality", ""))
    if isinstance(modality, bytes):
        modality = modality.decode("utf-8", "replace")
    return Facts(
        optics_of(
            wavelength_m=number("wavelength"),
            object_pixel_m=number("pixel size"),
            aperture=number("numerical aperture"),
            refractive_index=number("medium index"),
        ),
        rate_of(interval_s),
        None,
        str(modality),
    )


def _interval_s(times_s: Sequence[Any], steps: int) -> float | None:
    with suppress(TypeError, ValueError):
        return (float(times_s[1]) - float(times_s[0])) / steps if steps > 0 else None
    return None
