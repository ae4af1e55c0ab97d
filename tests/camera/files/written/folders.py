"""Tiny recordings as folders of images, NumPy files, raw frames and videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import tifffile
from PIL import Image

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, Stack, fluorescence


def folder_of_images(folder: Path, stack: Stack) -> str:
    """With all that is found in such folders: a Mac's and Windows' files, notes, a background, fluorescence."""
    for number, frame in enumerate(stack):
        Image.fromarray(frame).save(folder / f"Frame_{number + 8}.png")
    for name in ("._Frame_8.png", "Thumbs.db", ".DS_Store", "desktop.ini", "notes.txt"):
        (folder / name).write_bytes(b"\0\5\x16\7 not an image")
    Image.fromarray(fluorescence(stack)[0]).save(folder / "background.png")
    Image.fromarray(fluorescence(stack)[0]).save(folder / "DAPI_1.png")
    return str(folder)


def folder_of_stacks(folder: Path, stack: Stack) -> str:
    for number, part in enumerate(np.array_split(stack, 3)):
        tifffile.imwrite(folder / f"part{number + 9}.tif", part, photometric="minisblack")
    return str(folder)


def npy(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", stack)
    return str(folder / "stack.npy")


def npy_fortran(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", np.asfortranarray(stack))
    return str(folder / "stack.npy")


def npy_big_endian(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", stack.astype(stack.dtype.newbyteorder(">")))
    return str(folder / "stack.npy")


def npz(folder: Path, stack: Stack) -> str:
    np.savez(folder / "arrays.npz", background=stack[0], dark=stack[1], hologram=stack)
    return str(folder / "arrays.npz")


def npz_compressed_by_name(folder: Path, stack: Stack) -> str:
    np.savez_compressed(folder / "arrays.npz", a=fluorescence(stack), b=stack)
    return f"{folder / 'arrays.npz'}::b"


def raw(folder: Path, stack: Stack) -> str:
    (folder / "frames.raw").write_bytes(b"HEADER.." + b"".join(frame.tobytes() + b"++++" for frame in stack))
    sidecar = {"shape": stack.shape, "dtype": stack.dtype.name, "offset": 8, "gap": 4, "wavelength_nm": 532}
    sidecar |= {"pixel_um": PIXEL_M * 1e6, "interval_s": INTERVAL_S, "bit_depth": 12}
    (folder / "frames.json").write_text(json.dumps(sidecar))
    return str(folder / "frames.raw")


def video(codec: str, pixels: str, name: str) -> Callable[[Path, Stack], str]:
    def write(folder: Path, stack: Stack) -> str:
        path = folder / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=5)
            stream.height, stream.width = stack.shape[1:]
            stream.pix_fmt = pixels
            for frame in stack:
                values = np.stack([frame] * 3, axis=-1) if pixels == "rgb24" else frame
                container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format=pixels)))
            container.mux(stream.encode())
        return str(path)

    return write
