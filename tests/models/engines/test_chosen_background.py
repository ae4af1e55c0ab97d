"""The background by default: a polynomial, and the learned one where that finds no ground."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.bench.frames import Example, instrument_examples
from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions, PhaseEngine
from qpi_live.models.engines import chosen_background, tracked_background
from qpi_live.models.engines.chosen_background import ChosenBackground
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.engines.off_axis import OffAxisEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.models.sideband import Sideband

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.chains import CHAINS, MakeEngine, on_device

INSTRUMENT = Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json"
SHAPE = (512, 512)
SEED = 610_000


@pytest.fixture(scope="module")
def examples() -> dict[str, Example]:
    instrument = Instrument.from_file(INSTRUMENT)
    return {name: instrument_examples(instrument, name, SHAPE, 1, SEED)[0] for name in ("nominal", "dense")}


@pytest.fixture(params=CHAINS)
def make(request: pytest.FixtureRequest) -> MakeEngine:
    return CHAINS[request.param]


@pytest.fixture
def engines(make: MakeEngine) -> Iterator[dict[str, PhaseEngine]]:
    opened = {name: make(_options(name)) for name in (POLYNOMIAL, CHOSEN, LEARNED)}
    yield opened
    for engine in opened.values():
        engine.close()


def _options(background: str) -> EngineOptions:
    return EngineOptions(background=background, sideband=Sideband.UPPER)


def _off_rad(phase_rad: NDArray[np.float32], truth_rad: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((phase_rad - truth_rad) ** 2)))


def test_background_of_cells_with_ground_between_them_is_the_polynomial_bit_by_bit(
    examples: dict[str, Example], engines: dict[str, PhaseEngine]
) -> None:
    polynomial, chosen = (engines[name].retrieve(examples["nominal"].frame) for name in (POLYNOMIAL, CHOSEN))
    assert np.array_equal(polynomial.phase_rad, chosen.phase_rad)
    assert chosen.engine.detail["background_taken"] == POLYNOMIAL


def test_background_of_crowded_cells_is_the_learned_one_and_far_better(
    examples: dict[str, Example], engines: dict[str, PhaseEngine]
) -> None:
    dense = examples["dense"]
    phases = {name: engine.retrieve(dense.frame) for name, engine in engines.items()}
    off = {name: _off_rad(phase.phase_rad, dense.true_phase_rad) for name, phase in phases.items()}
    assert np.allclose(phases[CHOSEN].phase_rad, phases[LEARNED].phase_rad, atol=1e-4)  # there the polynomial was off
    assert off[CHOSEN] < 0.5 * off[POLYNOMIAL]
    assert phases[CHOSEN].engine.detail["background_taken"] == LEARNED


def test_background_of_a_stream_changes_over_and_back_as_the_sample_does(
    examples: dict[str, Example], make: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_background, "_LOOKS_AGAIN_S", 0.0)
    engine = make(replace(_options(CHOSEN), is_live=True))
    taken = []
    for name in ("nominal", "dense", "dense", "nominal", "nominal"):
        phase = engine.retrieve(examples[name].frame)
        taken.append(phase.engine.detail["background_taken"])
        assert _off_rad(phase.phase_rad, examples[name].true_phase_rad) < 0.5
    engine.close()
    assert taken == [POLYNOMIAL, LEARNED, LEARNED, POLYNOMIAL, POLYNOMIAL]


def test_background_without_its_network_is_the_polynomial_and_says_so(
    examples: dict[str, Example], make: MakeEngine, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    engine = make(replace(_options(CHOSEN), learned=tmp_path / "gone.onnx"))
    for _ in range(2):
        assert engine.retrieve(examples["dense"].frame).engine.detail["background_taken"] == POLYNOMIAL
    engine.close()
    assert caplog.text.count("a polynomial alone") == 1


def test_background_of_which_the_network_is_unsure_stays_and_its_doubt_is_how_far_they_are_apart() -> None:
    rng = np.random.default_rng(0)
    phase_rad = np.cumsum(rng.normal(0, 0.3, (128, 128)).astype(np.float32), axis=0)  # no ground anywhere
    fit = BackgroundFit(phase_rad.shape)
    expected = fit.remove(phase_rad.copy())
    background = ChosenBackground(fit, lambda: LearnedBackground(BackgroundNetwork(), phase_rad.shape), is_live=False)
    found = background.remove(phase_rad.copy())
    assert np.array_equal(found.coefficients, expected.coefficients)
    assert found.doubt_rad is not None
    assert found.doubt_rad > 0.2


def twins(device: Device, options: EngineOptions) -> tuple[OffAxisEngine, OffAxisEngine]:
    return ClassicalEngine(options), ClassicalCudaEngine(options, open_device=lambda: device)


def assert_twins(host: PhaseEngine, twin: PhaseEngine, frame: Frame) -> PhaseFrame:
    """Both engines' phases and what they say of them are the same; the host's."""
    ours, theirs = (engine.retrieve(frame) for engine in (host, twin))
    assert theirs.engine.detail["background_taken"] == ours.engine.detail["background_taken"]
    assert np.mean(np.abs(theirs.phase_rad - ours.phase_rad) > 1e-2) < 1e-3
    assert theirs.quality.warning == ours.quality.warning
    assert theirs.quality.background_order == ours.quality.background_order
    assert (theirs.quality.background_doubt_rad is None) == (ours.quality.background_doubt_rad is None)
    if ours.quality.background_doubt_rad is not None:
        assert theirs.quality.background_doubt_rad == pytest.approx(ours.quality.background_doubt_rad, abs=5e-3)
    return ours


def test_backgrounds_of_frames_are_chosen_on_a_device_as_on_the_host(
    examples: dict[str, Example], device: Device
) -> None:
    missing = np.zeros(SHAPE, np.bool_)
    missing[200:280, 100:150] = True
    ground = np.zeros(SHAPE, np.bool_)
    ground[:60, :120] = True
    host, twin = twins(device, _options(CHOSEN))
    for name, taken in (("nominal", POLYNOMIAL), ("dense", LEARNED)):
        given = examples[name].frame
        for frame in (given, replace(given, missing=missing), replace(given, ground=ground)):
            assert assert_twins(host, twin, frame).engine.detail["background_taken"] == taken
    host.close()
    twin.close()


def test_background_beside_a_calibration_frame_is_chosen_on_a_device_as_on_the_host(
    examples: dict[str, Example], device: Device
) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    given = examples["dense"].frame
    carrier = find_carrier(given.pixels, given.bit_depth)
    fringes = 120 + 80 * np.cos(2 * np.pi * (carrier.fy * y + carrier.fx * x))
    host, twin = twins(device, _options(CHOSEN))
    for engine in (host, twin):
        engine.use_calibration(replace(given, pixels=fringes.astype(given.pixels.dtype)), force=True)
    for name in ("nominal", "dense"):
        assert_twins(host, twin, examples[name].frame)
    host.close()
    twin.close()


def test_backgrounds_of_a_stream_change_over_and_back_on_a_device_as_on_the_host(
    examples: dict[str, Example], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two looks at the polynomial, while the network's background is followed."""
    monkeypatch.setattr(tracked_background, "_RESTS", np.inf)  # no looks beside the line, which come at any time
    host, twin = twins(device, replace(_options(CHOSEN), is_live=True))
    now_s = 100.0
    monkeypatch.setattr(chosen_background, "monotonic", lambda: now_s)
    frames = (("nominal", 0.1), ("dense", 0.1), ("dense", 0.1), ("dense", 2), ("nominal", 0.1), ("nominal", 2))
    taken = []
    for name, after_s in frames:
        now_s += after_s
        taken.append(assert_twins(host, twin, examples[name].frame).engine.detail["background_taken"])
    assert taken == [POLYNOMIAL, LEARNED, LEARNED, LEARNED, LEARNED, POLYNOMIAL]
    host.close()
    twin.close()


