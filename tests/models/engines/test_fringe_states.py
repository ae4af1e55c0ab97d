"""What a stream's fringes are like is said of every frame, and fringes that move are found again."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engines import fringe_watch
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import FringeState

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.fringes import bump, frame, interferogram
from tests.models.pictures import pictures

SHAPE = (192, 224)
CELL = bump(SHAPE, 4.0)
HERE, THERE = (0.21, 0.26), (0.28, 0.1)


@pytest.fixture(params=["goldstein", "goldstein-cuda"])
def open_engine(request: pytest.FixtureRequest) -> Iterator[Callable[[EngineOptions], PhaseEngine]]:
    opened: list[PhaseEngine] = []

    def opening(options: EngineOptions) -> PhaseEngine:
        if request.param == "goldstein":
            engine: PhaseEngine = ClassicalEngine(options)
        else:
            needs_compiler()
            engine = ClassicalCudaEngine(options, open_device=HostDevice)
        opened.append(engine)
        return engine

    yield opening
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: Callable[[EngineOptions], PhaseEngine]) -> PhaseEngine:
    return open_engine(EngineOptions(threads=1))


def cell(carrier: tuple[float, float] = HERE, seed: int = 0) -> Pixels:
    return interferogram(CELL, carrier, seed=seed)


def rms(difference: NDArray[np.floating]) -> float:
    inner = difference[16:-16, 16:-16]
    return float(np.sqrt(np.mean((inner - np.median(inner)) ** 2)))


def test_frame_with_clear_fringes_says_how_strong_and_of_what_contrast_they_are(engine: PhaseEngine) -> None:
    quality = engine.retrieve(frame(cell())).quality
    assert quality.fringes is FringeState.CLEAR
    assert quality.warning is None
    assert quality.fringe_contrast == pytest.approx(0.8, abs=0.1)
    assert quality.carrier_strength is not None
    weaker = np.rint(128 + 0.1 * (cell(seed=1).astype(float) - 128)).astype(np.uint8)
    faint = engine.retrieve(frame(weaker)).quality
    assert faint.fringe_contrast == pytest.approx(0.08, abs=0.02)
    assert 0 < (faint.carrier_strength or 0) < quality.carrier_strength


NOISE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("pixels", "state"),
    [
        (np.zeros(SHAPE, np.uint8), FringeState.DARK),
        (NOISE.poisson(1.0, SHAPE).astype(np.uint8), FringeState.DARK),
        (np.full(SHAPE, 255, np.uint8), FringeState.SATURATED),
        (np.full(SHAPE, 90, np.uint8), FringeState.UNIFORM),
        (np.clip(NOISE.normal(90, 6, SHAPE), 0, 255).astype(np.uint8), FringeState.NO_FRINGES),
        (np.ascontiguousarray(pictures()["grass"][: SHAPE[0], : SHAPE[1]]), FringeState.OTHER_PICTURE),
        (interferogram(0.25 * CELL, (0.02, 0.021)), FringeState.TOO_COARSE),
    ],
    ids=["shutter closed", "laser off", "white", "even", "no reference", "a picture", "coarse"],
)
def test_frame_without_fringes_amid_a_stream_fails_and_the_stream_goes_on(
    engine: PhaseEngine, pixels: Pixels, state: FringeState
) -> None:
    before = engine.retrieve(frame(cell()))
    for _ in range(2):
        with pytest.raises(InferenceError) as caught:
            engine.retrieve(frame(pixels))
        assert caught.value.reason is state
    after = engine.retrieve(frame(cell(seed=1)))
    assert rms(after.phase_rad - before.phase_rad) < 0.05
    assert "carrier" not in after.stages_ms


@pytest.mark.parametrize("there", [THERE, (0.24, 0.18), (-0.06, 0.33)])
def test_fringes_that_moved_are_found_again_in_the_same_frame_and_a_person_is_told(
    engine: PhaseEngine, there: tuple[float, float]
) -> None:
    assert rms(engine.retrieve(frame(cell())).phase_rad - CELL) < 0.1
    for seed in range(3):
        result = engine.retrieve(frame(cell(there, seed)))
        assert rms(result.phase_rad - CELL) < 0.1
        assert result.quality.fringes is FringeState.MOVED
        assert "The fringes moved" in str(result.quality.warning)
        assert abs(float(result.engine.detail["carrier_fx_cycles_per_px"] or 0)) == pytest.approx(
            abs(there[1]), abs=0.01
        )


@pytest.mark.parametrize("looked_before", [False, True])
def test_mirror_that_is_realigned_at_20_frames_a_second_is_noticed_within_a_second(
    engine: PhaseEngine, monkeypatch: pytest.MonkeyPatch, looked_before: bool
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(fringe_watch, "perf_counter", lambda: now_s[0])
    for seed in range(5):
        now_s[0] += 0.05
        dims = looked_before and seed == 4  # just before, a weak frame made it look: it does not look again at once
        assert rms(engine.retrieve(frame(cell(seed=seed) // (6 if dims else 1))).phase_rad - CELL) < 0.15
    noticed = None
    for number in range(40):
        now_s[0] += 0.05
        result = engine.retrieve(frame(cell(THERE, number)))
        if noticed is None and result.quality.fringes is FringeState.MOVED:
            noticed = number
        if noticed is not None and number >= noticed + 2:
            assert rms(result.phase_rad - CELL) < 0.1
    assert noticed is not None
    assert noticed < 20


def test_fringes_that_drift_are_followed(engine: PhaseEngine) -> None:
    for step in range(30):
        carrier = (0.21 - 0.004 * step, 0.26)
        result = engine.retrieve(frame(cell(carrier, step)))
        assert rms(result.phase_rad - CELL) < 0.12, step


def test_stray_pattern_in_the_first_frame_does_not_spoil_the_run(engine: PhaseEngine) -> None:
    engine.retrieve(frame(interferogram(np.zeros(SHAPE), (-0.1, 0.3))))
    for seed in range(2):
        phase_rad = engine.retrieve(frame(cell(seed=seed))).phase_rad
        assert min(rms(phase_rad - CELL), rms(-phase_rad - CELL)) < 0.1


def test_dark_first_frame_leaves_the_next_to_find_the_carrier(engine: PhaseEngine) -> None:
    with pytest.raises(InferenceError) as caught:
        engine.retrieve(frame(np.zeros(SHAPE, np.uint8)))
    assert caught.value.reason is FringeState.DARK
    assert rms(engine.retrieve(frame(cell())).phase_rad - CELL) < 0.1


def test_dark_frame_at_a_carrier_that_was_given_is_no_phase(
    open_engine: Callable[[EngineOptions], PhaseEngine],
) -> None:
    engine = open_engine(EngineOptions(threads=1, carrier_cycles_per_px=HERE))
    with pytest.raises(InferenceError):
        engine.retrieve(frame(NOISE.poisson(2.0, SHAPE).astype(np.uint8)))
    assert rms(engine.retrieve(frame(cell())).phase_rad - CELL) < 0.1


def test_carrier_that_was_given_is_kept_though_fringes_are_elsewhere(
    open_engine: Callable[[EngineOptions], PhaseEngine],
) -> None:
    engine = open_engine(EngineOptions(threads=1, carrier_cycles_per_px=HERE))
    with pytest.raises(InferenceError, match=r"expected fringes at the carrier \(0.210, 0.260\)") as caught:
        engine.retrieve(frame(interferogram(CELL, (0.05, -0.4), noise=0.1)))
    assert caught.value.reason is FringeState.MOVED


def test_calibration_frame_taken_before_the_fringes_moved_is_not_used(engine: PhaseEngine) -> None:
    engine.use_calibration(frame(interferogram(np.zeros(SHAPE), HERE)))  # type: ignore[attr-defined]
    assert rms(engine.retrieve(frame(cell())).phase_rad - CELL) < 0.1
    moved = engine.retrieve(frame(cell((0.3, 0.05))))
    assert rms(moved.phase_rad - CELL) < 0.1
    assert "take a new one" in str(moved.quality.warning)


@pytest.mark.parametrize(
    ("full_scale", "bits", "shift"), [(255, 8, 0), (4095, 12, 0), (4095, 16, 4), (3000, 12, 0), (200, 8, 0)]
)
def test_saturated_crests_carry_a_warning_wherever_full_scale_lies(
    engine: PhaseEngine, full_scale: int, bits: int, shift: int
) -> None:
    fringes = interferogram(CELL, HERE, 16).astype(np.float64) / 65535
    clipped = np.minimum(np.rint(1.4 * full_scale * fringes), full_scale).astype(np.uint16) << shift
    quality = engine.retrieve(frame(clipped.astype(np.uint8) if bits == 8 else clipped, bits)).quality
    assert quality.fringes is FringeState.SATURATED
    assert quality.saturated_share == pytest.approx(np.mean(clipped == clipped.max()), abs=0.05)
    assert "saturated" in str(quality.warning)


@pytest.mark.parametrize("plateau", [1023, 3300])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("beam", [0.0, 1.0])
def test_crests_cut_off_below_full_scale_carry_a_warning_though_noise_lies_on_top(
    engine: PhaseEngine, plateau: int, noise: float, beam: float
) -> None:
    """Ten bits in twelve, a full well at low gain, an amplifier's limit before the converter."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    lit = np.exp(-beam * (y**2 + x**2)) * interferogram(CELL, HERE, 16).astype(np.float64) / 65535
    cut = plateau * np.minimum(lit / np.quantile(lit, 0.75), 1)
    cut += plateau * np.random.default_rng(1).normal(0, noise, SHAPE)
    quality = engine.retrieve(frame(np.rint(np.clip(cut, 0, 4095)).astype(np.uint16), 12)).quality
    assert quality.fringes is FringeState.SATURATED
    assert quality.saturated_share is not None
    assert 0.05 < quality.saturated_share < 0.35
    assert "saturated" in str(quality.warning)


