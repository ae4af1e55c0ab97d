"""The carrier is found wherever it points, to a small part of a spectral bin, or not at all."""

import numpy as np
import pytest
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.errors import InferenceError

from tests.models.fringes import bump, interferogram


@pytest.mark.parametrize(
    "carrier",
    [(0.21, 0.26), (0.05, 0.01), (0.0, 0.25), (0.25, 0.0), (0.1234, -0.3141), (0.45, 0.45), (0.3582, -0.3517)],
)
@pytest.mark.parametrize("shape", [(256, 320), (257, 255)])
def test_find_carrier_of_plain_fringes_is_right_to_a_twentieth_of_a_bin(
    carrier: tuple[float, float], shape: tuple[int, int]
) -> None:
    found = find_carrier(interferogram(np.zeros(shape), carrier, noise=0.05))
    error_bins = np.array([(abs(found.fy) - abs(carrier[0])) * shape[0], (abs(found.fx) - abs(carrier[1])) * shape[1]])
    assert np.abs(error_bins).max() < 0.05
    assert found.fy * found.fx * carrier[0] * carrier[1] >= 0
    assert found.is_upper


@pytest.mark.parametrize("carrier", [(0.0, 0.25), (0.25, 0.0), (0.2, 0.2), (0.2, -0.2)])
def test_find_carrier_of_fringes_along_an_axis_or_diagonal_takes_the_same_sideband_under_any_noise(
    carrier: tuple[float, float],
) -> None:
    for tilt in (-2e-3, -1e-4, 1e-4, 2e-3):
        found = find_carrier(interferogram(np.zeros((256, 320)), (carrier[0] + tilt, carrier[1] - tilt), noise=0.05))
        assert np.hypot(found.fy - carrier[0], found.fx - carrier[1]) < 0.01


def test_find_carrier_with_a_cell_in_the_frame_stays_within_half_a_bin() -> None:
    found = find_carrier(interferogram(bump()))
    assert abs(found.fy - 0.21) * 256 < 0.5
    assert abs(found.fx - 0.26) * 320 < 0.5


def test_find_carrier_of_twelve_bits_equals_that_of_eight() -> None:
    eight, twelve = (find_carrier(interferogram(bump(), bit_depth=bits)) for bits in (8, 12))
    assert abs(eight.fy - twelve.fy) * 256 < 0.02
    assert abs(eight.fx - twelve.fx) * 320 < 0.02


@pytest.mark.parametrize(
    "pixels",
    [
        np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8),
        np.zeros((128, 128), np.uint8),
        np.full((128, 128), 200, np.uint8),
        np.zeros((8, 8), np.uint8),
    ],
    ids=["noise", "black", "flat", "tiny"],
)
def test_find_carrier_without_fringes_says_so(pixels: np.ndarray) -> None:
    with pytest.raises(InferenceError, match="expected") as caught:
        find_carrier(pixels)
    assert caught.value.reason == "no carrier"
