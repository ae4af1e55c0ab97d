"""Cells and regions over REST, on a running station with the classical engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from qpi_live.camera.simulation.colony import ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.conditions import example_of
from qpi_live.camera.simulation.instrument import Aberration
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.cells import measure_cells
from qpi_live.models.analysis.outlines import outlines
from qpi_live.models.analysis.regions import REGION_COLUMNS, RegionFigures
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.api import measure_routes
from qpi_live.service.measuring.choices import Choices
from qpi_live.service.measuring.focusing import _middle
from qpi_live.service.measuring.region_table import RegionHistory
from qpi_live.service.wire import unpack

from tests.fakes import OPTICS, FakeCamera
from tests.models.analysis.discs import cap_sum, caps
from tests.models.fringes import interferogram
from tests.service.conftest import Bench
from tests.service.stations import until
from tests.service.watching import frame_bytes

SHAPE = (256, 320)
_CELLS = [(80.0, 90.0, 40.0, 3.0), (170.0, 220.0, 50.0, 4.0)]
SHOWN = interferogram(caps(SHAPE, _CELLS).astype(np.float64))
API = "/api/v1"


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A station whose engine is the classical one, in a process that has compiled what measures."""
    outlines(measure_cells(caps(SHAPE, _CELLS)).segmentation)
    return make_bench(open_engine("goldstein", EngineOptions(threads=1)), FakeCamera(SHAPE))


def _say_the_optics(bench: Bench) -> None:
    said = {"wavelength_nm": 532, "pixel_um": 3.45, "magnification": 40}
    assert bench.client.put(f"{API}/camera/optics", json=said).status_code == 200


def cells_of(bench: Bench, **params: object) -> dict[str, Any]:
    """What the service says of the cells, once it is through with compiling, for which it answers 503."""
    answers = []

    def is_there() -> bool:
        answers.append(bench.client.get(f"{API}/cells", params=params))
        return answers[-1].status_code == 200

    until(is_there)
    told: dict[str, Any] = answers[-1].json()
    return told


def test_cells_of_the_newest_frame_are_measured_when_asked(bench: Bench) -> None:
    assert bench.client.get(f"{API}/cells").status_code == 503
    bench.frames(shown=SHOWN)
    answer = cells_of(bench, outlines=True)
    assert answer["count"] == 2
    masses = sorted(row["integrated_phase_rad_px"] for row in answer["cells"])
    assert masses == pytest.approx([cap_sum(40, 3), cap_sum(50, 4)], rel=0.05)
    assert set(answer["columns"]) == set(answer["cells"][0])
    assert all(len(corners) > 8 for corners in answer["outlines"])
    bench.assert_exact()


def test_cells_with_optics_have_mass_in_pg_with_its_alpha(bench: Bench) -> None:
    _say_the_optics(bench)
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": False, "alpha_um3_per_pg": 0.2})
    bench.frames(2, shown=SHOWN)
    row = min(cells_of(bench)["cells"], key=lambda row: row["area_px"])
    expected = 0.532 / (2 * np.pi * 0.2) * (3.45 / 40) ** 2 * cap_sum(40, 3)
    assert row["dry_mass_pg"] == pytest.approx(expected, rel=0.05)
    assert row["alpha_um3_per_pg"] == 0.2
    assert row["dry_mass_error_pg"] < 0.1 * row["dry_mass_pg"]