@pytest.mark.parametrize("gamma", [0.45, 2.2])
@pytest.mark.parametrize("noise", [0.0, 0.03, 0.2])
def test_crests_through_a_screens_gamma_or_under_noise_are_not_called_saturated(
    engine: PhaseEngine, gamma: float, noise: float
) -> None:
    bright = 0.05 + 0.85 * (interferogram(CELL, HERE, 16).astype(np.float64) / 65535) ** gamma
    grey = 3000 * (bright + np.random.default_rng(2).normal(0, noise, SHAPE))
    quality = engine.retrieve(frame(np.rint(np.clip(grey, 0, 4095)).astype(np.uint16), 12)).quality
    assert quality.fringes is FringeState.CLEAR


@pytest.mark.parametrize(("bits", "noise"), [(8, 0.0), (8, 0.01), (12, 0.0), (12, 0.02)])
def test_crests_below_full_scale_are_not_called_saturated(engine: PhaseEngine, bits: int, noise: float) -> None:
    quality = engine.retrieve(frame(interferogram(CELL, HERE, bits, noise), bits)).quality
    assert quality.fringes is FringeState.CLEAR


def test_colour_mosaic_is_named_and_its_phase_is_right(engine: PhaseEngine) -> None:
    gains = np.tile([[1, 0.15], [0.15, 0.05]], (SHAPE[0] // 2, SHAPE[1] // 2))
    result = engine.retrieve(frame(np.rint(interferogram(CELL, (0.14, 0.09)) * gains).astype(np.uint8)))
    assert result.quality.fringes is FringeState.MOSAIC
    assert "mosaic" in str(result.quality.warning)
    assert rms(result.phase_rad - CELL) < 0.15


def test_rim_that_no_light_reaches_is_masked(engine: PhaseEngine) -> None:
    pixels = cell()
    pixels[:8] = 2
    made = engine.retrieve(frame(pixels))
    assert made.mask is not None
    assert made.mask[:8].all()
    assert not made.mask[40:].any()
    off = (made.phase_rad - CELL)[~made.mask]
    assert np.abs(off - np.median(off)).max() < 0.8


@pytest.mark.parametrize("gains", [[[1, 0.15], [0.15, 0.05]], [[0.2, 1], [1, 0.1]], [[0.05, 0.15], [0.15, 1]]])
@pytest.mark.parametrize("carrier", [(0.25, 0.02), (0.23, -0.24), (0.1, 0.12)])
def test_mosaic_of_two_by_two_pixels_a_colour_is_refused_by_name(
    engine: PhaseEngine, gains: list[list[float]], carrier: tuple[float, float]
) -> None:
    quad = np.tile(np.kron(gains, np.ones((2, 2))), (SHAPE[0] // 4, SHAPE[1] // 4))
    with pytest.raises(InferenceError, match="quad Bayer") as caught:
        engine.retrieve(frame(np.rint(interferogram(CELL, carrier) * quad).astype(np.uint8)))
    assert caught.value.reason is FringeState.MOSAIC


@pytest.mark.parametrize("carrier", [(0.25, 0.0), (0.0, 0.25), (0.25, 0.25), (0.25, -0.25)])
def test_fringes_of_exactly_four_pixels_are_no_mosaic(engine: PhaseEngine, carrier: tuple[float, float]) -> None:
    quality = engine.retrieve(frame(interferogram(0 * CELL, carrier))).quality
    assert quality.warning is None


@pytest.mark.parametrize(
    ("carrier", "gains"), [((0.03, 0.47), [[1, 1], [1, 1]]), ((0.01, 0.27), [[1, 0.15], [0.15, 0.05]])]
)
def test_fringes_beside_their_own_image_say_what_detail_is_left(
    engine: PhaseEngine, carrier: tuple[float, float], gains: list[list[float]]
) -> None:
    pixels = interferogram(CELL, carrier) * np.tile(gains, (SHAPE[0] // 2, SHAPE[1] // 2))
    quality = engine.retrieve(frame(np.rint(pixels).astype(np.uint8))).quality
    assert "Only detail coarser than" in str(quality.warning)


@pytest.mark.parametrize("duty", [0.25, 0.5])
@pytest.mark.parametrize("period_px", [9.0, 22.0])
@pytest.mark.parametrize("degrees", [0, 25])
def test_picture_of_a_grating_is_said_to_have_the_profile_of_lines(
    engine: PhaseEngine, duty: float, period_px: float, degrees: float
) -> None:
    angle, (y, x) = np.deg2rad(degrees), np.mgrid[: 4 * SHAPE[0], : 4 * SHAPE[1]] / 4
    lines = ((np.sin(angle) * y + np.cos(angle) * x) / period_px) % 1 < duty
    grey = 30 + 180 * lines.reshape(SHAPE[0], 4, SHAPE[1], 4).mean(axis=(1, 3))
    grey += np.random.default_rng(0).normal(0, 3, SHAPE)
    quality = engine.retrieve(frame(np.rint(grey).astype(np.uint8))).quality
    assert "profile of lines" in str(quality.warning)


@pytest.mark.parametrize("gamma", [0.45, 2.2])
def test_fringes_through_a_screens_gamma_are_not_called_lines(engine: PhaseEngine, gamma: float) -> None:
    bright = (interferogram(CELL, (0.07, 0.09), 16).astype(np.float64) / 65535) ** gamma
    assert engine.retrieve(frame(np.rint(200 * bright).astype(np.uint8))).quality.warning is None


def test_sideband_on_the_zero_order_is_said_to_overlap(engine: PhaseEngine) -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    quality = engine.retrieve(frame(interferogram(50 * (y**2 + x**2), (0.12, 0.16)))).quality
    assert quality.fringes is FringeState.OVERLAPPING
    assert "The bands overlap" in str(quality.warning)


@pytest.mark.parametrize("angles", [(0.2, 0.2 + np.pi / 2), (0.1, 0.1 + np.pi / 3, 0.1 - np.pi / 3)])
def test_several_carriers_in_one_frame_are_said_to_be_there(engine: PhaseEngine, angles: tuple[float, ...]) -> None:
    """A grating before a wavefront sensor makes such frames, and so do two reference beams."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    level = 0.5 + np.random.default_rng(0).normal(0, 0.01, SHAPE)
    for number, angle in enumerate(angles):
        turns = (np.sin(angle) * y + np.cos(angle) * x) / 6
        level += (0.15 - 0.01 * number) * np.cos(2 * np.pi * turns + 0.1 * number * CELL)
    quality = engine.retrieve(frame(np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8))).quality
    assert quality.fringes is FringeState.CLEAR
    assert f"{len(angles)} carriers share the frame" in str(quality.warning)
