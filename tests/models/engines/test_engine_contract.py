"""What every engine promises, run against each engine that can be made here."""

from collections.abc import Iterator

import numpy as np
import pytest
from qpi_live.models.engine import EngineOptions, PhaseEngine, engine_names, open_engine
from qpi_live.models.engines import classical_cuda
from qpi_live.models.errors import EngineError, EngineUnavailable

from tests.cuda_host import HostDevice, needs_compiler
from tests.models.fringes import SHAPE, bump, frame, interferogram


@pytest.fixture(params=["goldstein", "goldstein learned", "goldstein-cuda", "fused"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhaseEngine]:
    name, _, background = request.param.partition(" ")
    assert name in engine_names()
    if name == "goldstein-cuda":
        needs_compiler()
        device = HostDevice()
        monkeypatch.setattr(classical_cuda, "open_cuda_device", lambda: device)
    engine = open_engine(name, EngineOptions(threads=2, background=background or "polynomial"))
    engine.warm_up(SHAPE, 8)
    yield engine
    engine.close()


def test_retrieve_of_a_known_cell_gives_its_phase(engine: PhaseEngine) -> None:
    phase = engine.retrieve(frame(interferogram(bump()))).phase_rad
    error = (phase - bump())[16:-16, 16:-16]
    assert np.sqrt(np.mean(error**2)) < 0.15


def test_retrieve_returns_read_only_float32_of_the_frames_shape(engine: PhaseEngine) -> None:
    given = frame(interferogram(bump()))
    result = engine.retrieve(given)
    assert result.frame is given
    assert result.phase_rad.dtype == np.float32
    assert result.phase_rad.shape == SHAPE
    assert np.isfinite(result.phase_rad).all()
    with pytest.raises(ValueError, match="read-only"):
        result.phase_rad[0, 0] = 1


def test_retrieve_twice_gives_equal_arrays_that_share_no_memory(engine: PhaseEngine) -> None:
    first, second = (engine.retrieve(frame(interferogram(bump()), sequence=n)).phase_rad for n in (0, 1))
    assert np.array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_retrieve_leaves_the_frame_as_it_was(engine: PhaseEngine) -> None:
    given = frame(interferogram(bump()))
    before = given.pixels.copy()
    engine.retrieve(given)
    assert np.array_equal(given.pixels, before)


def test_retrieve_names_the_engine_and_times_its_stages(engine: PhaseEngine) -> None:
    result = engine.retrieve(frame(interferogram(bump())))
    assert result.engine.name == engine.identity.name
    assert result.stages_ms
    assert all(took_ms >= 0 for took_ms in result.stages_ms.values())


def test_retrieve_of_a_frame_that_cannot_be_inverted_raises_an_engine_error_and_goes_on(engine: PhaseEngine) -> None:
    engine.retrieve(frame(interferogram(bump())))
    with pytest.raises(EngineError, match="expected"):
        engine.retrieve(frame(np.zeros((100, 90), np.uint8)))
    assert engine.retrieve(frame(interferogram(bump()), sequence=2)).frame.sequence == 2


def test_warm_up_for_a_size_it_cannot_take_says_which_it_can(engine: PhaseEngine) -> None:
    with pytest.raises(EngineUnavailable, match=r"expected frames of at least .* got 8 × 8"):
        engine.warm_up((8, 8), 8)


def test_close_twice_is_harmless(engine: PhaseEngine) -> None:
    engine.close()
    engine.close()


def test_open_engine_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(EngineUnavailable, match=r"expected an engine among .*goldstein.* got 'herraez'"):
        open_engine("herraez", EngineOptions())
