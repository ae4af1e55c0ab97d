"""Regions over REST, on a running station with the classical engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from qpi_live.models.analysis.regions import REGION_COLUMNS, RegionFigures
from qpi_live.service.measuring.choices import Choices
from qpi_live.service.measuring.region_table import RegionHistory

from tests.models.analysis.discs import cap_sum
from tests.models.fringes import interferogram
from tests.service.api.two_cells import API, SHAPE, SHOWN, WHOLE_FRAME, cells_of, measuring_bench
from tests.service.stations import Bench, until


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return measuring_bench(make_bench)


def test_regions_are_drawn_measured_and_kept_for_the_camera(bench: Bench) -> None:
    drawn = [
        {"name": "cell", "shape": "ellipse", "points": [[30, 40], [130, 140]], "role": "measure"},
        {"name": "across", "shape": "line", "points": [[80, 10], [80, 200]], "role": "measure"},
        {"name": "empty", "shape": "polygon", "points": [[0, 250], [60, 250], [60, 319]], "role": "background"},
        {"name": "corner", "shape": "rectangle", "points": [[240, 0], [256, 20]], "role": "excluded"},
    ]
    assert bench.client.put(f"{API}/regions", json={"regions": drawn}).status_code == 200
    bench.frames(2, shown=SHOWN)
    answer = bench.client.get(f"{API}/regions").json()
    assert [region["name"] for region in answer["regions"]] == ["cell", "across", "empty", "corner"]
    cell, across = answer["figures"]
    assert cell["figures"]["integrated_phase_rad_px"] == pytest.approx(cap_sum(40, 3), rel=0.05)
    assert across["figures"]["max_phase_rad"] == pytest.approx(3.0, abs=0.3)
    assert cell["figures"]["dry_mass_pg"] > 0
    assert across["figures"]["dry_mass_pg"] is None
    assert sum(cell["histogram"]) == cell["figures"]["pixels"]
    until(lambda: len(bench.station.measurer.series.moments) >= 1)
    table = pd.read_csv(StringIO(bench.client.get(f"{API}/regions/table.csv").text))
    assert set(table["region"]) == {"cell", "across"}
    again = Choices.from_json(bench.station._remembered.measuring(bench.station.cameras.chosen))
    assert [region.name for region in again.regions] == [one["name"] for one in drawn]
    assert bench.client.put(f"{API}/regions", json={"regions": []}).json()["figures"] == []


def test_regions_excluded_pixels_hold_no_cell(bench: Bench) -> None:
    excluded = {"name": "x", "shape": "rectangle", "points": [[110, 150], [240, 300]], "role": "excluded"}
    bench.client.put(f"{API}/regions", json={"regions": [excluded]})
    bench.frames(2, shown=SHOWN)
    assert cells_of(bench)["count"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"regions": [{"name": "a", "shape": "polygon", "points": [[0, 0], [1, 1]]}]},
        {"regions": [{"name": "a", "shape": "line", "points": [[0, 0], [1, 1]], "role": "background"}]},
        {"regions": [{"name": "a", "shape": "line", "points": [[0, 0], [1, 1]]}] * 2},
        {"regions": [{"name": "a", "shape": "star", "points": [[0, 0], [1, 1]]}]},
    ],
)
def test_regions_bad_ones_are_refused_and_change_nothing(bench: Bench, wrong: dict[str, object]) -> None:
    kept = {"regions": [{"name": "k", "shape": "line", "points": [[0, 0], [9, 9]]}]}
    bench.client.put(f"{API}/regions", json=kept)
    refused = bench.client.put(f"{API}/regions", json=wrong)
    assert refused.status_code == 422
    assert "expected" in refused.json()["detail"] or "should" in refused.json()["detail"]
    assert [region["name"] for region in bench.client.get(f"{API}/regions").json()["regions"]] == ["k"]


def test_regions_excluded_pixels_are_kept_from_the_engine(bench: Bench) -> None:
    excluded = {"name": "x", "shape": "rectangle", "points": [[110, 150], [240, 300]], "role": "excluded"}
    [before] = bench.frames(shown=SHOWN)
    bench.client.put(f"{API}/regions", json={"regions": [excluded]})
    [after] = bench.frames(shown=SHOWN)
    assert before.phase.mask is None
    assert after.phase.mask is not None
    assert after.phase.mask[110:240, 150:300].all()
    assert not after.phase.mask[:100].any()
    everything = {"name": "x", "shape": "rectangle", "points": [[0, 0], [256, 320]], "role": "excluded"}
    bench.client.put(f"{API}/regions", json={"regions": [everything]})
    [still] = bench.frames(shown=SHOWN)
    assert np.isfinite(still.phase.phase_rad).all()


def test_regions_of_background_are_ground_to_the_engine(bench: Bench) -> None:
    layer = np.full(SHAPE, 2.5)
    layer[20:100, 200:300] = 0
    shown = interferogram(layer)
    [before] = bench.frames(shown=shown)
    empty = {"name": "b", "shape": "rectangle", "points": [[25, 205], [95, 295]], "role": "background"}
    bench.client.put(f"{API}/regions", json={"regions": [empty]})
    [after] = bench.frames(shown=shown)
    hole = slice(30, 90), slice(210, 290)
    assert abs(np.median(before.phase.phase_rad[hole])) > 2  # the layer is most frequent
    assert abs(np.median(after.phase.phase_rad[hole])) < 0.1


def test_region_figures_are_counted_from_the_same_level_whether_cells_are_looked_for_or_not(bench: Bench) -> None:
    bench.client.put(f"{API}/regions", json={"regions": [WHOLE_FRAME]})
    bench.frames(shown=SHOWN)
    until(lambda: len(bench.station.measurer.series.moments) == 1)
    before = bench.client.get(f"{API}/regions").json()
    assert bench.client.get(f"{API}/cells").status_code == 200
    after = bench.client.get(f"{API}/regions").json()
    assert before["frame"]["level_rad"] == after["frame"]["level_rad"]
    assert before["figures"] == after["figures"]
    assert len(bench.station.measurer.series.moments) == 1


def test_history_of_regions_is_bounded_whatever_is_drawn() -> None:
    history = RegionHistory()
    figures = [
        RegionFigures(str(n), dict.fromkeys(REGION_COLUMNS, 1.0), np.zeros(64, np.int64), np.zeros(65))
        for n in range(64)
    ]
    for moment in range(12_500):
        history.note(moment, moment, figures[: 64 if moment > 3000 else 1])
    assert history.nbytes <= 12e6
    table = history.table()
    assert table["sequence"][-1] == 12_499
    assert len(table["region"]) == len(table["dry_mass_pg"]) <= 100_000


def test_regions_rest_on_another_window_of_the_sensor_and_say_so(bench: Bench) -> None:
    [live] = bench.frames(shown=SHOWN)
    excluded = {"name": "x", "shape": "rectangle", "points": [[110, 150], [240, 300]], "role": "excluded"}
    bench.client.put(f"{API}/regions", json={"regions": [WHOLE_FRAME, excluded]})
    assert bench.client.get(f"{API}/regions").json()["frame"]["resting"] is None
    choices = bench.station.measurer.choices(bench.station.cameras.chosen)
    again = Choices.from_json(json.loads(json.dumps(choices.to_json())))
    assert again == choices
    moved = replace(live.frame, settings={"OffsetX": 64, "OffsetY": 0})
    for other in (moved, replace(live.frame, pixels=live.frame.pixels[:128].copy(), missing=None)):
        assert choices.regions_on(other) == ()
        assert "rest" in choices.resting(other)
        named = replace(other, source=bench.station.cameras.chosen)
        assert bench.station.measurer.leave_out(named).missing is None
    assert (
        bench.station.measurer.leave_out(replace(live.frame, source=bench.station.cameras.chosen)).missing is not None
    )
