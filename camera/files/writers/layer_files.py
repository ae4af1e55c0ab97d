"""What images of a recorded layer are written into: files of one format, one after the other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.writers.frame_list import FrameEntry
from qpi_live.camera.files.writers.page_file import PageLayout


class LayerFiles(Protocol):
    """One thread appends and closes, another may `sync`. Each method may raise OSError: the disk does not take it.

    Attributes:
        layout: of the images; None before the first.
    """

    layout: PageLayout | None

    def place(self, image: NDArray[np.generic]) -> tuple[int, int]:
        """Part and offset where the next image will lie; begins a new file where there is no room in the last."""

    def append(self, image: NDArray[np.generic], entry: FrameEntry, line: bytes) -> None:
        """Write an image, where `place` said. Where that fails, the files are as they were before."""

    def take_back(self) -> None:
        """Take the image that was appended last off again."""

    def restate(self) -> None:
        """Bring what the files say of their number of images up to date."""

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""

    def close(self) -> None:
        """End the files, on the disk."""


def layout_of(image: NDArray[Any], object_pixel_m: float | None, *, is_big: bool = False) -> PageLayout:
    """The layout of files of images like this one."""
    return PageLayout((image.shape[0], image.shape[1]), image.dtype, object_pixel_m, is_big)


def names_to_disk(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk, where the system has such a thing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def data_to_disk(path: Path, descriptor: int) -> None:
    """Wait until the bytes of an open file are on the disk.

    Raises:
        FileNotFoundError: it is not where it was any more.
        OSError: the disk fails.
    """
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)
    there, here = path.stat(), os.fstat(descriptor)
    if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
        raise FileNotFoundError(2, "the file was replaced by another", str(path))
