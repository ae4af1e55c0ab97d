"""The learned background in the classical chain: ground found between objects of any sign, at any size."""

from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines import classical_cuda, stream
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.metrics import psnr_db
from qpi_live.models.training.simulate import simulate_pair

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.fringes import bump, frame, interferogram

NETWORK = BackgroundNetwork()
DATA = Path(__file__).parents[3] / "camera" / "data"


def discs(shape: tuple[int, int], heights_rad: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Round cells of these heights at random places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    phase = np.zeros(shape, np.float32)
    for height in heights_rad:
        radius = rng.uniform(0.06, 0.11) * min(shape)
        at_y, at_x = (rng.uniform(0, length) for length in shape)
        cap = np.maximum(1 - ((y - at_y) ** 2 + (x - at_x) ** 2) / radius**2, 0)
        phase = np.where(cap > 0, height * np.sqrt(cap), phase)
    return phase.astype(np.float32)


def aberration(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    return (40 * x - 25 * y + 6 * (x**2 + y**2) + 3 * x * y + 2 * x**3 - y**4 + 7).astype(np.float32)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))


@pytest.mark.parametrize(
    "shape", [(64, 64), (128, 128), (256, 320), (997, 1011), (200, 1000), (1200, 1920), (2048, 2048)]
)
def test_remove_at_any_size_and_aspect_leaves_flat_ground(shape: tuple[int, int]) -> None:
    truth = discs(shape, (6, 4, 8, 3, 5, 7))
    noise = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    phase = truth + aberration(shape) + noise
    LearnedBackground(NETWORK, shape, threads=1).remove(phase)
    assert rms(phase - truth - noise) < 0.06


def test_remove_of_objects_of_both_signs_keeps_both() -> None:
    shape = (512, 512)
    truth = discs(shape, (5, -2, 4, -1.5, 6, -2.5))
    phase = truth + aberration(shape) + np.random.default_rng(2).normal(0, 0.1, shape).astype(np.float32)
    LearnedBackground(NETWORK, shape, threads=1).remove(phase)
    ground = truth == 0
    assert rms((phase - truth)[ground]) < 0.13  # 0.1 of it noise
    assert phase[truth < -1.4].mean() == pytest.approx(truth[truth < -1.4].mean(), abs=0.1)


def test_remove_does_not_depend_on_the_aberration() -> None:
    shape = (300, 400)
    truth = discs(shape, (6, 4, 8, 3))
    first, second = truth.copy(), truth + aberration(shape)
    background = LearnedBackground(NETWORK, shape, threads=1)
    background.remove(first)
    background.remove(second)
    assert np.abs(first - second).max() < 0.01


def test_remove_of_a_round_field_looks_only_inside_it() -> None:
    shape = (400, 400)
    truth = discs(shape, (6, 4, 8, 3, 5), seed=3)
    y, x = np.mgrid[:400, :400]
    dark = np.hypot(y - 200, x - 200) > 170
    phase = truth + aberration(shape)
    phase[dark] = np.random.default_rng(4).uniform(-60, 60, int(dark.sum()))
    LearnedBackground(NETWORK, shape, threads=1).remove(phase, dark)
    assert rms((phase - truth)[~dark]) < 0.06


def test_remove_of_a_frame_without_anything_lit_changes_nothing() -> None:
    phase = np.ones((128, 128), np.float32)
    LearnedBackground(NETWORK, (128, 128), threads=1).remove(phase, np.ones((128, 128), bool))
    assert (phase == 1).all()


