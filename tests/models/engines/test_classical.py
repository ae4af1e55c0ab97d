"""The classical engine's own controls: carrier, sideband, calibration, background, warnings."""

import numpy as np
import pytest
from qpi_live.camera.optics import Optics
from qpi_live.models.engine import EngineOptions, TunableEngine
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.errors import EngineUnavailable, InferenceError
from scipy.ndimage import gaussian_filter

from tests.models.fringes import SHAPE, bump, frame, interferogram

INSIDE = (slice(16, -16), slice(16, -16))


def aberration() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    return 6 * (x**2 + y**2) + 3 * x * y - 2 * y + 2 * x**3


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error[INSIDE] ** 2)))


def test_engine_is_tunable() -> None:
    assert isinstance(ClassicalEngine(EngineOptions()), TunableEngine)


@pytest.mark.parametrize("carrier", [(0.21, 0.26), (-0.21, -0.26), (0.2, -0.25), (0.0, 0.27)])
def test_automatic_sideband_shows_cells_positive_whatever_the_carriers_sign(carrier: tuple[float, float]) -> None:
    phase = ClassicalEngine(EngineOptions()).retrieve(frame(interferogram(bump(), carrier))).phase_rad
    assert rms(phase - bump()) < 0.15


@pytest.mark.parametrize("seed", range(12))
def test_empty_field_decides_no_sign_and_the_first_cells_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.35)
    carrier = (frequency * np.sin(angle), frequency * np.cos(angle))
    noise = rng.choice([0.005, 0.05])
    engine = ClassicalEngine(EngineOptions())
    for sequence in range(2):
        empty = engine.retrieve(frame(interferogram(aberration(), carrier, noise=noise, seed=sequence), 8, sequence))
        assert empty.engine.detail["is_sign_known"] is False
    with_cells = frame(interferogram(bump() + aberration(), carrier, noise=noise))
    made = engine.retrieve(with_cells)
    assert made.engine.detail["is_sign_known"] is True
    assert rms(made.phase_rad - bump()) < 0.2


def test_sign_once_decided_stays_through_calibration_carrier_and_bubbles() -> None:
    engine = ClassicalEngine(EngineOptions())
    engine.retrieve(frame(interferogram(bump())))
    taken = engine.identity.detail["sideband_taken"]
    engine.use_calibration(frame(interferogram(np.zeros(SHAPE), seed=3)))
    assert engine.retrieve(frame(interferogram(-bump()))).phase_rad.min() < -5
    engine.use_calibration(None)
    engine.refind_carrier()
    assert engine.retrieve(frame(interferogram(-bump()))).phase_rad.min() < -5
    assert engine.identity.detail["sideband_taken"] == taken
    engine.forget_instrument()
    assert engine.retrieve(frame(interferogram(-bump()))).phase_rad.max() > 5


def test_given_sideband_flips_the_sign_and_nothing_else() -> None:
    pixels = frame(interferogram(bump()))
    upper, lower = (
        ClassicalEngine(EngineOptions(sideband=side, background_order=0)).retrieve(pixels).phase_rad
        for side in ("upper", "lower")
    )
    upper, lower = upper - upper[0, 0], lower - lower[0, 0]
    assert np.abs(upper + lower).max() < 1e-2


def test_use_sideband_mid_stream_takes_effect_on_the_next_frame() -> None:
    engine = ClassicalEngine(EngineOptions())
    assert engine.retrieve(frame(interferogram(bump()))).phase_rad.max() > 5
    engine.use_sideband("lower")
    assert engine.retrieve(frame(interferogram(bump()))).phase_rad.min() < -5
    with pytest.raises(ValueError, match="auto, upper or lower, got 'sideways'"):
        engine.use_sideband("sideways")
    assert engine.identity.detail["sideband"] == "lower"


def test_background_order_four_takes_the_aberration_off() -> None:
    phase = ClassicalEngine(EngineOptions()).retrieve(frame(interferogram(bump() + aberration()))).phase_rad
    assert rms(phase - bump()) < 0.15


def test_use_calibration_takes_any_aberration_off_without_a_fit() -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    ripple = aberration() + 1.5 * np.sin(9 * x) * np.cos(7 * y)  # no polynomial of order 4 follows this
    engine = ClassicalEngine(EngineOptions())
    sample = frame(interferogram(bump() + ripple))
    assert rms(engine.retrieve(sample).phase_rad - bump()) > 0.3
    engine.use_calibration(frame(interferogram(ripple, seed=4)))
    assert rms(engine.retrieve(sample).phase_rad - bump()) < 0.15
    assert engine.identity.detail["background"] == "calibration frame"
    engine.use_calibration(None)
    assert rms(engine.retrieve(sample).phase_rad - bump()) > 0.3


def test_use_calibration_of_a_useless_frame_is_refused_and_changes_nothing() -> None:
    engine = ClassicalEngine(EngineOptions())
    before = engine.retrieve(frame(interferogram(bump()))).phase_rad
    with pytest.raises(ValueError, match="sample-free interferogram"):
        engine.use_calibration(frame(np.zeros(SHAPE, np.uint8)))
    with pytest.raises(ValueError, match=r"stream's shape \(256, 320\), got \(128, 128\)"):
        engine.use_calibration(frame(interferogram(bump((128, 128)))))
    assert np.array_equal(engine.retrieve(frame(interferogram(bump()))).phase_rad, before)


