"""Recordings as napari opens them, by the plugin's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qpi_live.camera.files.conversion import convert
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer

from tests.camera.files.recorded.recordings import frame_of, manifest_of, record

PIXEL_UM = 4.0 / 20


@pytest.fixture(autouse=True)
def _napari() -> None:
    pytest.importorskip("napari", reason="needs napari: pip install 'qpi-live[napari]'")


def opened(viewer: Any, path: Path) -> list[Any]:
    return list(viewer.open(path, plugin="qpi-live"))


def record_both(folder: Path, frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A recording of interferograms and phase, as the recorder writes it; what is in it."""
    manifest = manifest_of(folder, ("interferogram", "phase"))
    layers = [RecordedLayer(folder, name, manifest, None) for name in ("interferogram", "phase")]
    taken = [frame_of(number) for number in range(frames)]
    phases = [np.float32(0.01) * frame.pixels.astype(np.float32) - 1 for frame in taken]
    for frame, phase_rad in zip(taken, phases, strict=True):
        layers[0].append(frame, frame.pixels)
        layers[1].append(frame, phase_rad)
    for layer in layers:
        layer.close()
    return [frame.pixels for frame in taken], phases


def test_reader_of_a_recording_gives_both_layers_with_scale_time_and_exact_values(viewer: Any, tmp_path: Path) -> None:
    pixels, phases = record_both(tmp_path / "run 1", 4)
    grey, phase = opened(viewer, tmp_path / "run 1")
    assert [grey.name, phase.name] == ["run 1 interferogram", "run 1 phase"]
    assert grey.data.shape == phase.data.shape == (4, 96, 128)
    assert grey.data.dtype == np.uint8
    assert phase.data.dtype == np.float32
    for number in range(4):
        assert np.array_equal(np.asarray(grey.data[number]), pixels[number])
        assert np.array_equal(np.asarray(phase.data[number]), phases[number])
    assert phase.scale == pytest.approx([0.1, PIXEL_UM, PIXEL_UM])
    assert [str(unit) for unit in phase.units] == ["second", "micrometer", "micrometer"]


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.h5", "run/interferogram.ome.tif"])
def test_reader_of_converted_recordings_gives_the_same_frames(viewer: Any, tmp_path: Path, name: str) -> None:
    taken = record(tmp_path / "run", 3)
    if "/" not in name:
        convert(str(tmp_path / "run"), tmp_path / name)
    (layer,) = opened(viewer, tmp_path / name)
    assert layer.data.shape == (3, 96, 128)
    assert np.array_equal(np.asarray(layer.data), np.stack([np.asarray(frame) for frame in taken]))
    assert layer.scale[1:] == pytest.approx([PIXEL_UM, PIXEL_UM])


@pytest.mark.parametrize("name", ["run", "run/interferogram.ome.tif", "run.h5"])
def test_frames_that_several_threads_read_at_once_are_their_own(tmp_path: Path, name: str) -> None:
    from qpi_live.service.napari.recording_reader import read_layers

    taken = record(tmp_path / "run", 12)
    if "/" not in name and name != "run":
        convert(str(tmp_path / "run"), tmp_path / name)
    ((data, _, _),) = read_layers(str(tmp_path / name))
    for _ in range(20):
        read = data.compute(scheduler="threads", num_workers=8)
        assert [np.array_equal(one, frame) for one, frame in zip(read, taken, strict=True)] == [True] * 12


def test_reader_leaves_what_is_no_recording_to_others(tmp_path: Path) -> None:
    from qpi_live.service.napari.recording_reader import reader_of

    (tmp_path / "photos").mkdir()
    assert reader_of(str(tmp_path / "photos")) is None
    assert reader_of(str(tmp_path / "photo.png")) is None
    assert reader_of([str(tmp_path / "a.ome.tif"), str(tmp_path / "b.ome.tif")]) is None


def test_manifest_is_sound_and_names_what_is_there() -> None:
    import npe2

    manifest = npe2.PluginManifest.from_distribution("qpi-live")
    manifest.validate_imports()
    assert manifest.contributions.widgets is not None
    assert manifest.contributions.readers is not None


def test_recording_of_a_manifest_alone_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    from qpi_live.camera.files.image_bounds import ImageFileError
    from qpi_live.service.napari.recording_reader import read_layers

    manifest_of(tmp_path / "empty")
    assert Manifest.read(tmp_path / "empty").layers == ["interferogram"]
    with pytest.raises(ImageFileError, match="nothing was recorded"):
        read_layers(str(tmp_path / "empty"))