def test_cells_looked_for_all_the_time_keep_their_ids_and_every_frame_is_accounted_for(bench: Bench) -> None:
    _say_the_optics(bench)
    assert bench.client.put(f"{API}/cells/choice", json={"finds_cells": True}).json()["finds_cells"]
    for shift in range(6):
        moved = [(y + 2 * shift, x - shift, r, h) for y, x, r, h in _CELLS]
        [live] = bench.frames(shown=interferogram(caps(SHAPE, moved).astype(np.float64)))
        until(
            lambda live=live: (
                (latest := bench.station.measurer.latest) is not None and latest.sequence == live.frame.sequence
            )
        )
    answer = cells_of(bench)
    assert [row["id"] for row in answer["cells"]] == [1, 2]
    history = bench.client.get(f"{API}/cells/1").json()
    assert history["unit"] == "pg"
    assert len(history["mass"]) == len(history["time_s"]) >= 5
    assert history["growth_error_per_h"] is not None
    assert bench.client.get(f"{API}/cells/99").status_code == 404
    account = answer["frame"]["account"]
    assert account["captured"] == sum(account["dropped"].values()) + account["delivered"] + account["in_flight"]
    bench.assert_exact()
    assert bench.client.post(f"{API}/cells/forget").status_code == 200
    assert not bench.station.measurer.series.tracker.tracks


def test_cells_nobody_asks_for_cost_nothing_and_are_counted(bench: Bench) -> None:
    bench.frames(3, shown=SHOWN)
    until(lambda: sum(bench.station.measurer.account.dropped.values()) >= 2)
    assert set(bench.station.measurer.account.dropped) <= {"not asked for", "superseded"}
    assert bench.station.measurer.latest is None


def test_tables_open_in_pandas_tifffile_zarr_and_as_xml(bench: Bench, tmp_path: Path) -> None:
    _say_the_optics(bench)
    bench.frames(2, shown=SHOWN)
    csv = bench.client.get(f"{API}/cells/table.csv")
    assert "attachment" in csv.headers["content-disposition"]
    table = pd.read_csv(StringIO(csv.text))
    assert len(table) == 2
    assert (table["dry_mass_pg"] > 0).all()
    files = bench.client.get(f"{API}/cells").json()["files"]
    assert all(bench.client.get(f"{API}/cells/{name}").status_code == 200 for name in files)
    assert len(files) == 5
    parquet = pd.read_parquet(BytesIO(bench.client.get(f"{API}/cells/table.parquet").content))
    assert parquet["area_px"].tolist() == table["area_px"].tolist()
    labels = tifffile.imread(BytesIO(bench.client.get(f"{API}/cells/labels.tiff").content))
    assert labels.shape == SHAPE
    assert set(np.unique(labels)) == {0, *table["id"]}
    (tmp_path / "cells.zip").write_bytes(bench.client.get(f"{API}/cells/labels.zarr.zip").content)
    group = zarr.open_group(zarr.storage.ZipStore(tmp_path / "cells.zip", mode="r"), mode="r")
    assert group.attrs["ome"]["image-label"] == {"version": "0.5"}
    assert np.array_equal(np.asarray(group["0"])[0], labels)
    root = Xml.fromstring(bench.client.get(f"{API}/cells/tracks.xml").text)
    assert len(root.findall(".//Spot")) >= 2


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


@pytest.mark.parametrize("kept", [None, 3, {"regions": [{"name": ""}]}, {"alpha_um3_per_pg": -1}, {"new": 1}])
def test_choices_that_cannot_be_read_count_as_none(kept: object) -> None:
    assert Choices.from_json(kept) == Choices()


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


_LEVEL = {"name": "all", "shape": "rectangle", "points": [[0, 0], [256, 320]]}


def test_region_figures_are_counted_from_the_same_level_whether_cells_are_looked_for_or_not(bench: Bench) -> None:
    bench.client.put(f"{API}/regions", json={"regions": [_LEVEL]})
    bench.frames(shown=SHOWN)
    until(lambda: len(bench.station.measurer.series.moments) == 1)
    before = bench.client.get(f"{API}/regions").json()
    assert bench.client.get(f"{API}/cells").status_code == 200
    after = bench.client.get(f"{API}/regions").json()
    assert before["frame"]["level_rad"] == after["frame"]["level_rad"]
    assert before["figures"] == after["figures"]
    assert len(bench.station.measurer.series.moments) == 1


