"""The sign of the phase that a user chose is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.camera.optics import StatedOptics
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings


def test_sideband_put_for_a_camera_is_got_after_a_restart_and_for_no_other(tmp_path: Path) -> None:
    file = tmp_path / "state" / "sidebands.json"
    RememberedCameras(file).put("replay:a", "lower")
    RememberedCameras(file).put("replay:b", "upper")
    again = RememberedCameras(file)
    assert (again.get("replay:a"), again.get("replay:b"), again.get("replay:c")) == ("lower", "upper", "auto")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"replay:a": {"sideband": "left"}}', '{"replay:a": 7}'])
def test_sideband_in_a_damaged_file_is_auto(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sidebands.json"
    file.write_text(text)
    assert RememberedCameras(file).get("replay:a") == "auto"


def test_sidebands_that_the_first_version_remembered_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "sidebands.json").write_text('{"replay:a": "lower", "replay:b": "upper", "replay:c": "left"}')
    remembered = RememberedCameras(tmp_path / "cameras.json")
    assert remembered.get("replay:a") == "lower"
    remembered.put("replay:b", Sideband.AUTO)
    again = RememberedCameras(tmp_path / "cameras.json")
    assert [again.get(f"replay:{name}") for name in "abc"] == ["lower", "auto", "auto"]
    assert (tmp_path / "sidebands.json").exists()  # for whoever goes back


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"replay:a": 7}', "\x00"])
def test_damaged_sidebands_of_the_first_version_are_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "sidebands.json").write_text(text)
    assert RememberedCameras(tmp_path / "cameras.json").get("replay:a") == "auto"


def test_sideband_that_cannot_be_written_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    RememberedCameras(tmp_path / "state" / "sidebands.json").put("replay:a", "lower")
    assert "cannot be remembered" in caplog.text


def test_station_opened_again_takes_the_sideband_chosen_last_unless_one_is_given(tmp_path: Path) -> None:
    remembered = RememberedCameras(tmp_path / "sidebands.json")
    settings = load_settings({"camera": "simulated", "size": 128})
    station = open_station(settings, remembered)
    assert station.tuning.now.sideband == "auto"
    station.tuning.use_sideband("lower")
    assert open_station(settings, remembered).tuning.now.sideband == "lower"
    given = load_settings({"camera": "simulated", "size": 128, "sideband": "upper"})
    opened = open_station(given, remembered)
    assert opened.tuning.now.sideband == "upper"
    assert opened.pipeline.engine.identity.detail["sideband"] == "upper"


def test_optics_put_for_a_camera_are_got_after_a_restart_beside_its_sideband(tmp_path: Path) -> None:
    file = tmp_path / "cameras.json"
    stated = StatedOptics(pixel_um=3.45, magnification=40, refractive_index=1.33)
    RememberedCameras(file).put("replay:a", Sideband.LOWER)
    RememberedCameras(file).put_optics("replay:a", stated)
    again = RememberedCameras(file)
    assert (again.get("replay:a"), again.optics("replay:a")) == (Sideband.LOWER, stated)
    assert again.optics("replay:b") == StatedOptics()


@pytest.mark.parametrize("optics", ['{"pixel_um": -1}', '{"pixel_um": "x"}', '{"colour": 1}', "7"])
def test_optics_that_cannot_be_used_are_passed_over(tmp_path: Path, optics: str) -> None:
    (tmp_path / "cameras.json").write_text(f'{{"replay:a": {{"optics": {optics}}}}}')
    assert RememberedCameras(tmp_path / "cameras.json").optics("replay:a") == StatedOptics()
