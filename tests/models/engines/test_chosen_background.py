"""The background by default: a polynomial, and the learned one where that finds no ground."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.bench.frames import Example, instrument_examples
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions, PhaseEngine, open_engine
from qpi_live.models.engines import chosen_background
from qpi_live.models.engines.chosen_background import ChosenBackground
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.sideband import Sideband

INSTRUMENT = Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json"
SHAPE = (512, 512)
SEED = 610_000


@pytest.fixture(scope="module")
def examples() -> dict[str, Example]:
    instrument = Instrument.from_file(INSTRUMENT)
    return {name: instrument_examples(instrument, name, SHAPE, 1, SEED)[0] for name in ("nominal", "dense")}


@pytest.fixture
def engines() -> Iterator[dict[str, PhaseEngine]]:
    opened = {name: open_engine("goldstein", _options(name)) for name in (POLYNOMIAL, CHOSEN, LEARNED)}
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
    assert np.array_equal(phases[CHOSEN].phase_rad, phases[LEARNED].phase_rad)
    assert off[CHOSEN] < 0.5 * off[POLYNOMIAL]
    assert phases[CHOSEN].engine.detail["background_taken"] == LEARNED


def test_background_of_a_stream_changes_over_and_back_as_the_sample_does(
    examples: dict[str, Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_background, "_LOOKS_AGAIN_S", 0.0)
    engine = open_engine("goldstein", replace(_options(CHOSEN), is_live=True))
    taken = []
    for name in ("nominal", "dense", "dense", "nominal", "nominal"):
        phase = engine.retrieve(examples[name].frame)
        taken.append(phase.engine.detail["background_taken"])
        assert _off_rad(phase.phase_rad, examples[name].true_phase_rad) < 0.5
    engine.close()
    assert taken == [POLYNOMIAL, LEARNED, LEARNED, POLYNOMIAL, POLYNOMIAL]


def test_background_without_its_network_is_the_polynomial_and_says_so(
    examples: dict[str, Example], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    engine = open_engine("goldstein", replace(_options(CHOSEN), learned=tmp_path / "gone.onnx"))
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
