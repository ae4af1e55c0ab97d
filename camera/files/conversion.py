"""A recording as another kind of file: OME-Zarr 0.5, qpformat's HDF5, OME-TIFF."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from time import time_ns

import h5py
import numpy as np
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import GreyImage
from qpi_live.camera.files.recording import Recording, open_recording, split_address
from qpi_live.camera.files.writers.frame_list import FrameEntry, read_entries
from qpi_live.camera.files.writers.layer_names import list_name
from qpi_live.camera.files.writers.manifest import Manifest, is_recording
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.frame import Frame, as_pixels, dtype_for

_LAYER = "interferogram"


class Kind(StrEnum):
    """What a recording can be converted to."""

    ZARR = "ome-zarr"
    HDF5 = "hdf5"
    TIFF = "ome-tiff"


def kind_of(out: Path) -> Kind:
    """The kind that a name means by its ending; a name without one is a recording's folder, of OME-TIFF.

    Raises:
        ValueError: no kind has such an ending.
    """
    for ending, kind in ((".zarr", Kind.ZARR), (".h5", Kind.HDF5), (".hdf5", Kind.HDF5)):
        if out.name.lower().endswith(ending):
            return kind
    if out.suffix:
        raise ValueError(f"expected a name that ends in .ome.zarr or .h5, or a new folder for OME-TIFF, got {out.name}")
    return Kind.TIFF


def convert(address: str, out: Path, channel: str = "", advance: Callable[[], None] = lambda: None) -> Kind:
    """Write the interferograms of any recording into a file of another kind, whole or not at all.

    Args:
        address: see `open_recording`.
        out: what is not there yet; its ending says the kind.
        channel: see `open_recording`.
        advance: called after each frame.

    Raises:
        ValueError: there is something at `out`, or its ending says nothing.
        ImageFileError: a frame cannot be read.
        OSError: it cannot be written.
    """
    kind = kind_of(out)
    if out.exists():
        raise ValueError(f"expected a new name, got {out}, which is there already")
    recording = open_recording(address, channel)
    # Beside the target, so that a rename makes it whole.
    partial = out.with_name(f".{out.name}.partial")
    _remove(partial)
    try:
        write = {Kind.ZARR: _write_zarr, Kind.HDF5: _write_hdf5, Kind.TIFF: _write_tiff}[kind]
        write(recording, partial, entries_of(address), out.name, advance)
        partial.rename(out)
    except BaseException:
        _remove(partial)
        raise
    finally:
        recording.close()
    return kind


def entries_of(address: str) -> list[FrameEntry]:
    """What is known of each frame of a recording of this program; nothing of others."""
    path, _ = split_address(address)
    return list(read_entries(path / list_name(_LAYER))) if is_recording(path) else []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _images(recording: Recording, advance: Callable[[], None]) -> Iterator[tuple[int, GreyImage]]:
    for index in range(recording.frames):
        image = recording.read(index)
        if image.pixels.shape != recording.shape:
            raise ImageFileError(f"expected frames of {recording.shape}, got {recording.title(index)} of another size")
        if image.missing is not None:
            raise ImageFileError(
                f"expected finite grey values, got NaN or infinity in {recording.title(index)}, which whole numbers "
                "cannot say; qpi process and replay: take the recording as it is, and mask those pixels"
            )
        yield index, image
        advance()


def _write_zarr(
    recording: Recording, out: Path, entries: list[FrameEntry], name: str, advance: Callable[[], None]
) -> None:
    # On demand: the package is an extra.
    from qpi_live.camera.files.writers.ome_zarr import create_ome_zarr, shard_frames  # noqa: PLC0415

    dtype = np.dtype(dtype_for(recording.bit_depth))
    size = shard_frames(recording.shape, dtype)
    optics = recording.optics
    array = create_ome_zarr(
        out,
        name.removesuffix(".zarr").removesuffix(".ome"),
        recording.frames,
        recording.shape,
        dtype,
        frames_per_shard=size,
        object_pixel_m=optics.object_pixel_m if optics else None,
        interval_s=1 / recording.frame_rate_hz if recording.frame_rate_hz else None,
        attributes={
            "qpi-live": {
                "layer": _LAYER,
                "bit_depth": recording.bit_depth,
                "wavelength_m": optics.wavelength_m if optics else None,
                "captured_ns": [entry.captured_ns for entry in entries],
            }
        },
    )
    block = np.zeros((size, *recording.shape), dtype)
    for index, image in _images(recording, advance):
        block[index % size] = image.pixels
        if index % size == size - 1 or index == recording.frames - 1:
            begin = index - index % size
            array[begin : index + 1] = block[: index - begin + 1]


def _write_hdf5(
    recording: Recording, out: Path, entries: list[FrameEntry], _: str, advance: Callable[[], None]
) -> None:
    """qpformat's layout: datasets "0", "1", … with SI units as attributes."""
    known = {}
    if recording.optics is not None:
        known = {
            "wavelength": recording.optics.wavelength_m,
            "pixel size": recording.optics.object_pixel_m,
            "numerical aperture": recording.optics.numerical_aperture,
            "medium index": recording.optics.refractive_index,
        }
    with h5py.File(out, "w") as file:
        file.attrs["file_format"] = "qpformat"
        file.attrs["imaging_modality"] = "off-axis holography"
        for index, image in _images(recording, advance):
            data = file.create_dataset(str(index), data=image.pixels)
            data.attrs.update({name: value for name, value in known.items() if value is not None})
            data.attrs["time"] = _time_s(recording, entries, index)


def _time_s(recording: Recording, entries: list[FrameEntry], index: int) -> float:
    if index < len(entries):
        return (entries[index].captured_ns - entries[0].captured_ns) / 1e9
    return index / recording.frame_rate_hz if recording.frame_rate_hz else 0.0


def _write_tiff(
    recording: Recording, out: Path, entries: list[FrameEntry], name: str, advance: Callable[[], None]
) -> None:
    out.mkdir()
    optics = asdict(recording.optics) if recording.optics else {}
    began_ns = entries[0].captured_ns if entries else time_ns()
    manifest = Manifest(name, began_ns, [_LAYER], {"source": recording.name}, recording.bit_depth, optics)
    layer = RecordedLayer(out, _LAYER, manifest, 4_000_000_000)
    for index, image in _images(recording, advance):
        at_ns = began_ns + round(1e9 * _time_s(recording, entries, index))
        pixels = as_pixels(image.pixels, recording.bit_depth)
        layer.append(Frame(pixels, recording.bit_depth, index, at_ns, at_ns), pixels)
    layer.close()
    manifest.ended_ns, manifest.state = time_ns(), "done"
    manifest.sentence = f"Converted from {recording.name}."
    manifest.write(out)
