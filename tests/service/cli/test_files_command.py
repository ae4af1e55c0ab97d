"""`qpi files` says what a recording holds, and what would be played of it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
from qpi_live.camera.files import recording
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.camera.files.written.stack import frames
from tests.camera.files.written.table import WRITERS

WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}


def test_files_lists_frames_channels_size_type_scale_and_pace(tmp_path: Path) -> None:
    address = WRITERS["OME-TIFF, two channels"](tmp_path, frames())
    result = CliRunner().invoke(app, ["files", address], env=WIDE)
    assert result.exit_code == 0
    for cell in ("OME-TIFF", "GFP, holo 532", "36 × 48", "uint16", "0.1 µm", "5 Hz", "plays 6 frames of 12 bit"):
        assert cell in result.output
    assert "modality" not in result.output  # a column only where the file says something


def test_files_as_json_is_for_programs(tmp_path: Path) -> None:
    address = WRITERS["HDF5 of qpformat"](tmp_path, frames())
    result = CliRunner().invoke(app, ["files", "--json", f"replay:{address}"], env=WIDE)
    found = json.loads(result.output)
    assert found["kind"] == "HDF5"
    (dataset,) = found["datasets"]
    assert (dataset["frames"], dataset["shape"], dataset["modality"]) == (6, [36, 48], "off-axis holography")
    assert dataset["optics"]["wavelength_m"] == pytest.approx(532e-9)
    assert found["replay"]["plays"] is True


def test_files_that_could_mean_several_things_lists_them_and_says_what_is_missing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["left [1]"] = frames(3)
        file["right"] = frames(4)
    result = CliRunner().invoke(app, ["files", str(tmp_path / "several.h5")], env=WIDE)
    assert result.exit_code == 0
    assert "/left [1]" in result.output
    assert "needs more: several.h5: expected to know what to play" in result.output


def test_files_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = WRITERS["OME-TIFF, two channels"](tmp_path, frames())
    listed: list[Path] = []
    opener = recording._opener
    monkeypatch.setattr(recording, "_opener", lambda path: listed.append(path) or opener(path))
    assert CliRunner().invoke(app, ["files", address], env=WIDE).exit_code == 0
    assert len(listed) == 1


def test_files_of_what_is_no_recording_ends_with_one_sentence_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    result = CliRunner().invoke(app, ["files", str(tmp_path / "notes.txt")], env=WIDE)
    assert result.exit_code == 2
    assert "notes.txt: expected a .npy" in result.output


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--magnification", "40"], "pixel pitch beside a magnification of 40"),
        (["--pixel-um", "3.75", "--magnification", "4000"], "check --pixel-um and --magnification"),
        (["--channel", "GFP"], "expected a channel among"),
    ],
)
def test_instrument_takes_the_wavelength_of_the_recording_and_refuses_a_scale_that_cannot_be(
    tmp_path: Path, given: list[str], sentence: str
) -> None:
    out = tmp_path / "instrument.json"
    arguments = ["instrument", "replay:glioblastoma", str(out), "--size", "256", "--frames", "1", *given]
    result = CliRunner().invoke(app, arguments, env=WIDE)
    assert result.exit_code == 2
    assert sentence in result.output
    assert not out.exists()


def test_instrument_scale_beside_the_recordings_own_wavelength_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "instrument.json"
    arguments = ["instrument", "replay:glioblastoma", str(out), "--size", "512", "--frames", "1"]
    result = CliRunner().invoke(app, [*arguments, "--pixel-um", "3.75", "--magnification", "40"], env=WIDE)
    assert result.exit_code == 0, result.output
    optics = json.loads(out.read_text())["optics"]
    assert optics["wavelength_m"] == pytest.approx(533e-9)
    assert (optics["pixel_pitch_m"], optics["magnification"]) == (pytest.approx(3.75e-6), 40)
