"""Several cameras at once: a line each, an account each, addressed by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from qpi_live.camera.account import AccountSnapshot
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.opening import open_stations
from qpi_live.service.settings import SettingsError, load_settings
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations, names_of

from tests.fakes import FakeCamera, FakeEngine

PATIENCE_S = 30.0


@pytest.fixture
def lines(make_station: Callable[..., Station], serve: Callable[[Stations], str]) -> tuple[list[FakeCamera], str]:
    cameras = [FakeCamera((64, 80), source="fake:left"), FakeCamera((96, 64), source="fake:right")]
    return cameras, serve(Stations([make_station(camera, FakeEngine()) for camera in cameras]))


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["simulated", "simulated:dense"], ("simulated", "dense")),
        (["gentl:/a/b.cti#VC0", "gentl:/a/b.cti#VC1", "gentl:/a/b.cti"], ("VC0", "VC1", "b")),
        (["replay:/a/run.tif", "replay:/b/run.tif"], ("run", "run-2")),
    ],
)
def test_names_of_cameras_are_short_and_different(sources: list[str], names: tuple[str, ...]) -> None:
    assert names_of(sources) == names


def test_lines_send_their_own_frames_and_keep_their_own_accounts(lines: tuple[list[FakeCamera], str]) -> None:
    cameras, url = lines
    with (
        PhaseClient(url) as first,
        PhaseClient(url, camera="right") as right,
        PhaseClient(f"{url}?camera=left") as left,
    ):
        assert [line["name"] for line in first.cameras()] == ["left", "right"]
        streams = [client.frames(wait_s=PATIENCE_S) for client in (first, right, left)]
        shapes = []
        for stream in streams:
            for camera in cameras:
                camera.send()
            shapes.append(next(stream).values.shape)
        assert shapes == [(64, 80), (96, 64), (64, 80)]
        for _ in range(5):
            cameras[1].send()
        next(streams[1])
        accounts = [_account(url, name) for name in ("left", "right")]
        assert all(account.is_exact for account in accounts)
        assert [account.captured for account in accounts] == [3, 8]
        assert first.latest().values.shape == (64, 80)
        assert right.latest().values.shape == (96, 64)


def _account(url: str, camera: str) -> AccountSnapshot:
    account = httpx.get(f"{url}/api/v1/stats", params={"camera": camera}).json()["account"]
    return AccountSnapshot(**{name: account[name] for name in AccountSnapshot.__slots__})


def test_line_that_is_not_there_is_named_over_rest_and_stream(lines: tuple[list[FakeCamera], str]) -> None:
    _, url = lines
    with PhaseClient(url, camera="middle") as client:
        for ask in (client.stats, lambda: next(client.frames(wait_s=PATIENCE_S))):
            with pytest.raises(ServiceError, match="expected a camera among left, right, got 'middle'"):
                ask()


def test_metrics_of_several_lines_say_which(lines: tuple[list[FakeCamera], str]) -> None:
    _, url = lines
    text = httpx.get(f"{url}/metrics").text
    for name in ("left", "right"):
        assert f'qpi_ready{{camera="{name}"}}' in text
    assert text.count("\nprocess_resident_memory_bytes ") == 1


def test_health_is_ready_when_all_lines_are(lines: tuple[list[FakeCamera], str]) -> None:
    cameras, url = lines
    with PhaseClient(url) as client:
        for camera in cameras:
            camera.send()
        next(client.frames(wait_s=PATIENCE_S))
    for params in ({}, {"camera": "left"}, {"camera": "right"}):
        assert httpx.get(f"{url}/health/ready", params=params).status_code == 200


@pytest.mark.parametrize("given", [{"camera": ["simulated", "simulated:dense"]}, {"more_cameras": "simulated:dense"}])
def test_open_stations_opens_a_line_for_each_camera(given: dict[str, object], tmp_path: Path) -> None:
    settings = load_settings(
        {"camera": "simulated", "size": 64, "engine": "goldstein", "baseline_fraction": 0.0} | given
    )
    stations = open_stations(settings)
    assert stations.names == ("simulated", "dense")
    assert all(station.camera_shape == (64, 64) for station in stations.all)
    assert stations.first.settings.sent_memory_mb == settings.sent_memory_mb // 2
    for station in stations.all:
        station.cameras.stop()


def test_open_stations_of_the_same_camera_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected different cameras"):
        open_stations(load_settings({"camera": ["simulated", "simulated"]}))


def test_frames_of_two_lines_are_not_mixed(lines: tuple[list[FakeCamera], str]) -> None:
    cameras, url = lines
    with PhaseClient(url, camera="left") as left:
        stream = left.frames(wait_s=PATIENCE_S)
        for grey in (10, 20, 30):
            cameras[1].send(shown=np.full((96, 64), 200, np.uint8))
            cameras[0].send(shown=np.full((64, 80), grey, np.uint8))
            assert next(stream).values.mean() == pytest.approx(grey / 10)
