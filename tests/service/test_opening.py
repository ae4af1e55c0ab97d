"""What is opened at the start: the baseline and the calibration frame that were named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qpi_live.models.engines.onnx import SHIPPED_INT8
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings
from qpi_live.service.settings_file import SettingsError

from tests.fakes import fringes
from tests.models.fringes import interferogram


@pytest.fixture
def remembered(tmp_path: Path) -> RememberedCameras:
    return RememberedCameras(tmp_path / "sidebands.json")


def test_calibration_frame_of_a_recording_larger_than_the_default_frame_is_taken(
    tmp_path: Path, remembered: RememberedCameras
) -> None:
    empty = interferogram(np.zeros((1100, 1200)))
    np.save(tmp_path / "cells.npy", fringes(empty.shape, 0)[None])
    np.save(tmp_path / "empty.npy", empty)
    given = {"camera": f"replay:{tmp_path / 'cells.npy'}", "calibration": tmp_path / "empty.npy", "engine": "goldstein"}
    station = open_station(load_settings(given), remembered)
    try:
        assert station.camera_shape == (1100, 1200)
        assert station.tuning.calibration is not None
    finally:
        station.camera.stop()
    with pytest.raises(
        SettingsError, match=r"calibration: expected the camera's shape \(512, 512\), got \(1100, 1200\)"
    ):
        open_station(load_settings(given | {"size": 512}), remembered)


def test_baseline_may_be_a_networks_file(remembered: RememberedCameras) -> None:
    given = {"camera": "simulated", "size": 128, "engine": "goldstein", "baseline": str(SHIPPED_INT8)}
    station = open_station(load_settings(given), remembered)
    assert station.baseline is not None
    assert station.baseline.engine.identity.kind == "network"
    station.camera.stop()
