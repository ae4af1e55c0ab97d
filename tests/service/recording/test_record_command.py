"""Recording by program and by command, over a real socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qpi_live.service.cli.main import app
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station
from typer.testing import CliRunner

from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.service.stations import PATIENCE_S, Serving, until

Served = tuple[Station, FakeCamera, str]


@pytest.fixture
def served(make_station: Callable[..., Station], serve: Serving, tmp_path: Path) -> Served:
    camera = FakeCamera()
    station = make_station(camera, FakeEngine(), recordings=tmp_path / "kept", recordings_free_mb=0)
    return station, camera, serve(station)


def test_client_records_waits_downloads_deletes_and_restores(served: Served, tmp_path: Path) -> None:
    _, camera, url = served
    with PhaseClient(url) as client:
        begun = client.record("run", frames=6)
        assert (begun["name"], begun["state"]) == ("run", "recording")
        camera.send(8)
        ended = client.recordings.wait("run", PATIENCE_S)
        assert (ended["state"], ended["frames"]) == ("done", 6)
        copied = client.recordings.download("run", tmp_path / "copies")
        with tifffile.TiffFile(copied / "interferogram.ome.tif") as tiff:
            assert (tiff.series[0].asarray() == np.stack([fringes((96, 128), n) for n in range(6)])).all()
        assert client.recordings.stop("run")["kept"]["frames"] == 6  # too late, and harmless
        client.recordings.delete("run")
        assert client.recordings.all()["kept"] == []
        client.recordings.restore("run")
        assert [one["name"] for one in client.recordings.all()["kept"]] == ["run"]


def test_client_says_why_a_recording_is_refused_and_deletes_none_that_is_made(served: Served) -> None:
    _, camera, url = served
    with PhaseClient(url) as client:
        client.record("run")
        with pytest.raises(ServiceError, match="expected a new name"):
            client.record("run")
        with pytest.raises(ServiceError, match="frames"):
            client.record("other", frames=0)
        with pytest.raises(ServiceError, match="stop it first"):
            client.recordings.delete("run")
        camera.send(2)
        until(lambda: client.recordings.one("run")["running"]["frames"] == 2)
        assert client.recordings.stop("run")["kept"]["frames"] == 2


def test_record_command_records_and_says_what_it_has(served: Served, tmp_path: Path) -> None:
    _, camera, url = served
    camera.send(4)
    run = CliRunner().invoke
    from threading import Timer

    Timer(1.0, camera.send, (5,)).start()
    said = run(app, ["record", "by hand", "--frames", "5", "--url", url])
    assert said.exit_code == 0, said.output
    assert "by hand: 5 frames" in said.output
    again = run(app, ["record", "by hand", "--url", url])
    assert again.exit_code == 2
    assert "expected a new name" in again.output
    nowhere = run(app, ["record", "--url", "http://127.0.0.1:9"])
    assert nowhere.exit_code == 2
    assert "expected a service" in nowhere.output