def test_refind_carrier_follows_an_instrument_that_was_realigned() -> None:
    engine = ClassicalEngine(EngineOptions())
    engine.retrieve(frame(interferogram(bump(), (0.21, 0.26))))
    engine.refind_carrier()
    moved = engine.retrieve(frame(interferogram(bump(), (0.18, 0.3))))
    assert "carrier" in moved.stages_ms
    assert abs(float(moved.engine.detail["carrier_fx_cycles_per_px"] or 0)) == pytest.approx(0.3, abs=0.002)
    assert rms(moved.phase_rad - bump()) < 0.15


def test_frames_of_another_size_are_followed_mid_stream() -> None:
    engine = ClassicalEngine(EngineOptions())
    engine.use_calibration(frame(interferogram(np.zeros(SHAPE), seed=3)))
    assert rms(engine.retrieve(frame(interferogram(bump()))).phase_rad - bump()) < 0.15
    small = bump((192, 200))
    followed = engine.retrieve(frame(interferogram(small)))
    assert rms(followed.phase_rad - small) < 0.15
    assert "calibration frame has another size" in str(followed.engine.detail["background"])
    again = engine.retrieve(frame(interferogram(bump())))
    assert again.engine.detail["background"] == "calibration frame"
    assert rms(again.phase_rad - bump()) < 0.15


def test_given_carrier_is_used_as_it_stands() -> None:
    engine = ClassicalEngine(EngineOptions(carrier_cycles_per_px=(-0.21, -0.26)))
    phase = engine.retrieve(frame(interferogram(bump()))).phase_rad
    assert phase.min() < -5


@pytest.mark.parametrize("carrier", [(0.5, 0.5), (0.0, 0.5), (0.0, 0.001)])
def test_carrier_that_leaves_no_band_is_refused_with_its_reason(carrier: tuple[float, float]) -> None:
    engine = ClassicalEngine(EngineOptions(carrier_cycles_per_px=carrier))
    with pytest.raises(InferenceError, match="check the carrier") as caught:
        engine.retrieve(frame(interferogram(bump())))
    assert caught.value.reason == "no band"


def test_numerical_aperture_narrows_the_band() -> None:
    optics = Optics(wavelength_m=532e-9, pixel_pitch_m=3.45e-6, magnification=40, numerical_aperture=0.4)
    wide, narrow = ClassicalEngine(EngineOptions()), ClassicalEngine(EngineOptions(optics=optics))
    radii = [
        float(engine.retrieve(frame(interferogram(bump()))).engine.detail["band_radius_cycles_per_px"] or 0)
        for engine in (wide, narrow)
    ]
    assert radii[1] < radii[0]


def test_first_frame_without_fringes_fails_and_the_next_one_is_retrieved() -> None:
    engine = ClassicalEngine(EngineOptions())
    with pytest.raises(InferenceError) as caught:
        engine.retrieve(frame(np.full(SHAPE, 9, np.uint8)))
    assert caught.value.reason == "uniform"
    assert rms(engine.retrieve(frame(interferogram(bump()))).phase_rad - bump()) < 0.15


def test_saturated_frames_carry_a_warning() -> None:
    pixels = interferogram(bump()).astype(np.int32) * 2
    result = ClassicalEngine(EngineOptions()).retrieve(frame(np.clip(pixels, 0, 255).astype(np.uint8)))
    assert "saturated" in str(result.quality.warning)


def test_frames_full_of_residues_carry_a_warning_and_a_mask() -> None:
    rng = np.random.default_rng(0)
    scattered = gaussian_filter(rng.normal(0, 1, SHAPE), 1.5) * 9
    result = ClassicalEngine(EngineOptions()).retrieve(frame(interferogram(scattered)))
    assert (result.quality.residues or 0) > 300
    assert result.disputed_mask is not None
    assert result.quality.disputed_pixels == result.disputed_mask.sum()
    assert f"{result.quality.residues} residues" in str(result.quality.warning)


def test_unknown_sideband_is_refused_at_the_start() -> None:
    with pytest.raises(EngineUnavailable, match="auto, upper or lower, got 'left'"):
        ClassicalEngine(EngineOptions(sideband="left"))


@pytest.mark.parametrize("seed", range(12))
def test_cells_steeper_than_the_pass_band_takes_decide_no_wrong_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, period_px, angle = (104, 136), rng.uniform(9, 15), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: shape[0], : shape[1]]
    cells = np.zeros(shape)
    for _ in range(6):
        square = ((y - rng.uniform(10, 94)) ** 2 + (x - rng.uniform(10, 126)) ** 2) / rng.uniform(8, 15) ** 2
        cells = np.maximum(cells, rng.uniform(5.5, 7.5) * np.sqrt(np.clip(1 - square, 0, None)))
    carrier = (np.sin(angle) / period_px, np.cos(angle) / period_px)
    detail = ClassicalEngine(EngineOptions()).retrieve(frame(interferogram(cells, carrier, seed=seed))).engine.detail
    taken = (float(detail["carrier_fy_cycles_per_px"] or 0), float(detail["carrier_fx_cycles_per_px"] or 0))
    assert not detail["is_sign_known"] or np.dot(taken, carrier) > 0


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (66, 64), (67, 64), (64, 67), (67, 65)])
@pytest.mark.parametrize("bit_depth", [8, 12])
def test_warm_up_of_the_smallest_frames_leaves_nothing_to_chance(shape: tuple[int, int], bit_depth: int) -> None:
    ClassicalEngine(EngineOptions(threads=1)).warm_up(shape, bit_depth)
