"""Focus and layers made from the phase, on a running station with the classical engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from threading import Event

import numpy as np
import pytest
from qpi_live.camera.simulation.colony import ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.conditions import example_of
from qpi_live.camera.simulation.instrument import Aberration
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.service.measuring.focusing import _middle
from qpi_live.service.wire import unpack

from tests.fakes import OPTICS
from tests.service.api.two_cells import API, SHAPE, SHOWN, measuring_bench, say_the_optics
from tests.service.stations import Bench, until
from tests.service.watching import frame_bytes


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return measuring_bench(make_bench)


def test_focus_found_is_the_one_that_brings_the_frame_back(bench: Bench) -> None:
    """A frame out of focus, through the classical engine, autofocus and the refocused layer."""
    instrument = replace(example_of("nominal")[0], shape=SHAPE, optics=OPTICS, aberration=Aberration())
    specimen = ColonySpecimen(cells=3, cell_px=60, peak_rad=3)
    blurred = ColonyScene(ForwardModel(replace(instrument, defocus_m=20e-6)), specimen, 1, 1)
    bench.frames(2, shown=blurred.pixels(0))
    found = bench.client.get(f"{API}/focus", params={"range_um": 60}).json()
    assert found["distance_um"] == pytest.approx(-20, abs=found["depth_of_field_um"] / 2)
    assert not found["at_edge"]
    plain, sharp = (
        np.load(BytesIO(bench.client.get(f"{API}/frames/latest", params={"focus_um": um}).content))
        for um in (0, found["distance_um"])
    )
    true = blurred.true_phase_rad(0)
    inner = (slice(24, -24), slice(24, -24))
    off = [np.std((shown - true)[inner]) for shown in (plain, sharp)]
    assert off[1] < 0.7 * off[0]


@pytest.mark.parametrize(("layer", "unit"), [("dic", "1"), ("gradient", "rad/px"), ("darkfield", "1")])
def test_synthetic_layers_are_shown_like_any_other(bench: Bench, layer: str, unit: str) -> None:
    bench.frames(1, shown=SHOWN)
    answer = bench.client.get(f"{API}/frames/latest", params={"layer": layer, "downscale": 2})
    assert json.loads(answer.headers["QPI-Frame"])["unit"] == unit
    values = np.load(BytesIO(answer.content))
    assert values.shape == (128, 160)
    assert np.ptp(values) > 0
    assert layer in bench.client.get(f"{API}/stats").json()["layers"]


def test_stream_at_another_focus_sends_what_rest_gives(bench: Bench) -> None:
    bench.frames(1, shown=SHOWN)
    address, host = f"{API}/stream?focus_um=12.5", {"host": "127.0.0.1"}
    with bench.client.websocket_connect(address, headers=host) as stream:
        sent = unpack(frame_bytes(stream))
    given = bench.client.get(f"{API}/frames/latest", params={"focus_um": 12.5})
    assert np.array_equal(sent.payload, np.load(BytesIO(given.content)))


@pytest.mark.parametrize("wrong", [{"metric": "guess"}, {"region": "none"}, {"range_um": 0}])
def test_focus_that_cannot_be_looked_for_is_refused_with_a_sentence(bench: Bench, wrong: dict[str, object]) -> None:
    bench.frames(1, shown=SHOWN)
    refused = bench.client.get(f"{API}/focus", params=wrong)
    assert refused.status_code == 422
    assert refused.json()["detail"]


def test_focus_is_searched_one_at_a_time_and_refused_when_busy(bench: Bench) -> None:
    say_the_optics(bench)
    bench.frames(shown=SHOWN)
    busy = Event()
    with ThreadPoolExecutor(8) as pool:
        hanging = [bench.client.portal.start_task_soon(bench.station.focus_requests.run, busy.wait) for _ in range(2)]
        until(lambda: bench.station.focus_requests._inside == 2)
        answers = list(pool.map(lambda _: bench.client.get(f"{API}/focus"), range(4)))
        busy.set()
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("try again" in answer.json()["detail"] for answer in answers)
    for one in hanging:
        one.result()
    assert bench.client.get(f"{API}/focus").status_code == 200


def test_focus_of_a_large_region_looks_at_its_middle() -> None:
    assert [_middle(0, 3000), _middle(100, 300)] == [(1180, 1820), (100, 300)]