def test_network_that_fails_on_a_device_costs_its_frame_alone(
    examples: dict[str, Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, dense = on_device(_options(CHOSEN)), examples["dense"].frame
    expected = twin.retrieve(dense)

    def fail(*_: object) -> None:
        raise InferenceError("network failed", "expected a background, got none")

    with monkeypatch.context() as failing:
        failing.setattr(BackgroundNetwork, "judge", fail)
        with pytest.raises(InferenceError, match="expected a background"):
            twin.retrieve(dense)
    assert np.array_equal(twin.retrieve(dense).phase_rad, expected.phase_rad)
    twin.close()


def test_frame_with_ground_costs_a_device_no_more_than_the_polynomial_alone(examples: dict[str, Example]) -> None:
    needs_compiler()
    costs = []
    for background in (POLYNOMIAL, CHOSEN):
        device = HostDevice()
        engine = ClassicalCudaEngine(_options(background), open_device=lambda device=device: device)
        engine.retrieve(examples["nominal"].frame)
        before = len(device.launches), device.uploaded_bytes, device.downloaded_bytes
        engine.retrieve(examples["nominal"].frame)
        moved = device.uploaded_bytes - before[1], device.downloaded_bytes - before[2]
        costs.append((device.launches[before[0] :], moved))
        engine.close()
    assert costs[0] == costs[1]