def test_choices_made_while_the_stream_stands_still_hold_for_the_frame_that_is_shown(bench: Bench) -> None:
    bench.frames(shown=SHOWN)
    assert cells_of(bench)["count"] == 2
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": False, "least_px": 7000})
    assert cells_of(bench)["count"] == 1
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True})
    assert cells_of(bench)["count"] == 2
    drawn = {**_LEVEL, "points": [[0, 0], [10, 10]]}
    for points, pixels in (([[0, 0], [10, 10]], 100), ([[0, 0], [20, 20]], 400)):
        drawn = {**_LEVEL, "points": points}
        answer = bench.client.put(f"{API}/regions", json={"regions": [drawn]}).json()
        assert answer["figures"][0]["figures"]["pixels"] == pixels


def test_cells_answer_within_a_bound_though_measuring_hangs(bench: Bench) -> None:
    """As where a function is compiled at its first use: 503 before the first table, then the newest there is."""
    bench.frames(shown=SHOWN)
    with bench.station.measurer._measuring:
        began = monotonic()
        refused = bench.client.get(f"{API}/cells")
        assert monotonic() - began < 5
        assert refused.status_code == 503
        assert "ask again" in refused.json()["detail"]
    until(lambda: bench.client.get(f"{API}/cells").status_code == 200)
    [newer] = bench.frames(shown=SHOWN)
    with bench.station.measurer._measuring:
        answer = cells_of(bench)
    assert answer["frame"]["sequence"] == newer.frame.sequence - 1


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


def test_tracks_go_on_when_the_scale_changes(bench: Bench) -> None:
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True})
    bench.frames(2, shown=SHOWN)
    until(lambda: bool(bench.station.measurer.series.tracker.tracks))
    series = bench.station.measurer.series
    _say_the_optics(bench)
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True, "alpha_um3_per_pg": 0.2})
    [live] = bench.frames(shown=SHOWN)
    until(lambda: bench.station.measurer.latest.sequence == live.frame.sequence)
    assert bench.station.measurer.series is series
    answer = cells_of(bench)
    assert [row["id"] for row in answer["cells"]] == [1, 2]
    assert answer["cells"][0]["alpha_um3_per_pg"] == 0.2


def test_regions_rest_on_another_window_of_the_sensor_and_say_so(bench: Bench) -> None:
    [live] = bench.frames(shown=SHOWN)
    excluded = {"name": "x", "shape": "rectangle", "points": [[110, 150], [240, 300]], "role": "excluded"}
    bench.client.put(f"{API}/regions", json={"regions": [_LEVEL, excluded]})
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


def test_focus_is_searched_one_at_a_time_and_refused_when_busy(bench: Bench) -> None:
    _say_the_optics(bench)
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


def test_files_of_cells_wait_for_the_first_table(bench: Bench) -> None:
    """A link on the page leads to a file, not to a refusal, also where the compiler is still at work."""
    bench.frames(shown=SHOWN)
    with ThreadPoolExecutor(1) as pool:
        with bench.station.measurer._measuring:
            saving = pool.submit(bench.client.get, f"{API}/cells/table.csv")
            until(lambda: bench.client.get(f"{API}/cells").status_code == 503)
        answer = saving.result()
    assert answer.status_code == 200
    assert len(pd.read_csv(StringIO(answer.text))) == 2


def test_tracks_never_go_back_though_an_older_frame_waited_to_be_measured(bench: Bench) -> None:
    older, newer = bench.frames(2, shown=SHOWN)
    measurer = bench.station.measurer
    measurer.measure(newer, finds_cells=True)
    late = measurer.measure(older, finds_cells=True)
    assert late.sequence == newer.sequence
    [first, *_] = measurer.series.tracker.tracks
    assert (np.diff(first.history[:, 1]) > 0).all()


def test_cells_name_no_file_whose_package_is_missing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.frames(shown=SHOWN)
    monkeypatch.setattr(measure_routes, "find_spec", lambda _: None)
    assert cells_of(bench)["files"] == ["table.csv", "tracks.xml", "labels.tiff"]
