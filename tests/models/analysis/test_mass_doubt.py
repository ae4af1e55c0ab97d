"""What a cell's table says of its mass's error, against masses that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.analysis.cells import Cells, measure_cells
from qpi_live.models.analysis.mass_doubt import background_doubt_rad
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.tables import trackmate_xml
from qpi_live.models.analysis.tracking import Tracker

from tests.models.analysis.discs import cap_sum, caps

_RADIUS, _HEIGHT = 22.0, 2.0
_PLACES = [(64.0 + 96 * row, 64.0 + 96 * column) for row in range(5) for column in range(5)]


def _colony(background_rad: NDArray[np.float32] | float = 0.0, noise_rad: float = 0.05) -> Cells:
    made = [(y, x, _RADIUS, _HEIGHT) for y, x in _PLACES]
    phase = caps((512, 512), made, noise_rad=noise_rad) + np.float32(background_rad)
    return measure_cells(phase, scale=Scale(0.1, 0.5))


def _bump(y: float, x: float, height_rad: float, width_px: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:512, :512]
    bump: NDArray[np.float32] = height_rad * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width_px**2))
    return bump.astype(np.float32)


def test_mass_of_cells_on_flat_ground_is_certain_and_within_its_error() -> None:
    columns = _colony().columns
    assert len(columns["label"]) == 25
    assert not columns["uncertain"].any()
    off = np.abs(columns["integrated_phase_rad_px"] - cap_sum(_RADIUS, _HEIGHT))
    assert np.mean(off <= 2 * columns["integrated_phase_error_rad_px"]) > 0.9
    assert (columns["integrated_phase_error_rad_px"] < 0.03 * cap_sum(_RADIUS, _HEIGHT)).all()


@pytest.mark.parametrize("height_rad", [-0.4, -0.2, 0.2])
def test_mass_where_the_background_is_off_is_uncertain_and_elsewhere_is_not(height_rad: float) -> None:
    columns = _colony(_bump(64, 64, height_rad, 80)).columns
    off = columns["integrated_phase_rad_px"] / cap_sum(_RADIUS, _HEIGHT) - 1
    is_far = np.abs(off) > 0.1
    assert 0 < np.count_nonzero(is_far) < 12
    assert columns["uncertain"][is_far].all()
    distance = np.hypot(columns["y_px"] - 64, columns["x_px"] - 64)
    assert not columns["uncertain"][distance > 300].any()
    stated = columns["integrated_phase_error_rad_px"] / cap_sum(_RADIUS, _HEIGHT)
    assert np.mean(np.abs(off) <= 2 * stated) > 0.9


def test_mass_error_has_the_units_of_the_mass() -> None:
    columns = _colony(_bump(64, 64, 0.3, 80)).columns
    to_pg = 0.5 / (2 * np.pi * 0.19) * 0.1**2
    assert columns["dry_mass_error_pg"] == pytest.approx(columns["integrated_phase_error_rad_px"] * to_pg)


def test_doubt_without_any_ground_is_infinite_and_the_cell_uncertain() -> None:
    nothing = np.full((8, 8), np.nan, np.float32)
    one = np.array([16.0])
    assert np.isinf(background_doubt_rad(nothing, one, one, np.array([100.0]), 4)).all()


def test_doubt_of_known_rest_is_its_rms_and_more_for_its_mean() -> None:
    rest = np.full((64, 64), 0.1, np.float32)
    middle = np.array([128.0])
    assert background_doubt_rad(rest, middle, middle, np.array([900.0]), 4) == pytest.approx(0.1 * np.sqrt(3))


def test_trackmate_has_the_error_and_the_flag_of_every_spot() -> None:
    cells, tracker = _colony(_bump(64, 64, 0.4, 80)), Tracker()
    tracker.update(cells, 0.0)
    text = trackmate_xml(tracker.tracks, tracker.events, Scale(0.1, 0.5))
    assert text.count('UNCERTAIN="1"') == np.count_nonzero(cells.columns["uncertain"]) > 0
    assert text.count('DRY_MASS_ERROR="') == len(cells)
