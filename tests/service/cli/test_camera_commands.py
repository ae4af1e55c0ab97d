"""`qpi cameras`, and a camera's settings given at start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qpi_live.service.cli.main import main
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["qpi", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_cameras_lists_vendor_model_serial_and_access(
    virtual_producer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert _run(monkeypatch, "cameras", str(virtual_producer)) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "VC0001" in line)
    for told in ("qpi-live", "Virtual off-axis camera", "free", f"gentl:{virtual_producer}#VC0001"):
        assert told in row


def test_cameras_without_a_producer_end_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "cameras", "/no/such/producer.cti") == 2
    assert "expected a GenTL producer" in capsys.readouterr().err


def test_cameras_whose_only_producer_cannot_be_loaded_say_so_and_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.cti").write_bytes(b"not a library")
    monkeypatch.setenv("COLUMNS", "300")
    assert _run(monkeypatch, "cameras", str(tmp_path / "broken.cti")) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "broken.cti" in said.err
    assert "cannot be loaded" in said.err


def test_serve_with_a_camera_that_is_not_there_ends_with_one_sentence(
    virtual_producer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "serve", "--port", "0", "--camera", f"gentl:{virtual_producer}#nope") == 2
    said = capsys.readouterr().err
    assert "serial number nope" in said
    assert "Traceback" not in said


def test_camera_settings_file_is_set_at_start(virtual_producer: Path, tmp_path: Path) -> None:
    (tmp_path / "camera.toml").write_text('PixelFormat = "Mono12p"\nExposureTime = 1500.0\nWidth = 128\nHeight = 96\n')
    settings = load_settings({"camera": f"gentl:{virtual_producer}", "camera_settings": tmp_path / "camera.toml"})
    station = open_station(settings, RememberedCameras(tmp_path / "sidebands.json"))
    try:
        identity = station.camera.identity
        assert (identity.shape, identity.bit_depth) == ((96, 128), 12)
        assert identity.settings["ExposureTime"] == 1500.0
    finally:
        station.camera.stop()
