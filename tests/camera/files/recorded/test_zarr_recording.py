"""Recordings written straight to OME-Zarr, as zarr, its readers and this program see them, whole and torn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.repair import check, repair
from qpi_live.camera.files.writers.frame_list import read_entries
from qpi_live.camera.files.writers.layer_names import Format, parts_of
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.files.writers.zarr_parts import ZarrParts

from tests.camera.files.recorded.recordings import frame_of, images_of, manifest_of, record

IMAGE, LIST = "interferogram.ome.zarr", "interferogram.frames.jsonl"
PER_SHARD = 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qpi_live.camera.files.writers.zarr_parts._SHARD_BYTES", PER_SHARD * 96 * 128)


def record_zarr(folder: Path, frames: int, *, closes: bool = True) -> list[np.ndarray]:
    return record(folder, frames, closes=closes, kind=Format.ZARR)


def last_shard(folder: Path) -> Path:
    return list(parts_of(folder, "interferogram").values())[-1]


def cut(path: Path, by: int) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - by)


def test_zarr_recording_opens_in_zarr_with_scale_times_and_optics(tmp_path: Path) -> None:
    recorded = record_zarr(tmp_path / "run", 10)
    group = zarr.open_group(tmp_path / "run" / IMAGE, mode="r")
    array = group["0"]
    assert isinstance(array, zarr.Array)
    assert (array.shape, array.chunks, array.shards) == ((10, 96, 128), (1, 96, 128), (PER_SHARD, 96, 128))
    assert (array[...] == np.stack(recorded)).all()
    described = dict(group.attrs["ome"])  # type: ignore[arg-type]
    (multiscale,) = described["multiscales"]
    assert described["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["t", "y", "x"]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == pytest.approx([0.1, 0.2, 0.2])
    known = dict(group.attrs["qpi-live"])  # type: ignore[arg-type]
    assert known["captured_ns"] == [frame_of(number).captured_ns for number in range(10)]
    assert known["exposure_us"][9] == 1501.0
    assert known["optics"]["wavelength_m"] == pytest.approx(532e-9)
    assert known["particulars"]["engine carrier"] == "0.11, 0.17"


@pytest.mark.parametrize("closes", [True, False])
def test_zarr_recording_opens_in_the_reader_of_the_specification_s_authors(tmp_path: Path, closes: bool) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="pip install ome-zarr")
    location = pytest.importorskip("ome_zarr.io")
    recorded = record_zarr(tmp_path / "run", 6, closes=closes)
    (node, *_) = reader.Reader(location.parse_url(str(tmp_path / "run" / IMAGE)))()
    assert (np.asarray(node.data[0]) == np.stack(recorded)).all()


@pytest.mark.parametrize("closes", [True, False])
def test_zarr_recording_plays_with_its_optics_and_times(tmp_path: Path, closes: bool) -> None:
    recorded = record_zarr(tmp_path / "run", 10, closes=closes)
    for address in (tmp_path / "run", tmp_path / "run" / IMAGE):
        played = open_recording(str(address))
        assert played.frames == 10
        assert all((played.read(number).pixels == image).all() for number, image in enumerate(recorded))
        played.close()
    played = open_recording(str(tmp_path / "run"))
    assert played.optics is not None
    assert played.optics.magnification == 20.0
    assert played.frame_rate_hz == pytest.approx(10.0)
    assert ("was not closed" in played.remark) is not closes


def test_zarr_recording_of_phase_is_float32(tmp_path: Path) -> None:
    layer = RecordedLayer(tmp_path / "run", "phase", manifest_of(tmp_path / "run", ("phase",)), None, Format.ZARR)
    phase_rad = np.linspace(-3, 20, 96 * 128, dtype=np.float32).reshape(96, 128)
    for number in range(3):
        layer.append(frame_of(number), phase_rad + number, {"engine": "goldstein"})
    layer.close()
    array = zarr.open_group(tmp_path / "run" / "phase.ome.zarr", mode="r")["0"]
    assert isinstance(array, zarr.Array)
    assert (array[...] == np.stack([phase_rad, phase_rad + 1, phase_rad + 2])).all()


def test_zarr_recording_never_takes_the_place_of_a_folder_that_is_there(tmp_path: Path) -> None:
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest_of(tmp_path / "run"), None, Format.ZARR)
    (tmp_path / "run" / IMAGE / "0" / "c").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        layer.append(frame_of(0), frame_of(0).pixels)


@pytest.mark.parametrize("torn_bytes", [1, 40, 500, 5_000, 13_000, 40_000, 52_000])
def test_repair_of_a_shard_cut_anywhere_keeps_every_whole_frame(tmp_path: Path, torn_bytes: int) -> None:
    recorded = record_zarr(tmp_path / "run", 12, closes=False)
    cut(last_shard(tmp_path / "run"), torn_bytes)
    (repaired,) = repair(tmp_path / "run")
    assert repaired.frames >= 12 - 1 - torn_bytes // 12_000
    assert (images_of(tmp_path / "run") == np.stack(recorded[: repaired.frames])).all()
    (again,) = check(tmp_path / "run")
    assert (again.frames, again.torn) == (repaired.frames, 0)
    assert Manifest.read(tmp_path / "run").state == "repaired"
    assert open_recording(str(tmp_path / "run")).frames == repaired.frames


def test_torn_frame_of_a_shard_is_refused_and_never_handed_out_as_zeros(tmp_path: Path) -> None:
    record_zarr(tmp_path / "run", 6, closes=False)
    shard = last_shard(tmp_path / "run")
    data = bytearray(shard.read_bytes())
    data[4096 + 100 : 4096 + 5000] = bytes(4900)
    shard.write_bytes(data)
    played = open_recording(str(tmp_path / "run"))
    assert played.read(3).pixels.any()
    with pytest.raises(ImageFileError, match="checksum"):
        played.read(4)
    (damaged,) = check(tmp_path / "run")
    assert (damaged.frames, damaged.torn) == (5, 1)


def test_torn_index_is_made_anew_from_the_list(tmp_path: Path) -> None:
    recorded = record_zarr(tmp_path / "run", 6, closes=False)
    with last_shard(tmp_path / "run").open("rb+") as file:
        file.write(b"\0" * 40)
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, repaired.torn) == (6, 0)
    assert (images_of(tmp_path / "run") == np.stack(recorded)).all()


def test_lost_list_is_made_anew_from_the_shards(tmp_path: Path) -> None:
    recorded = record_zarr(tmp_path / "run", 10, closes=False)
    listed = list(read_entries(tmp_path / "run" / LIST))
    (tmp_path / "run" / LIST).unlink()
    (repaired,) = repair(tmp_path / "run")
    assert (repaired.frames, repaired.torn) == (10, 0)
    assert list(read_entries(tmp_path / "run" / LIST)) == listed
    assert (images_of(tmp_path / "run") == np.stack(recorded)).all()


def test_lost_shard_is_named_and_the_others_play(tmp_path: Path) -> None:
    recorded = record_zarr(tmp_path / "run", 12, closes=False)
    shutil.rmtree(tmp_path / "run" / IMAGE / "0" / "c" / "1")
    (repaired,) = repair(tmp_path / "run")
    assert repaired.frames == 8
    assert f"{IMAGE}/0/c/1/0/0 is missing" in repaired.missing
    played = open_recording(str(tmp_path / "run"))
    assert played.frames == 8
    assert (played.read(4).pixels == recorded[8]).all()


@pytest.mark.parametrize("before", [0, 1, 4, 5])
def test_frame_of_a_shard_that_the_list_does_not_take_is_in_neither(tmp_path: Path, before: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no disk here that is always full")
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest_of(tmp_path / "run"), None, Format.ZARR)
    frames = [frame_of(number) for number in range(before + 3)]
    for frame in frames[:before]:
        layer.append(frame, frame.pixels)
    assert layer._list is not None
    real = layer._list._file
    with open("/dev/full", "wb", buffering=0) as full:
        layer._list._file = full
        with pytest.raises(OSError, match=r"No space left|Invalid argument"):
            layer.append(frames[before], frames[before].pixels)
    layer._list._file = real
    for frame in frames[before + 1 :]:
        layer.append(frame, frame.pixels)
    layer.close()
    kept = np.stack([frame.pixels for frame in (*frames[:before], *frames[before + 1 :])])
    assert (images_of(tmp_path / "run") == kept).all()


def test_sync_lets_go_of_full_shards_while_others_are_written(tmp_path: Path) -> None:
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest_of(tmp_path / "run"), None, Format.ZARR)
    for number in range(3 * PER_SHARD):
        layer.append(frame_of(number), frame_of(number).pixels)
    assert isinstance(layer._images, ZarrParts)
    assert len(layer._images._full) == 2
    layer.sync()
    assert layer._images._full == []
    layer.close()
