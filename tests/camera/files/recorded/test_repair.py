"""Torn ends: whatever was cut off, what is whole is kept, and what is kept opens everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.repair import check, repair
from qpi_live.camera.files.writers.frame_list import read_entries
from qpi_live.camera.files.writers.layer_names import parts_of
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.camera.files.recorded.recordings import frame_of, manifest_of, record

PIXELS, LIST = "interferogram.ome.tif", "interferogram.frames.jsonl"


def cut(path: Path, by: int) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - by)


def opened(folder: Path) -> np.ndarray:
    with tifffile.TiffFile(folder / PIXELS) as tiff:
        assert tiff.series[0].shape[0] == len(tiff.pages)
        return np.asarray(tiff.series[0].asarray())


@pytest.mark.parametrize("torn_bytes", [1, 40, 500, 5_000, 13_000, 30_000])
@pytest.mark.parametrize("most_file_bytes", [4 << 30, None])
def test_repair_of_pixels_cut_anywhere_keeps_every_whole_frame(
    tmp_path: Path, torn_bytes: int, most_file_bytes: int | None
) -> None:
    recorded = record(tmp_path / "run", 10, most_file_bytes, closes=False)
    cut(tmp_path / "run" / PIXELS, torn_bytes)
    (repaired,) = repair(tmp_path / "run")
    assert repaired.frames >= 10 - 1 - torn_bytes // 12_000
    assert repaired.frames + repaired.torn == 10
    assert (opened(tmp_path / "run") == np.stack(recorded[: repaired.frames])).all()
    (again,) = check(tmp_path / "run")
    assert (again.frames, again.torn) == (repaired.frames, 0)
    assert Manifest.read(tmp_path / "run").state == "repaired"


@pytest.mark.parametrize("torn_bytes", [1, 100, 700, 100_000])
def test_repair_of_a_list_cut_anywhere_takes_what_the_pages_say(tmp_path: Path, torn_bytes: int) -> None:
    recorded = record(tmp_path / "run", 10, closes=False)
    path = tmp_path / "run" / LIST
    cut(path, min(torn_bytes, path.stat().st_size - path.read_bytes().index(b"\n") - 1))
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, repaired.torn) == (10, 0)
    assert (opened(tmp_path / "run") == np.stack(recorded)).all()
    assert len(path.read_bytes().splitlines()) == 10


def test_repair_after_a_power_cut_leaves_out_pages_whose_images_never_reached_the_disk(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 10, closes=False)
    with (tmp_path / "run" / PIXELS).open("rb+") as file:  # the chain stands, the last image is zeros
        tail = tifffile.TiffFile(file).pages[9].dataoffsets[0]
        file.seek(tail)
        file.write(bytes(96 * 128))
    (damaged,) = check(tmp_path / "run")
    assert (damaged.frames, damaged.torn) == (9, 1)
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, repaired.torn) == (9, 1)
    assert (opened(tmp_path / "run") == np.stack(recorded[:9])).all()


def test_repair_after_a_broken_chain_finds_the_images_behind_it_by_the_list(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 10, None, closes=False)
    data = bytearray((tmp_path / "run" / PIXELS).read_bytes())
    with tifffile.TiffFile(tmp_path / "run" / PIXELS) as tiff:
        at = tiff.pages[4].offset
        tags = len(tiff.pages[4].tags)
    link = at + 8 + 20 * tags
    data[link : link + 8] = bytes(8)
    (tmp_path / "run" / PIXELS).write_bytes(data)
    assert open_recording(str(tmp_path / "run")).frames == 5
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, repaired.torn) == (10, 0)
    assert (opened(tmp_path / "run") == np.stack(recorded)).all()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_repair_with_one_file_missing_keeps_every_frame_of_the_others_and_says_it(tmp_path: Path, gone: int) -> None:
    recorded = record(tmp_path / "run", 12, 110_000, closes=False)
    parts = parts_of(tmp_path / "run", "interferogram")
    entries = list(read_entries(tmp_path / "run" / LIST))
    assert len(parts) == 4
    parts[gone].unlink()
    left = [entry.frame for entry in entries if entry.part != gone]
    (checked,) = check(tmp_path / "run")
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, checked.frames) == (len(left), len(left))
    assert f"{parts[gone].name} is missing" in repaired.missing
    assert f"{parts[gone].name} is missing" in Manifest.read(tmp_path / "run").sentence
    played = open_recording(str(tmp_path / "run"))
    assert f"{parts[gone].name} is missing" in played.remark
    assert played.frames == len(left)
    for number, frame in enumerate(left):
        assert (played.read(number).pixels == recorded[frame]).all()
    played.close()


def test_repair_beyond_9999_files_keeps_every_frame(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    layer = RecordedLayer(folder, "interferogram", manifest_of(folder), 110_000)
    layer._images._part = 9_998  # as after so many files
    frames = [frame_of(number) for number in range(12)]
    for frame in frames:
        layer.append(frame, frame.pixels)
    layer.restate()
    assert list(parts_of(folder, "interferogram")) == [9_998, 9_999, 10_000, 10_001]
    (repaired,) = repair(folder)
    assert (repaired.frames, repaired.torn) == (12, 0)
    played = open_recording(str(folder))
    assert [bool((played.read(n).pixels == frames[n].pixels).all()) for n in range(12)] == [True] * 12
    played.close()


def test_repair_leaves_a_file_whose_frames_are_all_unknown(tmp_path: Path) -> None:
    record(tmp_path / "run", 12, 110_000, closes=False)
    last = max(parts_of(tmp_path / "run", "interferogram").values())
    (tmp_path / "run" / LIST).write_bytes(b"")
    last_bytes = last.read_bytes()
    damaged = bytearray(last_bytes)
    with tifffile.TiffFile(last) as tiff:
        for page in tiff.pages:
            damaged[page.dataoffsets[0]] ^= 1
    last.write_bytes(damaged)
    repair(tmp_path / "run")
    assert last.read_bytes() == bytes(damaged)


def test_repair_twice_and_of_a_closed_recording_changes_nothing(tmp_path: Path) -> None:
    record(tmp_path / "run", 6)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    repair(tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_files_command_repairs_verifies_and_refuses_what_is_no_recording(tmp_path: Path) -> None:
    record(tmp_path / "run", 10, closes=False)
    cut(tmp_path / "run" / PIXELS, 5_000)
    run = CliRunner().invoke
    listed = run(app, ["files", str(tmp_path / "run")])
    assert "qpi files --repair" in listed.output
    assert run(app, ["files", "--verify", str(tmp_path / "run")]).exit_code == 1
    repaired = run(app, ["files", "--repair", str(tmp_path / "run")])
    assert "9 frames of interferogram are whole, 1 torn" in repaired.output
    assert run(app, ["files", "--verify", str(tmp_path / "run")]).exit_code == 0
    (tmp_path / "empty").mkdir()
    assert run(app, ["files", "--repair", str(tmp_path / "empty")]).exit_code == 2