def test_fit_of_a_frame_without_ground_doubts_itself_more_than_of_an_empty_one() -> None:
    shape = (512, 512)
    rng = np.random.default_rng(5)
    empty = rng.normal(0, 0.1, shape).astype(np.float32)
    crowded = discs(shape, tuple(rng.uniform(3, 9, 400)), seed=6)
    background = LearnedBackground(NETWORK, shape, threads=1)
    doubts = [background.remove(phase).doubt_rad or 0.0 for phase in (empty, crowded)]
    assert doubts[0] < 0.05
    assert doubts[1] > 3 * doubts[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glioblastoma", "second"])
def test_retrieve_of_dense_frames_is_far_better_than_with_a_polynomial(name: str) -> None:
    instrument = Instrument.from_file(DATA / f"{name}.json")
    learned, polynomial = [], []
    for seed in range(77_000, 77_002):
        pair = simulate_pair(instrument, "dense", seed)
        truth = np.clip(pair.phase_rad, 0, 12)
        for background, scores in (("learned", learned), ("polynomial", polynomial)):
            engine = ClassicalEngine(EngineOptions(optics=instrument.optics, background=background, threads=1))
            scores.append(psnr_db(np.clip(engine.retrieve(frame(pair.pixels)).phase_rad, 0, 12), truth))
    assert np.median(learned) > 34
    assert np.median(learned) > np.median(polynomial) + 8


@pytest.mark.slow
def test_automatic_sideband_of_dense_frames_is_never_the_wrong_one() -> None:
    instrument = Instrument.from_file(DATA / "second.json")
    for seed in range(78_000, 78_004):
        pair = simulate_pair(instrument, "dense", seed)
        engine = ClassicalEngine(EngineOptions(optics=instrument.optics, background="learned", threads=1))
        phase = engine.retrieve(frame(pair.pixels)).phase_rad
        if engine._stream is not None and engine._stream.is_sign_known:
            assert np.corrcoef(phase[::8, ::8].ravel(), pair.phase_rad[::8, ::8].ravel())[0, 1] > 0.5


def test_automatic_sideband_of_crowded_cells_is_found_by_their_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "sign_of_objects", lambda *_, **__: 0)  # which cannot tell in every crowd
    pair = simulate_pair(Instrument.from_file(DATA / "second.json"), "dense", 78_001)
    for sideband in (0, 1):
        engine = ClassicalEngine(EngineOptions(background="learned", threads=1))
        pixels = pair.pixels if sideband == 0 else pair.pixels[::-1, ::-1].copy()  # turned: the other carrier
        phase = engine.retrieve(frame(pixels)).phase_rad
        truth = pair.phase_rad if sideband == 0 else pair.phase_rad[::-1, ::-1]
        assert np.corrcoef(phase[::8, ::8].ravel(), truth[::8, ::8].ravel())[0, 1] > 0.8


def test_learned_background_on_a_gpu_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler()
    device = HostDevice()
    monkeypatch.setattr(classical_cuda, "open_cuda_device", lambda: device)
    given, options = frame(interferogram(bump())), EngineOptions(background="learned", threads=1)
    there = classical_cuda.ClassicalCudaEngine(options)
    try:
        difference = there.retrieve(given).phase_rad - ClassicalEngine(options).retrieve(given).phase_rad
    finally:
        there.close()
    assert rms(difference[16:-16, 16:-16]) < 0.01


def test_calibration_frame_goes_before_the_learned_background() -> None:
    ripple = aberration((256, 320)) * 0.1 + 1.5 * np.sin(np.linspace(0, 20, 320))[None, :]
    engine = ClassicalEngine(EngineOptions(background="learned", threads=1))
    engine.use_calibration(frame(interferogram(ripple, seed=4)))
    result = engine.retrieve(frame(interferogram(bump() + ripple)))
    assert rms((result.phase_rad - bump())[16:-16, 16:-16]) < 0.15
    assert result.engine.detail["background"] == "calibration frame"


def test_identity_and_quality_name_the_learned_background_and_its_doubt() -> None:
    result = ClassicalEngine(EngineOptions(background="learned")).retrieve(frame(interferogram(bump())))
    assert result.engine.detail["background"] == "learned (background.onnx), of order 4"
    assert 0 < (result.quality.background_doubt_rad or 0) < 0.2
    assert result.quality.warning is None


def test_background_order_of_zero_takes_only_the_level_off() -> None:
    engine = ClassicalEngine(EngineOptions(background="learned", background_order=0))
    assert isinstance(engine._background((128, 128), None), BackgroundFit)


def test_unknown_background_is_refused_at_the_start() -> None:
    with pytest.raises(EngineUnavailable, match=r"polynomial, learned or the path .*, got 'spline'"):
        ClassicalEngine(EngineOptions(background="spline"))
