"""Conditions: a word means the same in the simulated camera, in the tables and in training."""

from math import hypot

import numpy as np
import pytest
from numpy.random import default_rng
from qpi_live.camera.simulation.camera import SimulatedCamera
from qpi_live.camera.simulation.conditions import CONDITIONS, REFERENCE, TABLED, Range, example_of
from qpi_live.camera.simulation.instrument import Aberration
from qpi_live.camera.source import CameraOptions


def _is_within(value: float, ends: Range) -> bool:
    return ends[0] <= value <= ends[1]


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_example_lies_within_the_ranges_that_training_draws_from(name: str) -> None:
    condition = CONDITIONS[name]
    instrument, specimen = example_of(name)
    factor = 1.0 if condition.contrast_is_absolute else 1 / REFERENCE.fringes.contrast
    assert _is_within(instrument.fringes.contrast * factor, condition.contrast)
    assert instrument.speckle is not None
    assert _is_within(instrument.speckle.strength, condition.speckle)
    assert _is_within(instrument.beam.level / REFERENCE.beam.level, condition.level)
    added = np.subtract(*(_padded(one.aberration.noll_rad) for one in (instrument, REFERENCE)))
    np.testing.assert_allclose(added, _padded(condition.added.noll_rad), atol=1e-12)
    drift = _padded(instrument.aberration.drift_noll_rad)
    assert _is_within(hypot(*drift[1:3]), condition.tilt_rad)
    assert _is_within(float(np.linalg.norm(drift[3:])), condition.aberration_rad)
    assert specimen.kind in condition.kinds
    assert _is_within(specimen.coverage, condition.coverage)
    assert _is_within(specimen.peak_rad, condition.peak_rad)
    assert _is_within(specimen.cell_px, condition.cell_px)


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_is_what_the_simulated_camera_shows_by_that_name(name: str) -> None:
    camera = SimulatedCamera.open(name, CameraOptions(shape=(64, 64)))
    assert camera.identity.model == f"simulated microscope {name}"


def test_condition_draw_is_within_its_ranges_and_does_not_drift() -> None:
    for name in TABLED:
        condition = CONDITIONS[name]
        instrument, specimen = condition.draw(REFERENCE, default_rng(3))
        assert instrument.aberration.drift_noll_rad == Aberration().drift_noll_rad
        assert instrument.speckle is not None
        assert _is_within(instrument.speckle.strength, condition.speckle)
        assert _is_within(specimen.coverage, condition.coverage)


def test_condition_harsh_is_harsh_wherever_it_is_asked_for() -> None:
    drawn, _ = CONDITIONS["harsh"].draw(REFERENCE, default_rng(0))
    shown, _ = example_of("harsh")
    for instrument in (drawn, shown):
        assert instrument.fringes.contrast <= 0.4
        assert instrument.speckle is not None
        assert instrument.speckle.strength >= 0.15
        assert instrument.aberration.noll_rad[3] > REFERENCE.aberration.noll_rad[3] + 7


def test_simulated_camera_of_an_unknown_condition_names_those_there_are() -> None:
    with pytest.raises(RuntimeError, match=r"expected a condition among nominal, harsh, .* an instrument among glio"):
        SimulatedCamera.open("hard", CameraOptions())


def _padded(terms: tuple[float, ...]) -> np.ndarray:
    return np.pad(np.array(terms, float), (0, 15 - len(terms)))
