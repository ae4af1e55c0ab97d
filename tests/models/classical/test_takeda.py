"""A known phase survives fringes → wrapped phase, for every carrier direction, with and without calibration."""

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.takeda import TakedaRetriever, band_radius, wrap_angle
from qpi_live.models.errors import InferenceError

from tests.models.fringes import SHAPE, bump, interferogram


def smooth() -> NDArray[np.float64]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 5 * np.exp(-((y - 130) ** 2 + (x - 150) ** 2) / 2 / 35**2)


def error_rad(wrapped: NDArray[np.float32], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is wrong away from the border, where the filter sees beyond the frame; a constant does not count."""
    error = np.angle(np.exp(1j * (wrapped - true)))
    error = np.angle(np.exp(1j * error) / np.exp(1j * error).mean())
    return error[16:-16, 16:-16]


@pytest.mark.parametrize(
    "carrier", [(0.21, 0.26), (0.26, 0.21), (0.0, 0.25), (0.25, 0.0), (-0.2, 0.15), (0.2, -0.24), (0.3582, -0.3517)]
)
def test_wrapped_phase_of_known_fringes_is_the_known_phase(carrier: tuple[float, float]) -> None:
    retriever = TakedaRetriever(SHAPE, Carrier(*carrier))
    wrapped = retriever.wrapped_phase(interferogram(smooth(), carrier))
    assert wrapped.dtype == np.float32
    assert np.abs(wrapped).max() <= np.float32(np.pi) + 1e-5
    assert error_rad(wrapped, smooth()).std() < 0.03


def test_amplitude_of_known_fringes_is_half_their_swing_in_grey_values() -> None:
    """Fringes a + b cos φ: the amplitude is b / 2, wherever the border does not ring."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    swing = 80 - 60 * np.exp(-((y - 130) ** 2 + (x - 150) ** 2) / 2 / 35**2)
    pixels = np.rint(120 + swing * np.cos(2 * np.pi * (0.21 * y + 0.26 * x))).astype(np.uint8)
    field = TakedaRetriever(SHAPE, Carrier(0.21, 0.26)).wrapped_field(pixels)
    assert field.amplitude.dtype == np.float32
    assert np.abs(field.amplitude - swing / 2)[32:-32, 32:-32].max() < 1


def test_wrapped_phase_of_the_conjugate_sideband_is_the_negative() -> None:
    pixels = interferogram(smooth())
    carrier = Carrier(0.21, 0.26)
    upper = TakedaRetriever(SHAPE, carrier).wrapped_phase(pixels)
    lower = TakedaRetriever(SHAPE, carrier.conjugate()).wrapped_phase(pixels)
    assert np.abs(np.angle(np.exp(1j * (upper + lower.astype(np.float64))))).max() < 1e-3


def test_wrapped_phase_with_a_calibration_frame_is_free_of_aberration() -> None:
    y, x = np.mgrid[-1:1:256j, -1:1:320j]
    aberration = 9 * (x**2 + y**2) + 4 * x * y + 3 * x**3
    retriever = TakedaRetriever(SHAPE, Carrier(0.21, 0.26))
    retriever.use_calibration(interferogram(aberration, seed=1))
    pixels = interferogram(smooth() + aberration, seed=2)
    assert error_rad(retriever.wrapped_phase(pixels), smooth()).std() < 0.03
    retriever.use_calibration(None)
    assert error_rad(retriever.wrapped_phase(pixels), smooth()).std() > 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_wrapped_phase_does_not_depend_on_the_number_of_threads(threads: int) -> None:
    pixels = interferogram(bump())
    one = TakedaRetriever(SHAPE, Carrier(0.21, 0.26), threads=1).wrapped_phase(pixels)
    many = TakedaRetriever(SHAPE, Carrier(0.21, 0.26), threads=threads).wrapped_phase(pixels)
    assert np.abs(np.angle(np.exp(1j * (one - many.astype(np.float64))))).max() < 1e-4


def test_wrapped_phase_of_twelve_bits_equals_that_of_eight() -> None:
    retriever = TakedaRetriever(SHAPE, Carrier(0.21, 0.26))
    eight, twelve = (retriever.wrapped_phase(interferogram(smooth(), bit_depth=bits)) for bits in (8, 12))
    assert error_rad(eight, twelve.astype(np.float64)).std() < 0.01


def test_wrapped_phase_of_another_shape_is_refused_in_one_sentence() -> None:
    retriever = TakedaRetriever(SHAPE, Carrier(0.21, 0.26))
    with pytest.raises(InferenceError, match=r"expected a frame of 256 × 320 px .* got 64 × 64") as caught:
        retriever.wrapped_phase(np.zeros((64, 64), np.uint8))
    assert caught.value.reason == "wrong shape"


def test_wrap_angle_agrees_with_numpy_in_every_direction() -> None:
    angle = np.linspace(-np.pi, np.pi, 100_003)
    field = (np.exp(1j * angle) * np.logspace(-6, 6, len(angle))).astype(np.complex64).reshape(1, -1)
    assert np.abs(wrap_angle(field, RowBands(1)) - np.angle(field.astype(np.complex128))).max() < 1e-6


def test_band_radius_keeps_clear_of_the_zero_order_and_of_the_conjugate() -> None:
    assert band_radius(Carrier(0.2, 0.1)) < Carrier(0.2, 0.1).frequency
    # Twice (0.36, −0.35) is (−0.28, 0.30) a cycle further: the conjugate is nearer than the zero order.
    assert band_radius(Carrier(0.36, -0.35)) < np.hypot(0.28, 0.30)


def test_band_radius_follows_the_objective_where_it_passes_less() -> None:
    narrow = band_radius(Carrier(0.25, 0.25), band_limit_cycles_per_px=0.05)
    assert 0.05 <= narrow < 0.08
