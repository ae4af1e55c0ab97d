"""The bench of measuring as its users run it, on few and small frames."""

from math import isfinite

from qpi_live.models.analysis.autofocus import METRICS

from tests.bench.test_benches import PERCENTILES, last_line, run


def test_measure_compares_cells_tracks_growth_and_focus_with_the_truth() -> None:
    small = ["--frames", "24", "--size", "384", "--seeds", "1", "--repeats", "2"]
    document = last_line(run("bench/measure.py", *small))
    for colony in ("nominal", "dense", "dense, learned background"):
        row = document["still"][colony]
        assert row["count_found"] == row["count_true"]
        assert row["mass_error_p50"] < 0.05
    assert document["moving"]["kept"] >= 0.98
    assert isfinite(document["growing"]["culture_rate_error"])
    for errors_um in document["focus"]["worst_error_um"].values():  # in each light
        assert errors_um.keys() == set(METRICS)
    assert document["times_ms"]["find and measure cells, follow them"].keys() == PERCENTILES
