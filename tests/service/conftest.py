"""Fixtures of a station on fakes, asked in process or over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine import PhaseEngine
from qpi_live.models.sideband import Sideband
from qpi_live.service.api.app import build_app
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.settings import load_settings
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import URL, Bench, Serving


@pytest.fixture
def make_station(tmp_path: Path) -> Callable[..., Station]:
    """A station on the given fakes and settings; its remembered choices are this test's own."""

    def make(
        camera: FakeCamera,
        engine: PhaseEngine,
        baseline: PhaseEngine | None = None,
        others: Sequence[FakeCamera] = (),
        **settings: Any,
    ) -> Station:
        settings = {"recordings": tmp_path / "recordings", **settings}
        remembered = RememberedCameras(tmp_path / "sidebands.json")
        return Station(
            load_settings(settings),
            CameraSwitch([camera, *others]),
            engine,
            baseline,
            Sideband.AUTO,
            remembered,
        )

    return make


@pytest.fixture
def make_bench(make_station: Callable[..., Station]) -> Iterator[Callable[..., Bench]]:
    """A running station, asked in process."""
    clients: list[TestClient] = []

    def make(engine: PhaseEngine | None = None, camera: FakeCamera | None = None, **options: Any) -> Bench:
        camera, engine = camera or FakeCamera(), engine or FakeEngine()
        station = make_station(camera, engine, **options)
        client = TestClient(build_app(station), base_url=URL)
        client.__enter__()
        clients.append(client)
        return Bench(station, camera, engine, client)

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A running station on the plain fakes."""
    return make_bench()


@pytest.fixture
def serve() -> Iterator[Serving]:
    """Serve stations on real sockets until the test is over."""
    serving = Serving()
    yield serving
    serving.stop()
