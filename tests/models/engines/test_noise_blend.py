"""Noise taken off with a smooth picture beside: less noise on ground and cells, nothing invented, nothing lost."""

import numpy as np
import pytest
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.engines.fusion.noise_blend import blend
from scipy.ndimage import gaussian_filter

SHAPE = (200, 260)
BANDS = RowBands(SHAPE[0], 2)


def disc(at: tuple[float, float], height_rad: float = 6.0, radius_px: float = 30.0) -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = ((y - at[0]) ** 2 + (x - at[1]) ** 2) / radius_px**2
    return (height_rad * np.sqrt(np.clip(1 - square, 0, None))).astype(np.float32)


def grainy(sigma_rad: float = 0.1, seed: int = 0) -> np.ndarray:
    """Noise as a pass band leaves it: grains of a few pixels."""
    grains = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2)
    return (sigma_rad * grains / grains.std()).astype(np.float32)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))


def test_blend_with_a_true_picture_takes_most_noise_off() -> None:
    truth = disc((90, 120))
    measured = truth + grainy()
    assert rms(blend(measured, truth, BANDS) - truth) < 0.55 * rms(measured - truth)


def test_blend_with_a_blurred_and_tilted_picture_still_takes_noise_off_and_keeps_the_measured_level() -> None:
    truth = disc((90, 120))
    measured = truth + grainy()
    tilt = np.linspace(-0.3, 0.3, SHAPE[1], dtype=np.float32)
    picture = gaussian_filter(truth, 1.0) + tilt + np.float32(0.2)
    error = blend(measured, picture, BANDS) - truth
    assert rms(error) < 0.8 * rms(measured - truth)
    assert abs(error.mean()) < 0.01


def test_blend_with_a_picture_of_cells_that_have_moved_on_is_no_worse_than_the_measured_phase_by_a_tenth() -> None:
    truth, earlier = disc((90, 120)), disc((90, 112))
    measured = truth + grainy()
    assert rms(blend(measured, earlier, BANDS) - truth) < 1.1 * rms(measured - truth)


def test_blend_with_a_picture_that_misses_a_cell_keeps_the_cell() -> None:
    truth = disc((90, 120), height_rad=2.0, radius_px=12.0)
    measured = truth + grainy(0.05)
    blended = blend(measured, np.zeros(SHAPE, np.float32), BANDS)
    assert rms((blended - truth)[80:100, 110:130]) < 0.1


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_blend_on_any_number_of_threads_gives_the_same_but_for_the_noise_grid(threads: int) -> None:
    measured, picture = disc((90, 120)) + grainy(), disc((90, 120))
    one, more = blend(measured, picture, RowBands(SHAPE[0], 1)), blend(measured, picture, RowBands(SHAPE[0], threads))
    assert np.abs(one - more).max() < 1e-4


@pytest.mark.parametrize("shape", [(16, 16), (64, 17), (33, 500)])
def test_blend_at_small_and_odd_sizes_is_finite_and_leaves_its_arguments(shape: tuple[int, int]) -> None:
    measured = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before, picture = measured.copy(), np.zeros(shape, np.float32)
    blended = blend(measured, picture, RowBands(shape[0], 2))
    assert np.isfinite(blended).all()
    assert np.array_equal(measured, before)
