"""The carrier is found wherever it points, to a small part of a spectral bin, or not at all."""

import re

import numpy as np
import pytest
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import FringeState

from tests.models.fringes import bump, interferogram
from tests.models.pictures import pictures, rings


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


@pytest.mark.parametrize("period_px", [2.2, 3.0, 4.0, 6.0, 10.0, 16.0, 24.5])
@pytest.mark.parametrize("degrees", [0, 35, 90, 131])
@pytest.mark.parametrize("shape", [(256, 256), (201, 330)])
def test_find_carrier_of_cells_under_fringes_of_any_period_and_angle_is_theirs(
    period_px: float, degrees: float, shape: tuple[int, int]
) -> None:
    angle = np.deg2rad(degrees)
    carrier = (np.sin(angle) / period_px, np.cos(angle) / period_px)
    found = find_carrier(interferogram(bump(shape, 3.0), carrier))
    distance = min(np.hypot(found.fy - sign * carrier[0], found.fx - sign * carrier[1]) for sign in (1, -1))
    assert distance * min(shape) < 1.5


@pytest.mark.parametrize("period_px", [5.0, 9.0, 15.0])
def test_find_carrier_under_poor_conditions_still_finds_it(period_px: float) -> None:
    carrier = (0.6 / period_px, 0.8 / period_px)
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    rng = np.random.default_rng(0)
    fringes = 1 + 0.8 * np.cos(2 * np.pi * 128 * (carrier[0] * y + carrier[1] * x) + bump((256, 256), 3.0))
    strip = np.ones((256, 256))
    strip[-30:] = 0
    fringed = {
        "contrast of 1 %": 1600 + 20 * (fringes - 1) + rng.normal(0, 16, fringes.shape),
        "four photons a pixel": 100 * rng.poisson(2 * fringes),
        "a Gaussian beam": 2000 * fringes * np.exp(-2.5 * (y**2 + x**2)),
        "a round field": 2000 * fringes * (y**2 + x**2 < 0.55),
        "a dark strip": 2000 * fringes * strip,
        "clipped crests": np.minimum(2000 * fringes, 2800),
        "squared": 1000 * fringes**2,
    }
    for name, grey in fringed.items():
        found = find_carrier(np.clip(grey, 0, 4095).astype(np.uint16), 12)
        assert np.hypot(found.fy - carrier[0], found.fx - carrier[1]) * 256 < 1, name


@pytest.mark.parametrize("period_px", [28.0, 36.0, 47.0, 64.0])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.6, 2.2])
@pytest.mark.parametrize("degrees", [0, 30, 80])
def test_find_carrier_of_fringes_too_coarse_names_their_period_and_takes_no_harmonic(
    period_px: float, gamma: float, degrees: float
) -> None:
    angle = np.deg2rad(degrees)
    carrier = (np.sin(angle) / period_px, np.cos(angle) / period_px)
    grey = interferogram(bump((384, 384), 3.0), carrier, noise=0.0) / 255
    with pytest.raises(InferenceError) as caught:
        find_carrier(np.rint(255 * grey**gamma).astype(np.uint8))
    assert caught.value.reason is FringeState.TOO_COARSE
    named = float(re.search(r"fringes of (\d+) px", str(caught.value))[1])  # type: ignore[index]
    assert named == pytest.approx(period_px, rel=0.1)


@pytest.mark.parametrize("gains", [[[1, 0.15], [0.15, 0.05]], [[0.2, 1], [1, 0.1]], [[1, 0.85], [0.85, 0.8]]])
@pytest.mark.parametrize("period_px", [4.0, 6.3, 14.0])
@pytest.mark.parametrize("degrees", [10, 45, 100])
def test_find_carrier_of_a_colour_mosaic_is_the_fringes_and_names_the_mosaic(
    gains: list[list[float]], period_px: float, degrees: float
) -> None:
    angle = np.deg2rad(degrees)
    carrier = (np.sin(angle) / period_px, np.cos(angle) / period_px)
    found = find_carrier(with_gains(interferogram(bump((256, 256), 3.0), carrier), gains))
    assert min(np.hypot(found.fy - s * carrier[0], found.fx - s * carrier[1]) for s in (1, -1)) * 256 < 1
    assert found.mosaic.is_colour
    assert "mosaic" in found.mosaic.sentence


@pytest.mark.parametrize("gains", [[[1, 0.9], [1, 0.9]], [[1, 1], [0.93, 0.93]]])
def test_find_carrier_of_a_sensor_with_two_read_outs_is_the_fringes(gains: list[list[float]]) -> None:
    found = find_carrier(with_gains(interferogram(bump((256, 256), 3.0), (0.02, 0.14)), gains))
    assert np.hypot(found.fy - 0.02, found.fx - 0.14) * 256 < 1
    assert not found.mosaic.is_colour
    assert "read out" in found.mosaic.sentence


def test_find_carrier_of_several_carriers_takes_the_strongest() -> None:
    y, x = np.mgrid[:256, :256]
    grey = 120 + 40 * np.cos(2 * np.pi * (0.2 * y + 0.1 * x)) + 30 * np.cos(2 * np.pi * (0.15 * y - 0.21 * x))
    found = find_carrier(np.rint(grey).astype(np.uint8))
    assert np.hypot(found.fy - 0.2, found.fx - 0.1) * 256 < 1


@pytest.mark.parametrize("name", sorted(pictures()))
def test_find_carrier_of_a_picture_that_is_no_interferogram_refuses_it(name: str) -> None:
    with pytest.raises(InferenceError, match="expected fringes") as caught:
        find_carrier(pictures()[name])
    assert caught.value.reason in (FringeState.OTHER_PICTURE, FringeState.TOO_COARSE, FringeState.NO_FRINGES)


@pytest.mark.parametrize(
    ("pixels", "state"),
    [
        (np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8), FringeState.NO_FRINGES),
        (np.zeros((128, 128), np.uint8), FringeState.DARK),
        (np.random.default_rng(0).poisson(1.0, (128, 128)).astype(np.uint8), FringeState.DARK),
        (np.full((128, 128), 200, np.uint8), FringeState.UNIFORM),
        (np.full((128, 128), 255, np.uint8), FringeState.SATURATED),
        (rings(200.0, (0.0, 0.0)), FringeState.IN_LINE),
        (rings(120.0, (0.3, -0.2)), FringeState.IN_LINE),
        (rings(100.0, (-1.1, 0.2)), FringeState.CURVED),
        (np.zeros((8, 8), np.uint8), FringeState.NO_FRINGES),
    ],
    ids=["noise", "black", "read-out noise", "flat", "white", "rings", "rings aside", "curved", "tiny"],
)
def test_find_carrier_without_fringes_says_why(pixels: np.ndarray, state: FringeState) -> None:
    with pytest.raises(InferenceError, match="expected") as caught:
        find_carrier(pixels)
    assert caught.value.reason is state


def with_gains(pixels: np.ndarray, gains: list[list[float]]) -> np.ndarray:
    """The frame as a sensor sees it whose 2 × 2 sites have these gains."""
    rows, columns = (length // 2 for length in pixels.shape)
    return np.rint(pixels * np.tile(gains, (rows, columns))).astype(pixels.dtype)
