"""Folders: one image a file, stacks that go on in the next file, or a run of Micro-Manager's."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from natsort import natsorted
from qpi_live.camera.files.choice import is_other_image
from qpi_live.camera.files.contents import Contents, Stack, Values
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import read_image, read_values
from qpi_live.camera.files.readers.micromanager import open_single_images
from qpi_live.camera.files.readers.ndtiff_run import NDTIFF_INDEX, open_ndtiff
from qpi_live.camera.files.readers.tiff_chain import walk_tiff
from qpi_live.camera.files.readers.tiff_file import open_tiff

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy")
_TIFF_SUFFIXES = (".tif", ".tiff")
_FEW_OTHERS = 2  # so many more than holograms may be set aside by their names; beyond, the names mean something else
_TRIED = 16  # images, to learn the size from the first that can be read
_KEPT_OPEN = 16  # files of a folder of stacks


def open_folder(path: Path) -> Contents:
    """What the folder at `path` holds: its images in natural order, hidden and foreign files left out.

    Raises:
        ImageFileError: no images.
    """
    if (path / NDTIFF_INDEX).is_file():
        return open_ndtiff(path)
    files = _image_files(path)
    if not files:
        return _open_positions(path)
    run = open_single_images(path, files)
    if run is not None:
        return run
    files, remark = _without_others(files)
    pages = _pages(files)
    first_tiff = next((file for file in files if pages[file] > 0 and file.suffix.lower() in _TIFF_SUFFIXES), None)
    if first_tiff is not None:
        whole = _whole_run(first_tiff, files)
        if whole is not None:
            return whole
    many = any(count > 1 for count in pages.values())
    stack = _stack_of_stacks(path, files) if many else _stack_of_images(files)
    watched = (path, *files) if many else (path,)
    return Contents("folder", (replace(stack, remark=remark),), watched)


def _image_files(path: Path) -> list[Path]:
    """Files that may be images, in natural order: `._x` of a Mac and other hidden names are none."""
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith((".", "~")) and entry.name.lower().endswith(IMAGE_SUFFIXES)
        ]
    return [path / name for name in natsorted(names, key=str.lower)]


def _open_positions(path: Path) -> Contents:
    """A folder of folders, one a position, as Micro-Manager and others lay them."""
    with os.scandir(path) as entries:
        below = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    held = [path / name for name in natsorted(below) if _image_files(path / name)]
    if not held:
        raise ImageFileError(f"expected images ({', '.join(IMAGE_SUFFIXES)}) in {path}, got none")
    stacks = []
    for folder in held:
        stacks += [
            replace(stack, name=f"{folder.name}/{stack.name}" if stack.name else folder.name)
            for stack in open_folder(folder).stacks
        ]
    return Contents("folder of folders", tuple(stacks), (path, *held))


def _without_others(files: list[Path]) -> tuple[list[Path], str]:
    """The files that are not, by their names, backgrounds or fluorescence; all of them where most are."""
    others = {file for file in files if is_other_image(file.stem)}
    kept = [file for file in files if file not in others]
    if not kept or not others or len(others) > len(kept) + _FEW_OTHERS:
        return files, ""
    named = min(others, key=files.index).name
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return kept, f"Left out by name: {named}{more}."


def _pages(files: Sequence[Path]) -> dict[Path, int]:
    """How many pages each file has; 1 where it is no TIFF, 0 where it cannot be read."""
    counts = {}
    for file in files:
        counts[file] = 1
        if file.suffix.lower() in _TIFF_SUFFIXES:
            try:
                found = file.stat()
                counts[file] = _page_count(file, found.st_size, found.st_mtime_ns)
            except (ImageFileError, OSError):
                counts[file] = 0
    return counts


@lru_cache(maxsize=2**16)
def _page_count(file: Path, _size: int, _modified_ns: int) -> int:
    """Pages of a TIFF that are no thumbnails; remembered, since a folder that grows is listed again and again."""
    return sum(not page.is_reduced for page in walk_tiff(file).pages)


def _whole_run(first: Path, files: Sequence[Path]) -> Contents | None:
    """The recording that the first file says all of them are parts of; None where it does not."""
    try:
        contents = open_tiff(first)
    except ImageFileError:
        return None
    if len(files) > 1 and set(files) <= set(contents.watched):
        return contents
    contents.close()
    return None


def _stack_of_images(files: Sequence[Path]) -> Stack:
    failure: ImageFileError | None = None
    for file in files[:_TRIED]:
        try:
            first = read_image(file, may_miss=True).pixels
            break
        except ImageFileError as error:
            failure = failure or error
    else:
        raise failure or ImageFileError("expected images, got none")
    return Stack(
        name="",
        shape=(first.shape[0], first.shape[1]),
        dtype=first.dtype.name,
        frames=len(files),
        plane=lambda frame, _: read_values(files[frame]),
        promised=len(files),
        title=lambda frame: files[frame].name,
    )


def _stack_of_stacks(path: Path, files: Sequence[Path]) -> Stack:
    """The frames of all files, one file after the other; few of them are open at a time."""
    opened: dict[Path, Stack] = {}
    held: dict[Path, Contents] = {}

    def stack_of(file: Path) -> Stack:
        if file not in opened:
            while len(held) >= _KEPT_OPEN:
                oldest = next(iter(held))
                held.pop(oldest).close()
                del opened[oldest]
            if file.suffix.lower() in _TIFF_SUFFIXES:
                held[file] = open_tiff(file)
                opened[file] = held[file].stacks[0]
            else:
                opened[file] = _stack_of_images([file])
        return opened[file]

    counts, first = [], None
    for file in files:
        try:
            stack = stack_of(file)
            counts.append(stack.frames)
            first = first or stack
        except ImageFileError:
            counts.append(1)  # it takes the place of one frame, which will be named when its turn comes
    if first is None:
        raise ImageFileError(f"expected readable images in {path}, got none")
    ends = list(accumulate(counts))

    def place(frame: int) -> tuple[Path, int]:
        number = bisect_right(ends, frame)
        return files[number], frame - (ends[number] - counts[number])

    def plane(frame: int, channel: int) -> Values:
        file, inside = place(frame)
        return stack_of(file).plane(inside, channel)

    def title(frame: int) -> str:
        file, inside = place(frame)
        return f"{file.name}, frame {inside}"

    return replace(first, name="", frames=ends[-1], promised=ends[-1], plane=plane, title=title)
