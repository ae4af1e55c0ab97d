"""The sign of the phase that a person chose is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.service.line.remembered import RememberedSidebands
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings


def test_sideband_put_for_a_camera_is_got_after_a_restart_and_for_no_other(tmp_path: Path) -> None:
    file = tmp_path / "state" / "sidebands.json"
    RememberedSidebands(file).put("replay:a", "lower")
    RememberedSidebands(file).put("replay:b", "upper")
    again = RememberedSidebands(file)
    assert (again.get("replay:a"), again.get("replay:b"), again.get("replay:c")) == ("lower", "upper", "auto")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"replay:a": "left"}', '{"replay:a": 7}'])
def test_sideband_in_a_damaged_file_is_auto(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sidebands.json"
    file.write_text(text)
    assert RememberedSidebands(file).get("replay:a") == "auto"


def test_sideband_that_cannot_be_written_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    RememberedSidebands(tmp_path / "state" / "sidebands.json").put("replay:a", "lower")
    assert "cannot be remembered" in caplog.text


def test_station_opened_again_takes_the_sideband_chosen_last_unless_one_is_given(tmp_path: Path) -> None:
    remembered = RememberedSidebands(tmp_path / "sidebands.json")
    settings = load_settings({"camera": "simulated", "size": 128})
    station = open_station(settings, remembered)
    assert station.tuning.now.sideband == "auto"
    station.tuning.use_sideband("lower")
    assert open_station(settings, remembered).tuning.now.sideband == "lower"
    given = load_settings({"camera": "simulated", "size": 128, "sideband": "upper"})
    opened = open_station(given, remembered)
    assert opened.tuning.now.sideband == "upper"
    assert opened.pipeline.engine.identity.detail["sideband"] == "upper"
