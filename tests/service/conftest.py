"""Fixtures of a station on fakes, asked in process or over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qpi_live.models.engine import PhaseEngine
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import Bench, Serving, open_station, running_bench


@pytest.fixture
def make_station(tmp_path: Path) -> Callable[..., Station]:
    """A station on the given fakes and settings; its remembered choices are this test's own."""
    return partial(open_station, tmp_path)


@pytest.fixture
def make_bench(make_station: Callable[..., Station]) -> Iterator[Callable[..., Bench]]:
    """A running station, asked in process."""
    with ExitStack() as stack:

        def make(engine: PhaseEngine | None = None, camera: FakeCamera | None = None, **options: Any) -> Bench:
            camera, engine = camera or FakeCamera(), engine or FakeEngine()
            return stack.enter_context(running_bench(make_station(camera, engine, **options), camera, engine))

        yield make


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
