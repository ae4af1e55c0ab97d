"""Small recordings, written as the recorder writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import zarr
from qpi_live.camera.files.writers.layer_names import Format, format_of, zarr_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.frame import Frame

from tests.fakes import fringes

STARTED_NS = 1_790_000_000_000_000_000
OPTICS = {
    "wavelength_m": 532e-9,
    "pixel_pitch_m": 4e-6,
    "magnification": 20.0,
    "numerical_aperture": 0.4,
    "refractive_index": 1.33,
}


def manifest_of(folder: Path, layers: tuple[str, ...] = ("interferogram",)) -> Manifest:
    """The manifest of a recording in `folder`, written there."""
    folder.mkdir()
    camera = {"source": "fake", "vendor": "tests", "model": "fake <&>", "serial": "0", "settings": {"Gain": 2.0}}
    engine = {"name": "goldstein", "version": "1", "device": "cpu", "detail": {"carrier": "0.11, 0.17"}}
    manifest = Manifest(folder.name, STARTED_NS, list(layers), camera, 8, OPTICS, engine)
    manifest.write(folder)
    return manifest


def frame_of(number: int, shape: tuple[int, int] = (96, 128)) -> Frame:
    """A frame as a camera gives it, a tenth of a second after the one before."""
    at_ns = number * 100_000_000
    settings = {"ExposureTime": 1500.0 + number // 8, "Gain": 2.0}
    return Frame(
        fringes(shape, number),
        8,
        number,
        STARTED_NS + at_ns,
        at_ns,
        1000 + number,
        at_ns + 7,
        settings,
        "fake",
        epoch=3,
    )


def record(
    folder: Path,
    frames: int,
    most_file_bytes: int | None = 4 << 30,
    *,
    closes: bool = True,
    kind: Format = Format.TIFF,
) -> list[np.ndarray]:
    """Record so many interferograms into `folder`, which is made; what was recorded."""
    manifest = manifest_of(folder)
    layer = RecordedLayer(folder, "interferogram", manifest, most_file_bytes, kind)
    taken = [frame_of(number) for number in range(frames)]
    for frame in taken:
        layer.append(frame, frame.pixels)
    if closes:
        layer.close()
        manifest.ended_ns, manifest.state = taken[-1].captured_ns, "done"
        manifest.write(folder)
    else:
        layer.restate()
    return [frame.pixels for frame in taken]


def images_of(folder: Path) -> np.ndarray:
    """A recording's interferograms, as the programs read them that the formats are of: tifffile, or zarr."""
    if format_of(folder, "interferogram") is Format.ZARR:
        array = zarr.open_group(folder / zarr_name("interferogram"), mode="r")["0"]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[...])
    with tifffile.TiffFile(folder / "interferogram.ome.tif") as tiff:
        assert tiff.series[0].shape[0] == len(tiff.pages)
        return np.asarray(tiff.series[0].asarray())
