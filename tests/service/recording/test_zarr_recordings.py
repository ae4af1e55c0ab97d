"""Recordings to OME-Zarr on a running station: made, played, downloaded, deleted."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from qpi_live.camera.files.recording import open_recording

from tests.camera.files.recorded.recordings import images_of
from tests.fakes import fringes
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended
from tests.service.stations import Bench

ZIP = "interferogram.ome.zarr.zip"


def recorded(bench: Bench, frames: int = 3) -> None:
    name = begin(bench, name="run", frames=frames, format="ome-zarr")
    bench.frames(frames)
    assert ended(bench, name)["state"] == "done"


def test_zarr_recording_has_every_frame_and_says_how_large_it_is(bench: Bench, tmp_path: Path) -> None:
    recorded(bench)
    assert (images_of(tmp_path / "kept" / "run") == np.stack([fringes(SHAPE, number) for number in range(3)])).all()
    (kept,) = bench.client.get(RECORDINGS).json()["kept"]
    assert kept["frames"] == 3
    assert kept["bytes"] >= 3 * SHAPE[0] * SHAPE[1]
    assert ZIP in kept["files"]


def test_zarr_recording_plays_in_the_gallery(bench: Bench) -> None:
    recorded(bench)
    assert bench.client.get(f"{RECORDINGS}/run/thumbnail").headers["content-type"] == "image/png"
    assert bench.client.get(f"{RECORDINGS}/run/frames/2").status_code == 200


def test_zarr_recording_is_downloaded_as_a_zip_file_that_opens_as_it_is(bench: Bench, tmp_path: Path) -> None:
    recorded(bench)
    answer = bench.client.get(f"{RECORDINGS}/run/files/{ZIP}")
    assert answer.status_code == 200
    assert "run%20interferogram.ome.zarr.zip" in answer.headers["content-disposition"]
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "zarr.json"
    (tmp_path / "run.ome.zarr.zip").write_bytes(answer.content)
    played = open_recording(str(tmp_path / "run.ome.zarr.zip"))
    assert played.frames == 3
    assert (played.read(2).pixels == fringes(SHAPE, 2)).all()
    played.close()


def test_deleted_zarr_recording_comes_back_with_its_frames(bench: Bench, tmp_path: Path) -> None:
    recorded(bench)
    assert bench.client.delete(f"{RECORDINGS}/run").status_code == 200
    assert bench.client.post(f"{RECORDINGS}/run/restore").json()["kept"]["frames"] == 3
    assert len(images_of(tmp_path / "kept" / "run")) == 3


def test_format_that_there_is_not_is_refused_with_those_that_there_are(bench: Bench) -> None:
    answer = bench.client.post(RECORDINGS, json={"name": "run", "format": "avi"})
    assert answer.status_code == 422
    assert "ome-zarr" in answer.text
