"""Running stations on fakes, asked in process or over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine import PhaseEngine
from qpi_live.models.sideband import Sideband
from qpi_live.service.api.app import build_app
from qpi_live.service.http.server import listen, make_server, url
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.settings import load_settings
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations

from tests.fakes import FakeCamera

PATIENCE_S = 30.0
URL = "http://127.0.0.1"


def open_station(
    folder: Path,
    camera: FakeCamera,
    engine: PhaseEngine,
    baseline: PhaseEngine | None = None,
    others: Sequence[FakeCamera] = (),
    **settings: Any,
) -> Station:
    """A station on the given fakes and settings, which keeps what it keeps in `folder`."""
    settings = {"recordings": folder / "recordings", **settings}
    remembered = RememberedCameras(folder / "sidebands.json")
    cameras = CameraSwitch([camera, *others])
    return Station(load_settings(settings), cameras, engine, baseline, Sideband.AUTO, remembered)


@contextmanager
def running_bench(station: Station, camera: FakeCamera, engine: PhaseEngine) -> Iterator[Bench]:
    """The station running, asked in process."""
    with TestClient(build_app(station), base_url=URL) as client:
        yield Bench(station, camera, engine, client)


@dataclass
class Bench:
    """A running station with fakes at both ends."""

    station: Station
    camera: FakeCamera
    engine: Any
    client: TestClient

    def frames(self, number: int = 1, shown: np.ndarray | None = None) -> list[LiveFrame]:
        """Send frames, all `shown` if given, through the line one by one; returned once each is published."""
        mailbox = self.station.hub.subscribe("test")
        mailbox.take()
        published = []
        try:
            for _ in range(number):
                self.camera.send(shown=shown)
                live = mailbox.wait(PATIENCE_S)
                assert live is not None
                mailbox.account.delivered()
                published.append(live)
        finally:
            self.station.hub.unsubscribe("test")
        return published

    def assert_exact(self) -> None:
        """Every account that can be read adds up."""
        accounts = [self.station.pipeline.account, *(one.account for one in self.station.hub.subscribers().values())]
        assert all(account.snapshot().is_exact for account in accounts)
        assert self.station.audience.departed()[1].is_exact


def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; fail if it never does."""
    clock = Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        clock.wait(0.005)
    pytest.fail("the condition never came true")


class _Announcing(uvicorn.Server):
    """uvicorn, saying when it is up."""

    up: Event

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


class Serving:
    """Serves stations on real sockets, each in a thread."""

    def __init__(self) -> None:
        self._running: list[tuple[uvicorn.Server, Thread]] = []

    def __call__(self, station: Station | Stations) -> str:
        """Serve `station`, or several; the URL, once it answers."""
        listening = listen("127.0.0.1", 0)
        server: Any = make_server(build_app(station))
        server.__class__ = _Announcing
        server.up = Event()
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        self._running.append((server, thread))
        assert server.up.wait(PATIENCE_S)
        return url(*listening.getsockname()[:2])

    def stop(self) -> None:
        """Stop them all, whatever their clients do."""
        for server, thread in self._running:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        self._running.clear()
