"""Recording through the real line onto a real disk: every frame is in the file, or counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qpi_live.camera.files.repair import check
from qpi_live.camera.files.writers.manifest import Manifest

from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended, pages
from tests.service.stations import Bench, until


def test_recording_of_n_frames_has_the_next_n_whatever_the_queue_drops(bench: Bench, tmp_path: Path) -> None:
    bench.frames(3)
    name = begin(bench, name="run 1", frames=40)
    bench.camera.send(60)
    status = ended(bench, name)
    assert (status["state"], status["frames"], status["lost"]) == ("done", 40, {})
    assert (pages(tmp_path / "kept" / "run 1") == np.stack([fringes(SHAPE, n) for n in range(3, 43)])).all()
    manifest = Manifest.read(tmp_path / "kept" / "run 1")
    assert manifest.account["interferogram"]["delivered"] == 40
    assert manifest.camera["vendor"] == "tests"
    (sound,) = check(tmp_path / "kept" / "run 1")
    assert (sound.frames, sound.torn) == (40, 0)


def test_recording_that_is_stopped_has_every_frame_until_then(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench)
    bench.frames(12)
    answer = bench.client.post(f"{RECORDINGS}/{name}/stop").json()
    assert (answer["running"]["state"], answer["kept"]["frames"]) == ("stopped", 12)
    assert len(pages(tmp_path / "kept" / name)) == 12


def test_stop_that_comes_late_or_twice_leaves_the_recording(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="late", frames=3)
    bench.frames(3)
    ended(bench, name)
    for _ in range(2):
        answer = bench.client.post(f"{RECORDINGS}/{name}/stop")
        assert (answer.status_code, answer.json()["kept"]["frames"]) == (200, 3)
        assert answer.json()["running"]["state"] == "done"
    assert len(pages(tmp_path / "kept" / name)) == 3
    assert bench.client.post(f"{RECORDINGS}/nobody/stop").status_code == 404


def test_delete_of_a_recording_that_is_made_is_refused_and_it_goes_on(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(2)
    refused = bench.client.delete(f"{RECORDINGS}/{name}")
    assert refused.status_code == 409
    assert "stop it first (POST /recordings/NAME/stop)" in refused.json()["detail"]
    bench.frames(2)
    assert bench.client.post(f"{RECORDINGS}/{name}/stop").json()["kept"]["frames"] == 4


def test_time_lapse_takes_one_frame_an_interval_and_counts_the_others(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, every_s=3600, frames=2)
    bench.frames(6)
    bench.client.post(f"{RECORDINGS}/{name}/stop")
    status = ended(bench, name)
    assert (status["frames"], status["lost"], status["left_out"]) == (1, {}, {"between intervals": 5})


def test_two_recordings_at_once_have_the_same_frames(bench: Bench, tmp_path: Path) -> None:
    names = [begin(bench, name=name, frames=20) for name in ("a", "b")]
    bench.camera.send(30)
    for name in names:
        ended(bench, name)
    assert (pages(tmp_path / "kept" / "a") == pages(tmp_path / "kept" / "b")).all()


def test_name_that_is_taken_is_refused_and_the_recording_of_that_name_stays(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="mine", frames=2)
    bench.frames(2)
    ended(bench, name)
    before = (tmp_path / "kept" / "mine" / "interferogram.ome.tif").read_bytes()
    answer = bench.client.post(RECORDINGS, json={"name": "mine"})
    assert answer.status_code == 409
    assert "expected a new name" in answer.json()["detail"]
    assert (tmp_path / "kept" / "mine" / "interferogram.ome.tif").read_bytes() == before


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/b", ".."])
def test_name_that_leads_elsewhere_is_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    assert bench.client.post(RECORDINGS, json={"name": name}).status_code == 422
    assert not (tmp_path / "kept").exists()


def test_recording_ends_with_the_recording_that_it_is_made_of(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(4)
    bench.camera.end()
    status = ended(bench, name)
    assert (status["state"], status["frames"]) == ("done", 4)
    assert "is over" in str(status["sentence"])


def test_calibration_frame_lies_beside_the_recording(bench: Bench, make: Callable[..., Bench], tmp_path: Path) -> None:
    from tests.fakes import TunableFakeEngine

    tuned = make(engine=TunableFakeEngine())
    (live,) = tuned.frames(1)
    tuned.station.tuning.use_calibration(live.frame)
    name = begin(tuned, frames=1)
    tuned.frames(1)
    ended(tuned, name)
    folder = tmp_path / "kept" / name
    assert (tifffile.imread(folder / "calibration.tif") == live.frame.pixels).all()
    assert Manifest.read(folder).calibration_ns == live.frame.captured_ns


def test_service_that_stops_closes_what_it_records(make_station: Callable[..., object], tmp_path: Path) -> None:
    from fastapi.testclient import TestClient
    from qpi_live.service.api.app import build_app

    from tests.service.stations import URL

    camera = FakeCamera()
    station = make_station(camera, FakeEngine(), recordings=tmp_path / "kept", recordings_free_mb=0)
    with TestClient(build_app(station), base_url=URL) as client:  # type: ignore[arg-type]
        client.post(RECORDINGS, json={"name": "last"})
        camera.send(5)
        until(lambda: client.get(f"{RECORDINGS}/last").json()["running"]["frames"] == 5)
    manifest = Manifest.read(tmp_path / "kept" / "last")
    assert (manifest.state, manifest.ended_ns is not None) == ("stopped", True)
    assert len(pages(tmp_path / "kept" / "last")) == 5
