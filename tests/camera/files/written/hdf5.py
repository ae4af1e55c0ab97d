"""Tiny recordings in HDF5, by h5py, MATLAB's layout and qpformat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, Stack, fluorescence


def hdf5(name: str, **options: Any) -> Callable[[Path, Stack], str]:
    def write(folder: Path, stack: Stack) -> str:
        with h5py.File(folder / "any.h5", "w") as file:
            file.create_dataset(name, data=stack, **options)
            file["temperature"] = np.zeros(100)
        return str(folder / "any.h5")

    return write


def matlab(folder: Path, stack: Stack) -> str:
    """As MATLAB 7.3 saves an array of size [H W N]: in HDF5, behind 512 bytes of its own, axes the other way round."""
    with h5py.File(folder / "stack.mat", "w", userblock_size=512) as file:
        data = file.create_dataset("holograms", data=stack.transpose(0, 2, 1))
        data.attrs["MATLAB_class"] = np.bytes_("uint16")
    with (folder / "stack.mat").open("r+b") as whole:
        whole.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return str(folder / "stack.mat")


def hdf5_by_name(folder: Path, stack: Stack) -> str:
    with h5py.File(folder / "several.h5", "w") as file:
        file["a/left"] = fluorescence(stack)
        file["a/right"] = stack
    return f"{folder / 'several.h5'}::/a/right"


def qpformat(folder: Path, stack: Stack) -> str:
    """Numbered datasets with attributes in SI units."""
    with h5py.File(folder / "series.h5", "w") as file:
        file.attrs["file_format"] = "qpformat"
        file.attrs["imaging_modality"] = "off-axis holography"
        for number, frame in enumerate(stack):
            file[str(number)] = frame
            file[str(number)].attrs.update(
                {"pixel size": PIXEL_M, "wavelength": 532e-9, "numerical aperture": 0.65, "time": number * INTERVAL_S}
            )
    return str(folder / "series.h5")


def hdf5_swmr(folder: Path, stack: Stack) -> str:
    """As a detector writes it: a dataset with room for more frames than there are."""
    with h5py.File(folder / "live.h5", "w", libver="latest") as file:
        data = file.create_dataset("data", (0, *stack.shape[1:]), stack.dtype, maxshape=(None, *stack.shape[1:]))
        file.swmr_mode = True
        for number, frame in enumerate(stack):
            data.resize(number + 1, axis=0)
            data[number] = frame
            data.flush()
    return str(folder / "live.h5")
