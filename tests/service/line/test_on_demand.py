"""Frames that are sent: bounded, beside the line, with engines that are kept and let go."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.service.line import on_demand
from qpi_live.service.line.on_demand import MOST_INSIDE, Busy, OnDemand, Task

from tests.fakes import FakeEngine, TunableFakeEngine

Answer = TypeVar("Answer")


def run(coroutine: Coroutine[None, None, Answer]) -> Answer:
    """What the coroutine returns, run in a thread of its own: a browser's test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def task(shape: tuple[int, int] = (32, 40), sideband: str = "auto", calibration: Frame | None = None) -> Task:
    frame = Frame(np.zeros(shape, np.uint8), 8, 0, 0, 0)
    camera = CameraIdentity("sent", "", "", "", shape, 8, None, None)
    return Task(frame, camera, EngineOptions(sideband=sideband), calibration)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[TunableFakeEngine]:
    engines: list[TunableFakeEngine] = []

    def open_engine(name: str, options: EngineOptions) -> PhaseEngine:
        engines.append(TunableFakeEngine(name))
        return engines[-1]

    monkeypatch.setattr(on_demand, "open_engine", open_engine)
    return engines


def test_engine_of_one_size_is_opened_once_and_finds_the_carrier_each_time(opened: list[TunableFakeEngine]) -> None:
    async def twice() -> None:
        worker = OnDemand()
        await worker.retrieve("a", task())
        await worker.retrieve("a", task())

    run(twice())
    assert [(engine.identity.name, engine.carrier_searches) for engine in opened] == [("a", 2)]


def test_engine_that_is_kept_takes_each_tasks_sideband_and_calibration(opened: list[TunableFakeEngine]) -> None:
    frame = Frame(np.arange(80, dtype=np.uint8).reshape(8, 10), 8, 0, 0, 0)

    async def tune() -> list[tuple[str, Frame | None]]:
        worker = OnDemand()
        seen = []
        for one in (task(sideband="lower", calibration=frame), task()):
            await worker.retrieve("a", one)
            seen.append((opened[0].sideband, opened[0].calibration))
        return seen

    assert run(tune()) == [("lower", frame), ("auto", None)]
    assert len(opened) == 1


def test_engines_beyond_the_most_are_closed_the_oldest_first(opened: list[TunableFakeEngine]) -> None:
    async def many() -> None:
        worker = OnDemand()
        for height in (16, 17, 18, 19, 16, 20):
            await worker.retrieve("a", task((height, 40)))

    run(many())
    assert [engine.closed for engine in opened] == [False, True, False, False, False]


def test_places_beyond_the_most_are_refused_and_come_free_again() -> None:
    async def fill() -> None:
        worker = OnDemand()
        places = [worker.place() for _ in range(MOST_INSIDE)]
        for place in places:
            await place.__aenter__()
        with pytest.raises(Busy, match="expected at most 5 interferograms"):
            await worker.place().__aenter__()
        await places[0].__aexit__(None, None, None)
        async with worker.place():
            pass

    run(fill())


def test_tasks_run_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    both_sent = Event()

    class CountingEngine(FakeEngine):
        def retrieve(self, frame: Frame):
            nonlocal running, most
            running += 1
            most = max(most, running)
            assert both_sent.wait(30)
            result = super().retrieve(frame)
            running -= 1
            return result

    monkeypatch.setattr(on_demand, "open_engine", lambda name, options: CountingEngine(name))

    async def together() -> None:
        worker = OnDemand()
        tasks = [asyncio.create_task(worker.retrieve("a", task())) for _ in range(3)]
        await asyncio.sleep(0)  # let each of them reach the worker
        both_sent.set()
        await asyncio.gather(*tasks)

    run(together())
    assert most == 1


def test_on_demand_at_the_end_closes_its_engines(opened: list[TunableFakeEngine]) -> None:
    async def one() -> OnDemand:
        worker = OnDemand()
        await worker.retrieve("a", task())
        return worker

    worker = run(one())
    worker.close()
    worker.close()
    worker._worker.shutdown(wait=True)
    assert opened[0].closed
