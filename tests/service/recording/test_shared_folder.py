"""One folder of recordings, several cameras and programs: nobody touches what another is writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from qpi_live.camera.files.writers.lock import RecordingIsWritten, RecordingLock, is_written
from qpi_live.service.api.app import build_app
from qpi_live.service.cli.main import app
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations
from typer.testing import CliRunner

from tests.camera.files.recorded.recordings import record
from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import URL, until

RECORDINGS = "/api/v1/recordings"
Two = tuple[FakeCamera, TestClient]


@pytest.fixture
def two(make_station: Callable[..., Station], tmp_path: Path) -> Iterator[Two]:
    """A service of two cameras, a and b; a is recorded."""
    cameras = [FakeCamera(source=name) for name in ("a", "b")]
    options = {"recordings": tmp_path / "kept", "recordings_free_mb": 0}
    stations = Stations([make_station(camera, FakeEngine(), **options) for camera in cameras])
    with TestClient(build_app(stations), base_url=URL) as client:
        assert client.post(RECORDINGS, json={"name": "run"}, params={"camera": "a"}).status_code == 201
        cameras[0].send(3)
        until(lambda: client.get(f"{RECORDINGS}/run").json()["running"]["frames"] == 3)
        yield cameras[0], client


def test_recording_of_another_camera_is_listed_as_one_that_is_made(two: Two) -> None:
    (kept,) = two[1].get(RECORDINGS, params={"camera": "b"}).json()["kept"]
    assert (kept["name"], kept["state"]) == ("run", "recording")


def test_recording_of_another_camera_is_not_deleted(two: Two, tmp_path: Path) -> None:
    camera, client = two
    refused = client.delete(f"{RECORDINGS}/run", params={"camera": "b"})
    assert refused.status_code == 409
    assert "stop it first" in refused.json()["detail"]
    camera.send(2)
    until(lambda: client.get(f"{RECORDINGS}/run").json()["running"]["frames"] == 5)


def test_recording_of_another_camera_is_stopped_whoever_is_asked(two: Two, tmp_path: Path) -> None:
    answer = two[1].post(f"{RECORDINGS}/run/stop", params={"camera": "b"}).json()
    assert (answer["running"]["state"], answer["kept"]["frames"]) == ("stopped", 3)
    assert not is_written(tmp_path / "kept" / "run")
    assert two[1].delete(f"{RECORDINGS}/run", params={"camera": "b"}).status_code == 200


def test_repair_of_a_recording_that_is_written_is_refused_and_changes_nothing(two: Two, tmp_path: Path) -> None:
    camera, client = two
    said = CliRunner().invoke(app, ["files", "--repair", str(tmp_path / "kept" / "run")])
    assert said.exit_code == 2
    assert "is being recorded; stop it first" in " ".join(said.output.split())
    camera.send(2)
    until(lambda: client.get(f"{RECORDINGS}/run").json()["running"]["frames"] == 5)
    assert client.post(f"{RECORDINGS}/run/stop").json()["running"]["state"] == "stopped"


def test_lock_is_held_by_one_and_free_again(tmp_path: Path) -> None:
    record(tmp_path / "run", 2, closes=False)
    lock = RecordingLock(tmp_path / "run")
    assert is_written(tmp_path / "run")
    with pytest.raises(RecordingIsWritten, match="is being recorded"):
        RecordingLock(tmp_path / "run")
    lock.release()
    lock.release()
    assert not is_written(tmp_path / "run")
    assert CliRunner().invoke(app, ["files", "--repair", str(tmp_path / "run")]).exit_code == 0
