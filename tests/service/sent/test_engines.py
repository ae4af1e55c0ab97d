"""Engines for frames that are sent: kept, tuned for each task, let go, within one budget of memory."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.sideband import Sideband
from qpi_live.service.sent import engines
from qpi_live.service.sent.engines import SentEngines
from qpi_live.service.sent.task import AskedEngine, Decoded, SentTooLarge

from tests.fakes import TunableFakeEngine

BYTES_PER_PX = 100
A = AskedEngine("a")


class WeighedFakeEngine(TunableFakeEngine):
    def working_bytes(self, shape: tuple[int, int]) -> int:
        return BYTES_PER_PX * shape[0] * shape[1]


def task(
    shape: tuple[int, int] = (32, 40), sideband: Sideband = Sideband.AUTO, calibration: Frame | None = None
) -> Decoded:
    frame = Frame(np.zeros(shape, np.uint8), 8, 0, 0, 0)
    camera = CameraIdentity("sent", "", "", "", shape, 8, None, None)
    return Decoded(frame, camera, EngineOptions(sideband=sideband), calibration)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[WeighedFakeEngine]:
    made: list[WeighedFakeEngine] = []

    def open_engine(name: str, options: EngineOptions, *, may_be_file: bool = False) -> PhaseEngine:
        assert options.threads == 1
        made.append(WeighedFakeEngine(name))
        return made[-1]

    monkeypatch.setattr(engines, "open_engine", open_engine)
    return made


def test_engine_of_one_size_is_opened_once_and_finds_the_carrier_each_time(opened: list[WeighedFakeEngine]) -> None:
    kept = SentEngines(1 << 30)
    kept.retrieve(A, task())
    kept.retrieve(A, task())
    assert [(engine.identity.name, engine.carrier_searches) for engine in opened] == [("a", 2)]


def test_engine_that_is_kept_takes_each_tasks_sideband_and_calibration(opened: list[WeighedFakeEngine]) -> None:
    frame = Frame(np.arange(1280, dtype=np.uint16).astype(np.uint8).reshape(32, 40), 8, 0, 0, 0)
    kept, seen = SentEngines(1 << 30), []
    for one in (task(sideband=Sideband.LOWER, calibration=frame), task()):
        kept.retrieve(A, one)
        seen.append((opened[0].sideband, opened[0].calibration))
    assert seen == [(Sideband.LOWER, frame), (Sideband.AUTO, None)]
    assert len(opened) == 1


def test_engines_beyond_the_most_are_closed_the_oldest_first(opened: list[WeighedFakeEngine]) -> None:
    kept = SentEngines(1 << 30)
    for height in (16, 17, 18, 19, 16, 20):
        kept.retrieve(A, task((height, 40)))
    assert [engine.closed for engine in opened] == [False, True, False, False, False]
    kept.close()
    assert all(engine.closed for engine in opened)


def test_engines_beyond_the_memory_are_closed_the_oldest_first(opened: list[WeighedFakeEngine]) -> None:
    kept = SentEngines(2 * BYTES_PER_PX * 20 * 40)
    for height in (20, 19, 18):
        kept.retrieve(A, task((height, 40)))
    assert [engine.closed for engine in opened] == [True, False, False]


def test_frame_that_no_engine_could_hold_is_refused_before_any_work(opened: list[WeighedFakeEngine]) -> None:
    kept = SentEngines(BYTES_PER_PX * 30 * 40)
    with pytest.raises(SentTooLarge, match=r"at most 1200 pixels for the engine 'a' .* got 31 × 40"):
        kept.retrieve(A, task((31, 40)))
    assert opened[0].closed
    assert opened[0].carrier_searches == 0
