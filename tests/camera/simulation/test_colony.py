from __future__ import annotations

import numpy as np
import pytest
from qpi_live.camera.simulation.colony import Colony, ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel


def test_colony_same_seed_lives_the_same_lives() -> None:
    one, same, other = (Colony(ColonySpecimen(cells=6), (256, 256), seed, 5) for seed in (1, 1, 2))
    assert np.array_equal(one.phase_rad(4), same.phase_rad(4))
    assert not np.array_equal(one.phase_rad(4), other.phase_rad(4))


def test_colony_mass_of_a_cell_grows_at_its_rate() -> None:
    colony = Colony(
        ColonySpecimen(cells=3, cell_px=70, step_px=0, growth_per_frame=0.01, growth_spread=0.3), (400, 400), 4, 21
    )
    (phase, ids), (later, later_ids) = colony.drawn(0), colony.drawn(20)
    for cell in colony.cells(0):
        box = [cell.y_px, cell.x_px]
        if min(box) < 60 or max(box) > 340:
            continue
        rate = np.log(later[later_ids == cell.id].sum() / phase[ids == cell.id].sum()) / 20
        assert rate == pytest.approx(cell.rate_per_frame, rel=0.03)


def test_colony_cell_that_has_doubled_gives_two_of_half_its_size() -> None:
    colony = Colony(ColonySpecimen(cells=2, cell_px=40, growth_per_frame=0.05, divides=True), (200, 200), 0, 40)
    counts = [len(colony.cells(frame)) for frame in range(40)]
    assert counts[-1] >= 4
    assert counts == sorted(counts)
    for frame in range(1, 40):
        before = {cell.id: cell for cell in colony.cells(frame - 1)}
        for cell in colony.cells(frame):
            if cell.id not in before:
                mother = before[cell.parent]
                assert 2 * cell.scale**3 == pytest.approx(mother.scale**3, rel=0.1)
                assert cell.parent not in {other.id for other in colony.cells(frame)}


def test_colony_cells_wander_and_no_more_than_touch() -> None:
    colony = Colony(ColonySpecimen(cells=20, cell_px=50, step_px=2), (400, 400), 0, 30)
    start, end = (np.array([(c.y_px, c.x_px) for c in colony.cells(frame)]) for frame in (0, 29))
    assert 3 < np.median(np.hypot(*(end - start).T)) < 60
    apart = np.hypot(*(end[:, None] - end[None]).transpose(2, 0, 1)) + 1e9 * np.eye(20)
    assert apart.min() > 25


def test_colony_labels_mark_what_has_phase() -> None:
    phase, ids = Colony(ColonySpecimen(cells=10), (256, 256), 0, 1).drawn(0)
    assert np.array_equal(ids > 0, phase > 0)


def test_colony_scene_gives_interferograms_of_it() -> None:
    scene = ColonyScene(ForwardModel(Instrument(shape=(128, 128))), ColonySpecimen(cells=3, cell_px=40), 0, 2)
    assert scene.pixels(1).shape == (128, 128)
    assert not np.array_equal(scene.pixels(0), scene.pixels(1))
    assert np.array_equal(scene.pixels(1), scene.pixels(1))


@pytest.mark.parametrize(
    "wrong", [{"cells": 0}, {"cell_px": 2}, {"peak_rad": 0}, {"step_px": -1}, {"growth_per_frame": 1}]
)
def test_colony_impossible_specimen_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ColonySpecimen(**wrong)  # type: ignore[arg-type]
