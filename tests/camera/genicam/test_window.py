"""The camera's window: drawn, full, binned and in another format, on the virtual camera; steps on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.capture.window import _span
from qpi_live.camera.errors import CameraTimeout, FeatureRefused
from qpi_live.camera.frame import Frame
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import CameraOptions
from qpi_live.camera.switch import CameraSwitch
from qpi_live.camera.window import WindowChange

PATIENCE_S = 30.0


@pytest.fixture
def recording(tmp_path: Path) -> np.ndarray:
    frames = np.random.default_rng(0).integers(0, 256, (2, 120, 160)).astype(np.uint8)
    frames[:, 0, 0] = 255
    np.save(tmp_path / "recording.npy", frames)
    return frames


@pytest.fixture
def camera(
    virtual_producer: Path, recording: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GenicamCamera]:
    monkeypatch.setenv("VIRTUAL_GENTL_BUS", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_GENTL_SOURCE", str(tmp_path / "recording.npy"))
    camera = GenicamCamera.open(f"{virtual_producer}#VC0000", CameraOptions())
    yield camera
    camera.stop()


def next_of(camera: GenicamCamera | CameraSwitch, shape: tuple[int, int]) -> Frame:
    """The first frame of this shape."""
    for _ in range(2000):
        try:
            frame = camera.read(PATIENCE_S)
        except CameraTimeout:
            continue
        assert frame is not None
        if frame.shape == shape:
            return frame
    pytest.fail("no such frame came")


def assert_shows(frame: Frame, recording: np.ndarray, y: int, x: int) -> None:
    height, width = frame.shape
    expected = recording[(frame.device_id or 0) % len(recording)][y : y + height, x : x + width]
    np.testing.assert_array_equal(frame.pixels, expected)


def test_window_is_the_cameras_own_unless_asked(camera: GenicamCamera) -> None:
    window = camera.window()
    assert (window.y, window.x, window.height, window.width) == (0, 0, 120, 160)
    assert (window.full_height, window.full_width) == (120, 160)
    assert window.binnings == (1, 2, 3, 4)
    assert "Mono12p" in window.pixel_formats


def test_set_window_while_streaming_reads_out_that_area_and_comes_back(
    camera: GenicamCamera, recording: np.ndarray
) -> None:
    camera.start()
    assert camera.read(PATIENCE_S) is not None
    window = camera.set_window(WindowChange(area=(17, 21, 40, 50)))
    # Columns go in steps of 4: the smallest window that holds the area.
    assert (window.y, window.x, window.height, window.width) == (17, 20, 40, 52)
    assert_shows(next_of(camera, (40, 52)), recording, 17, 20)
    camera.stop()
    camera.start()
    assert camera.identity.shape == (40, 52)
    assert_shows(next_of(camera, (40, 52)), recording, 17, 20)
    assert camera.set_window(WindowChange(full=True)).height == 120
    assert_shows(next_of(camera, (120, 160)), recording, 0, 0)


def test_set_window_of_a_camera_that_a_person_stopped_leaves_it_stopped(camera: GenicamCamera) -> None:
    camera.start()
    camera.pause()
    camera.set_window(WindowChange(area=(0, 0, 32, 32)))
    assert camera.is_paused
    assert camera.identity.shape == (32, 32)


@pytest.mark.parametrize("area", [(0, 0, 121, 160), (100, 0, 40, 40), (0, 160, 20, 20), (0, 0, 4, 4)])
def test_set_window_off_the_chip_says_its_limits_and_changes_nothing(
    camera: GenicamCamera, area: tuple[int, int, int, int]
) -> None:
    camera.set_window(WindowChange(area=(8, 12, 64, 80), pixel_format="Mono12"))
    before = camera.window()
    sentence = r"expected a window inside of 120 × 160 \(rows × columns\), of at least 16 × 16, got"
    with pytest.raises(FeatureRefused, match=sentence):
        camera.set_window(WindowChange(area=area, pixel_format="Mono8"))
    assert camera.window() == before


def test_set_window_of_binning_shows_the_same_part_of_the_chip(camera: GenicamCamera, recording: np.ndarray) -> None:
    camera.start()
    camera.set_window(WindowChange(area=(20, 40, 60, 80)))
    window = camera.set_window(WindowChange(binning=2))
    assert (window.y, window.x, window.height, window.width) == (10, 20, 30, 40)
    assert (window.full_height, window.full_width, window.binning) == (60, 80, (2, 2))
    frame = next_of(camera, (30, 40))
    shown = recording[(frame.device_id or 0) % 2][20:80, 40:120].astype(int)
    np.testing.assert_array_equal(frame.pixels, shown.reshape(30, 2, 40, 2).sum(axis=(1, 3)) // 4)
    window = camera.set_window(WindowChange(binning=1))
    assert (window.y, window.x, window.height, window.width) == (20, 40, 60, 80)


def test_set_window_of_a_format_that_is_not_there_says_which_are(camera: GenicamCamera) -> None:
    with pytest.raises(FeatureRefused, match=r"expected a pixel format among Mono8, .*, got 'RGB8'"):
        camera.set_window(WindowChange(pixel_format="RGB8"))
    with pytest.raises(FeatureRefused, match=r"expected a binning among 1, 2, 3, 4, got 9"):
        camera.set_window(WindowChange(binning=9))


def test_window_that_only_moves_begins_a_new_epoch(camera: GenicamCamera) -> None:
    switch = CameraSwitch([camera])
    switch.start()
    camera.set_window(WindowChange(area=(0, 0, 32, 32)))
    before = next_of(switch, (32, 32))
    camera.set_window(WindowChange(area=(40, 40, 32, 32)))
    after = before
    while after.sensor_window == before.sensor_window:
        after = next_of(switch, (32, 32))
    assert after.epoch > before.epoch
    assert next_of(switch, (32, 32)).epoch == after.epoch


def test_span_holds_what_was_asked_for_on_every_step() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2000):
        step, size_step = (int(number) for number in rng.choice([1, 2, 4, 8, 16], 2))
        least = int(rng.integers(1, 5)) * size_step
        full = least + size_step * int(rng.integers(4, 60))
        size = int(rng.integers(least, full + 1))
        start = int(rng.integers(0, full - size + 1))
        first, rounded = _span(start, size, step, (least, size_step, full))
        assert first % step == 0
        assert (rounded - least) % size_step == 0
        assert first >= 0
        assert first + rounded <= full
        assert first <= start
        if first + rounded < start + size:  # the chip's end is off the steps
            assert full - (start + size) < step + size_step


def test_binning_makes_the_pixels_of_the_optics_larger(
    virtual_producer: Path, recording: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_GENTL_BUS", str(tmp_path))
    stated = StatedOptics(wavelength_nm=532, pixel_um=4, magnification=20)
    camera = GenicamCamera.open(f"{virtual_producer}#VC0000", CameraOptions(optics=stated))
    switch = CameraSwitch([camera])
    assert switch.identity.optics is not None
    assert switch.identity.optics.object_pixel_m == pytest.approx(0.2e-6)
    camera.set_window(WindowChange(binning=2))
    assert switch.identity.optics.object_pixel_m == pytest.approx(0.4e-6)
    switch.state_optics(switch.identity.source, StatedOptics(pixel_um=5))
    assert switch.identity.optics.object_pixel_m == pytest.approx(0.5e-6)
    switch.stop()
