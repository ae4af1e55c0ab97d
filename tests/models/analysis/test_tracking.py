from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from laptrack import LapTrack
from numpy.typing import NDArray
from qpi_live.camera.simulation.colony import Colony, ColonySpecimen
from qpi_live.models.analysis.cells import measure_cells
from qpi_live.models.analysis.growth import fit_growth
from qpi_live.models.analysis.tracking import Tracker

from tests.models.analysis.discs import caps


def _noisy(phase: NDArray[np.float32], frame: int) -> NDArray[np.float32]:
    return phase + np.random.default_rng(frame).normal(0, 0.1, phase.shape).astype(np.float32)


def _owner(labels: NDArray[np.int32], found: NDArray[np.uint16], count: int) -> dict[int, int]:
    """The true id under most of each found cell."""
    return {k: Counter(labels[found == k + 1].tolist()).most_common(1)[0][0] for k in range(count)}


def test_tracker_wandering_cells_keep_their_ids_as_laptrack_has_them() -> None:
    colony = Colony(ColonySpecimen(cells=25, cell_px=50, step_px=2.5), (384, 384), seed=5, frames=40)
    tracker, ours, points = Tracker(), {}, []
    for frame in range(len(colony)):
        phase, labels = colony.drawn(frame)
        cells = measure_cells(_noisy(phase, frame))
        ids = tracker.update(cells, frame / 20)
        for k, owner in _owner(labels, cells.segmentation.labels, len(cells)).items():
            ours.setdefault(owner, set()).add(int(ids[k]))
        points.append(np.stack([cells.columns["y_px"], cells.columns["x_px"]], axis=1))
    lost = sum(len(ids) > 1 for ids in ours.values())
    assert lost == 0
    graph = LapTrack(cutoff=30**2).predict(points)
    assert len(points[0]) == len(ours)
    assert graph.number_of_edges() == sum(len(frame) for frame in points) - len(points[0])  # it lost none either


def test_tracker_cell_that_divides_gives_two_daughters() -> None:
    colony = Colony(
        ColonySpecimen(cells=8, cell_px=60, step_px=0.5, growth_per_frame=0.01, divides=True), (512, 512), 2, 70
    )
    tracker = Tracker()
    for frame in range(len(colony)):
        tracker.update(measure_cells(_noisy(colony.phase_rad(frame), frame)), frame)
    divisions = [event for event in tracker.events if event.kind == "divided"]
    true = {cell.parent for frame in range(len(colony)) for cell in colony.cells(frame)} - {0}
    # The last ones may have divided too late to be seen apart.
    assert len(true) - 3 <= len(divisions) <= len(true)
    for event in divisions:
        assert len(event.others) == 2
    parents = {track.parent for track in tracker.tracks} - {0}
    assert parents <= {event.id for event in divisions}


def test_tracker_merge_of_two_touching_cells_names_the_one_that_went_up() -> None:
    tracker = Tracker(gate=2)
    apart = caps((256, 256), [(128.0, 84.0, 40.0, 4.0), (128.0, 172.0, 40.0, 4.0)])
    one = caps((256, 256), [(128.0, 128.0, 40.0 * 2**0.5, 4.0)])
    first = tracker.update(measure_cells(apart), 0.0)
    second = tracker.update(measure_cells(one), 0.05)
    assert len(second) == 1
    [event] = tracker.events
    assert event.kind == "merged"
    assert {event.id, *event.others} == set(first.tolist())


def test_tracker_cell_unseen_for_a_while_has_its_id_again_and_beyond_that_a_new_one() -> None:
    seen = measure_cells(caps((128, 128), [(64.0, 64.0, 30.0, 3.0)]))
    nothing = measure_cells(np.zeros((128, 128), np.float32))
    tracker = Tracker(patience=3)
    [first] = tracker.update(seen, 0)
    for frame in range(3):
        assert tracker.update(nothing, 1 + frame).size == 0
    assert tracker.update(seen, 4).tolist() == [first]
    for frame in range(4):
        tracker.update(nothing, 5 + frame)
    assert tracker.update(seen, 9).tolist() == [first + 1]


def test_tracker_cell_beyond_the_gate_is_another_one() -> None:
    tracker = Tracker(gate=1)
    tracker.update(measure_cells(caps((256, 256), [(50.0, 50.0, 25.0, 3.0)])), 0)
    assert tracker.update(measure_cells(caps((256, 256), [(200.0, 200.0, 25.0, 3.0)])), 1).tolist() == [2]


def test_tracker_history_of_a_long_life_is_thinned_and_spans_all_of_it() -> None:
    cells = measure_cells(caps((64, 64), [(32.0, 32.0, 20.0, 3.0)]))
    tracker = Tracker()
    for frame in range(5000):
        tracker.update(cells, frame)
    [track] = tracker.tracks
    assert len(track.history) < 1024
    assert (track.history[0, 1], track.history[-1, 1]) == pytest.approx((0, 5000), abs=10)


def test_growth_weighted_fit_finds_rate_and_its_error() -> None:
    rng = np.random.default_rng(0)
    time = np.linspace(0, 3600, 200)
    off = []
    for _ in range(200):
        error = rng.uniform(0.5, 3, time.size)
        fitted = fit_growth(time, 100 * np.exp(2e-4 * time) + rng.normal(0, error), error)
        assert fitted is not None
        off.append((fitted.rate_per_s - 2e-4) / fitted.rate_error_per_s)
    assert np.mean(off) == pytest.approx(0, abs=0.3)
    assert np.std(off) == pytest.approx(1, abs=0.2)
    assert fitted.doubling_s == pytest.approx(np.log(2) / 2e-4, rel=0.05)


def test_growth_too_few_or_unusable_points_give_none() -> None:
    assert fit_growth([0, 1], [1, 2]) is None
    assert fit_growth([0, 1, 2, 3], [1, -2, np.nan, 2], [1, 1, 1, 1]) is None
    assert fit_growth([1, 1, 1], [1, 2, 3]) is None
    with pytest.raises(ValueError, match="as many"):
        fit_growth([0, 1], [1, 2, 3])
