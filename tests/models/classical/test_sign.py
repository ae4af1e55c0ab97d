"""Only objects tell the sign of the phase."""

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.sign import sign_of_objects
from qpi_live.models.engines.signs import Signs
from scipy.ndimage import gaussian_filter

from tests.models.fringes import bump

SHAPE = (256, 320)


def smooth(seed: int, order: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    return sum(rng.normal(0, 3 / (1 + i + j)) * y**i * x**j for i, j in terms)


@pytest.mark.parametrize("seed", range(10))
def test_sign_of_an_empty_field_is_unknown(seed: int) -> None:
    noise = gaussian_filter(np.random.default_rng(seed).normal(0, 0.6, SHAPE), 2)
    assert sign_of_objects((smooth(seed, 5) + noise).astype(np.float32)) == 0


@pytest.mark.parametrize("peak_rad", [0.7, 3.0, 12.0])
@pytest.mark.parametrize("side", [1, -1])
def test_sign_of_a_cell_is_the_way_it_stands_out(side: int, peak_rad: float) -> None:
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 0.2, SHAPE), 2)
    phase = side * bump(SHAPE, peak_rad) + smooth(1, 3) + noise
    assert sign_of_objects(phase.astype(np.float32)) == side


def test_sign_of_objects_of_both_signs_is_unknown() -> None:
    phase = bump(SHAPE, 3)
    assert sign_of_objects((phase - phase[::-1, ::-1]).astype(np.float32)) == 0


def test_sign_ignores_the_border_and_what_is_masked() -> None:
    phase = np.random.default_rng(0).normal(0, 0.02, SHAPE).astype(np.float32)
    phase[:12] += 3
    phase[:, -12:] += 3
    assert sign_of_objects(phase, margin_px=16) == 0
    mask = np.zeros(SHAPE, np.bool_)
    mask[100:130] = True
    phase[mask] -= 9
    assert sign_of_objects(phase, mask, margin_px=16) == 0


def test_signs_follow_a_carrier_that_moved_but_not_one_that_turned() -> None:
    signs = Signs()
    assert signs.orient("camera", Carrier(0.2, 0.1)) is None
    signs.decide("camera", Carrier(-0.2, -0.1))
    moved = signs.orient("camera", Carrier(0.18, 0.15))
    assert moved is not None
    assert (moved.fy, moved.fx) == (-0.18, -0.15)
    assert signs.orient("camera", Carrier(0.1, -0.2)) is None
    assert signs.orient("another", Carrier(0.2, 0.1)) is None
