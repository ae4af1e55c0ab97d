"""The fused engine: the measured phase, its level and slopes by the network that sees some frames."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from qpi_live.bench.frames import Example, instrument_examples
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.classical.block_map import BlockMap
from qpi_live.models.engine import LEARNED, EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.fused import FusedEngine
from qpi_live.models.engines.fusion.anchor import Mapped
from qpi_live.models.engines.fusion.network_picture import look_at
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.models.sideband import Sideband

from tests.models.fringes import bump, frame, interferogram

INSTRUMENT = Instrument.from_file(Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json")
SHAPE = (512, 512)
OPTIONS = EngineOptions(optics=INSTRUMENT.optics, sideband=Sideband.UPPER, threads=2)


@pytest.fixture(scope="module")
def crowded() -> list[Example]:
    return instrument_examples(INSTRUMENT, "dense", SHAPE, 4, first_seed=910_000)


@pytest.fixture
def fused() -> Iterator[FusedEngine]:
    engine = FusedEngine(OPTIONS)
    yield engine
    engine.close()


@pytest.fixture
def live() -> Iterator[FusedEngine]:
    engine = FusedEngine(replace(OPTIONS, is_live=True))
    yield engine
    engine.close()


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))


def error_rad(made: PhaseFrame, example: Example) -> float:
    return rms(np.clip(made.phase_rad, 0, 12) - np.clip(example.true_phase_rad, 0, 12))


def one_by_one(engine: FusedEngine | ClassicalEngine, examples: list[Example]) -> list[PhaseFrame]:
    made = []
    for example in examples:
        engine.forget_instrument()
        made.append(engine.retrieve(example.frame))
    return made


def test_retrieve_differs_from_the_measured_phase_by_a_polynomial_of_order_four_only(
    fused: FusedEngine, crowded: list[Example]
) -> None:
    measured = ClassicalEngine(replace(OPTIONS, background=LEARNED)).retrieve(crowded[0].frame)
    off = fused.retrieve(crowded[0].frame).phase_rad.astype(np.float64) - measured.phase_rad
    if measured.disputed_mask is not None:
        off[measured.disputed_mask] = 0
    y, x = (np.linspace(-1, 1, length) for length in SHAPE)
    terms = np.stack([np.outer(y**i, x**j).ravel() for i in range(5) for j in range(5 - i)], axis=1)
    rest = off.ravel() - terms @ np.linalg.lstsq(terms, off.ravel(), rcond=None)[0]
    assert np.abs(off).max() > 1e-3  # there was something to mend
    assert np.abs(rest).max() < 1e-3


def test_retrieve_of_crowded_frames_is_nearer_to_the_truth_than_either_alone(
    fused: FusedEngine, crowded: list[Example]
) -> None:
    made = one_by_one(fused, crowded)
    measured = one_by_one(ClassicalEngine(replace(OPTIONS, background=LEARNED)), crowded)
    fused_rad, measured_rad = (
        [error_rad(m, e) for m, e in zip(all_of, crowded, strict=True)] for all_of in (made, measured)
    )
    network_rad = [
        rms(m.network_rad - e.true_phase_rad) for m, e in zip(made, crowded, strict=True) if m.network_rad is not None
    ]
    assert np.mean(fused_rad) < np.mean(measured_rad)
    assert np.mean(fused_rad) < np.mean(network_rad)


def test_retrieve_with_blend_takes_noise_off(crowded: list[Example]) -> None:
    fused = FusedEngine(OPTIONS)
    blended = FusedEngine(replace(OPTIONS, blend=True))
    for example in crowded[:2]:
        plain, smooth = (one_by_one(engine, [example])[0] for engine in (fused, blended))
        assert error_rad(smooth, example) < error_rad(plain, example)


def test_stream_waits_for_the_network_once_and_is_looked_at_again_beside_the_line(
    live: FusedEngine, crowded: list[Example]
) -> None:
    first = live.retrieve(crowded[0].frame)
    assert "network" in first.stages_ms
    others: list[PhaseFrame] = []
    seen, deadline = {id(first.network_rad)}, monotonic() + 30
    while len(seen) < 3 and monotonic() < deadline:
        others.append(live.retrieve(replace(crowded[0].frame, sequence=1 + len(others))))
        seen.add(id(others[-1].network_rad))
        sleep(0.01)
    assert len(seen) >= 3, "the network never looked again"
    assert all("network" not in made.stages_ms for made in others)
    assert max(rms(made.phase_rad - first.phase_rad) for made in others) < 0.02


def test_stream_that_moves_to_another_place_is_not_held_to_the_place_before(
    live: FusedEngine, crowded: list[Example]
) -> None:
    live.retrieve(crowded[0].frame)
    elsewhere = live.retrieve(replace(crowded[1].frame, sequence=1))
    measured = ClassicalEngine(replace(OPTIONS, background=LEARNED, is_live=True))
    measured.retrieve(crowded[0].frame)
    assert np.array_equal(elsewhere.phase_rad, measured.retrieve(crowded[1].frame).phase_rad)
    assert "network" not in elsewhere.stages_ms
    assert elsewhere.network_rad is None
    deadline, number = monotonic() + 30, 2
    while (there := live.retrieve(replace(crowded[1].frame, sequence=number))).network_rad is None:
        assert monotonic() < deadline, "the network never looked at the new place"
        number += 1
        sleep(0.01)
    alone = FusedEngine(OPTIONS).retrieve(crowded[1].frame)
    assert rms(there.phase_rad - alone.phase_rad) < 0.05


def test_network_for_another_instrument_rests_and_says_so(fused: FusedEngine) -> None:
    made = fused.retrieve(frame(interferogram(bump())))
    assert made.engine.name == "fused"
    assert str(made.engine.detail["network"]).startswith("rests: The network was trained for fringes of")
    assert made.network_rad is None
    alone = ClassicalEngine(replace(OPTIONS, background=LEARNED)).retrieve(frame(interferogram(bump())))
    assert np.array_equal(made.phase_rad, alone.phase_rad)


def test_calibration_frame_goes_before_the_network(fused: FusedEngine, crowded: list[Example]) -> None:
    fused.retrieve(crowded[0].frame)
    fused.use_calibration(crowded[0].calibration, force=True)
    made = fused.retrieve(crowded[0].frame)
    assert made.engine.detail["network"] == "rests: a calibration frame is in force"
    assert made.network_rad is None
    fused.use_calibration(None)
    assert fused.retrieve(crowded[0].frame).network_rad is not None


def test_sideband_that_turns_the_sign_lets_the_network_rest(crowded: list[Example]) -> None:
    upside_down = FusedEngine(replace(OPTIONS, sideband=Sideband.LOWER))
    made = upside_down.retrieve(crowded[0].frame)
    assert made.engine.detail["network"] == "rests: the phase has the other sign than what it was trained for"


def test_frame_without_fringes_is_refused_and_the_stream_goes_on(fused: FusedEngine, crowded: list[Example]) -> None:
    fused.retrieve(crowded[0].frame)
    dark = replace(crowded[0].frame, pixels=np.zeros(SHAPE, np.uint8), sequence=1)
    with pytest.raises(InferenceError, match="expected"):
        fused.retrieve(dark)
    assert fused.retrieve(replace(crowded[0].frame, sequence=2)).network_rad is not None


def test_retrieve_of_frames_that_are_not_live_depends_on_no_other_frame(
    fused: FusedEngine, crowded: list[Example]
) -> None:
    first = fused.retrieve(crowded[0].frame)
    fused.retrieve(replace(crowded[1].frame, sequence=1))
    again = fused.retrieve(replace(crowded[0].frame, sequence=2))
    assert np.array_equal(again.phase_rad, first.phase_rad)


def test_look_at_a_true_picture_finds_the_polynomial_by_which_a_phase_is_off() -> None:
    y, x = (np.linspace(-1, 1, length) for length in SHAPE)
    grid = BlockMap(y, x)
    truth = bump(SHAPE).astype(np.float32)
    off = (0.4 + 0.3 * y[:, None] - 0.2 * x + 0.15 * x**2 * y[:, None]).astype(np.float32)
    found = look_at(grid, Mapped(*grid.means(truth + off)), truth, range_rad=12.0, doubt_rad=10.0)
    assert np.abs(np.polynomial.polynomial.polygrid2d(y, x, grid.matrix(found.values)) - off).max() < 0.03
    assert found.disagreement_rad == pytest.approx(rms(off), rel=0.02)
