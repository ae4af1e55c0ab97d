"""Arrays that lie in a file as they are: `.npy`, the members of `.npz`, and raw frames with a sidecar."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from qpi_live.camera.files.bounded_file import read_exactly, size_of
from qpi_live.camera.files.contents import Contents, Facts, Stack, optics_of, rate_of
from qpi_live.camera.files.image_bounds import LARGEST_IMAGE_PX, ImageFileError
from qpi_live.camera.files.npy_header import read_npy_header
from qpi_live.camera.files.readers.tiff_pages import FlatFrames

_LARGEST_UNPACKED_BYTES = 2**31
_ZIP_HEADER_BYTES = 30


def open_npy(path: Path) -> Contents:
    """The array in the `.npy` file at `path`: (H, W), (frames, H, W), or the latter with colours behind.

    Raises:
        ImageFileError: no such array.
    """
    with path.open("rb") as file:
        stack = _npy_stack(path, "", file, 0)
    return Contents("NumPy array", (stack,), (path,))


def open_npz(path: Path) -> Contents:
    """The arrays of the `.npz` archive at `path` that can be frames.

    Raises:
        ImageFileError: none can.
    """
    stacks, refused = [], []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            try:
                stacks.append(_member_stack(path, archive, member, name))
            except Exception as error:  # zlib's, NumPy's and zipfile's ways to refuse a broken member
                refused.append(f"{name}: {error}")
    if not stacks:
        raise ImageFileError(f"expected an array of frames in the archive, got none ({'; '.join(refused) or 'empty'})")
    return Contents("NumPy archive", tuple(stacks), (path,))


def _member_stack(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Stack:
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
        header = read_exactly(path, member.header_offset, _ZIP_HEADER_BYTES)
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = member.header_offset + _ZIP_HEADER_BYTES + lengths
        with path.open("rb") as file:
            file.seek(start)
            return _npy_stack(path, name, file, start)
    if member.file_size > _LARGEST_UNPACKED_BYTES:
        raise ImageFileError("expected at most 2 GiB in a compressed array, got more; save it with np.save")
    with archive.open(member) as packed:
        data = packed.read(member.file_size + 1)
    values = np.load(BytesIO(data), allow_pickle=False)
    shape, frames = _frame_shape(values.shape, values.dtype)
    values = values.reshape((frames, *shape))
    return Stack(name, (shape[0], shape[1]), values.dtype.name, frames, lambda frame, _: values[frame], promised=frames)


def _npy_stack(path: Path, name: str, file: BinaryIO, start: int) -> Stack:
    shape, is_fortran, dtype = read_npy_header(file)
    frame_shape, frames = _frame_shape(shape, dtype)
    offset = file.tell()
    if is_fortran and len(shape) > 1:
        return _fortran_stack(path, name, offset, shape, dtype, frame_shape)
    flat = FlatFrames(path, offset, frame_shape, dtype, frames)
    return _flat_stack(flat, name)


def _flat_stack(flat: FlatFrames, name: str = "", facts: Facts | None = None) -> Stack:
    return Stack(
        name=name,
        shape=(flat.shape[0], flat.shape[1]),
        dtype=flat.dtype.name,
        frames=flat.frames,
        plane=lambda frame, _: flat.read(frame),
        facts=facts or Facts(),
        promised=flat.promised,
    )


def _fortran_stack(
    path: Path, name: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], frame_shape: tuple[int, ...]
) -> Stack:
    """An array whose first axis is the fastest: each frame lies all over the file, so the whole of it is read."""
    size = math.prod(shape) * dtype.itemsize
    if size > _LARGEST_UNPACKED_BYTES:
        raise ImageFileError("expected frames one behind the other, got a large array in Fortran order; save a copy")
    whole = np.frombuffer(read_exactly(path, offset, size), dtype).reshape(shape, order="F")
    values = np.ascontiguousarray(whole).reshape((-1, *frame_shape))
    return Stack(
        name,
        (frame_shape[0], frame_shape[1]),
        dtype.name,
        len(values),
        lambda frame, _: values[frame],
        promised=len(values),
    )


def _frame_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[tuple[int, ...], int]:
    """Shape of a frame, and how many there are.

    Raises:
        ImageFileError: an array of this shape and type is no stack of frames.
    """
    if dtype.kind not in "uif":
        raise ImageFileError(f"expected real grey values, got {dtype}; save the recorded intensity")
    found = frame_axes(shape)
    if found is None:
        raise ImageFileError(f"expected an array (H, W) or (frames, H, W), got shape {shape}")
    return found


def frame_axes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], int] | None:
    """Shape of a frame and how many there are in an array of frames; None where its shape is no such array's.

    A last axis of 1, 3 or 4 behind two of at least 16 holds colours; leading axes of 1 count for nothing.
    """
    has_colours = len(shape) > 2 and shape[-1] in (1, 3, 4) and min(shape[-3:-1]) >= 16
    inner = shape[-3:] if has_colours else shape[-2:]
    leading = [length for length in shape[: -len(inner)] if length != 1]
    if len(inner) < 2 or len(leading) > 1 or math.prod(inner[:2]) > LARGEST_IMAGE_PX or 0 in shape:
        return None
    return inner, leading[0] if leading else 1


def open_raw(path: Path) -> Contents:
    """Raw frames at `path`, as the JSON beside it describes them.

    The sidecar (`x.json` or `x.raw.json` beside `x.raw`) has `shape` ([H, W] or [frames, H, W]) and `dtype`. It may
    have `offset` and `gap` (bytes before the first and between two frames), `wavelength_nm`, `pixel_um` (of the
    object), `interval_s`, `bit_depth` and `modality`.

    Raises:
        ImageFileError: no sidecar, or one that does not fit.
    """
    beside = [path.with_suffix(".json"), path.with_name(path.name + ".json")]
    sidecar = next((file for file in beside if file.is_file()), None)
    if sidecar is None:
        raise ImageFileError(
            f"expected {beside[0].name} beside raw frames, got none; write one, such as "
            '{"shape": [100, 512, 512], "dtype": "uint16", "offset": 0}'
        )
    try:
        stated = json.loads(sidecar.read_text("utf-8-sig"))
        shape = tuple(int(length) for length in stated["shape"])
        dtype = np.dtype(stated["dtype"])
        offset, gap = int(stated.get("offset", 0)), int(stated.get("gap", 0))
        facts = _raw_facts(stated)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageFileError(f"expected shape, dtype and offset in {sidecar.name}, got: {error!r}") from error
    if len(shape) not in (2, 3) or min(shape) < 1 or offset < 0 or gap < 0 or dtype.kind not in "uif":
        raise ImageFileError(f"expected a shape (H, W) or (frames, H, W) of numbers in {sidecar.name}, got {stated}")
    flat = FlatFrames(path, offset, shape[-2:], dtype, 1, gap)
    held = (size_of(path) - offset + gap) // (flat.frame_bytes + gap)
    promised = shape[0] if len(shape) == 3 else max(1, held)
    flat = FlatFrames(path, offset, shape[-2:], dtype, promised, gap)
    return Contents("raw frames", (_flat_stack(flat, "", facts),), (path, sidecar))


def _raw_facts(stated: Mapping[str, Any]) -> Facts:
    def number(name: str, scale: float = 1.0) -> float | None:
        return None if stated.get(name) is None else float(stated[name]) * scale

    bits = stated.get("bit_depth")
    return Facts(
        optics_of(wavelength_m=number("wavelength_nm", 1e-9), object_pixel_m=number("pixel_um", 1e-6)),
        rate_of(number("interval_s")),
        int(bits) if bits is not None and 1 <= int(bits) <= 16 else None,
        str(stated.get("modality", "")),
    )
