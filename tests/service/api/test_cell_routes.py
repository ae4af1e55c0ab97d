"""Cells over REST, on a running station with the classical engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from qpi_live.service.api import measure_routes
from qpi_live.service.measuring.choices import Choices

from tests.models.analysis.discs import cap_sum, caps
from tests.models.fringes import interferogram
from tests.service.api.two_cells import API, CELLS, SHAPE, SHOWN, WHOLE_FRAME, cells_of, measuring_bench, say_the_optics
from tests.service.stations import Bench, until


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return measuring_bench(make_bench)


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
    say_the_optics(bench)
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": False, "alpha_um3_per_pg": 0.2})
    bench.frames(2, shown=SHOWN)
    row = min(cells_of(bench)["cells"], key=lambda row: row["area_px"])
    expected = 0.532 / (2 * np.pi * 0.2) * (3.45 / 40) ** 2 * cap_sum(40, 3)
    assert row["dry_mass_pg"] == pytest.approx(expected, rel=0.05)
    assert row["alpha_um3_per_pg"] == 0.2
    assert row["dry_mass_error_pg"] < 0.1 * row["dry_mass_pg"]


def test_cells_looked_for_all_the_time_keep_their_ids_and_every_frame_is_accounted_for(bench: Bench) -> None:
    say_the_optics(bench)
    assert bench.client.put(f"{API}/cells/choice", json={"finds_cells": True}).json()["finds_cells"]
    for shift in range(6):
        moved = [(y + 2 * shift, x - shift, r, h) for y, x, r, h in CELLS]
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
    say_the_optics(bench)
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


@pytest.mark.parametrize("kept", [None, 3, {"regions": [{"name": ""}]}, {"alpha_um3_per_pg": -1}, {"new": 1}])
def test_choices_that_cannot_be_read_count_as_none(kept: object) -> None:
    assert Choices.from_json(kept) == Choices()


def test_choices_made_while_the_stream_stands_still_hold_for_the_frame_that_is_shown(bench: Bench) -> None:
    bench.frames(shown=SHOWN)
    assert cells_of(bench)["count"] == 2
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": False, "least_px": 7000})
    assert cells_of(bench)["count"] == 1
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True})
    assert cells_of(bench)["count"] == 2
    drawn = {**WHOLE_FRAME, "points": [[0, 0], [10, 10]]}
    for points, pixels in (([[0, 0], [10, 10]], 100), ([[0, 0], [20, 20]], 400)):
        drawn = {**WHOLE_FRAME, "points": points}
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


def test_tracks_go_on_when_the_scale_changes(bench: Bench) -> None:
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True})
    bench.frames(2, shown=SHOWN)
    until(lambda: bool(bench.station.measurer.series.tracker.tracks))
    series = bench.station.measurer.series
    say_the_optics(bench)
    bench.client.put(f"{API}/cells/choice", json={"finds_cells": True, "alpha_um3_per_pg": 0.2})
    [live] = bench.frames(shown=SHOWN)
    until(lambda: bench.station.measurer.latest.sequence == live.frame.sequence)
    assert bench.station.measurer.series is series
    answer = cells_of(bench)
    assert [row["id"] for row in answer["cells"]] == [1, 2]
    assert answer["cells"][0]["alpha_um3_per_pg"] == 0.2


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
