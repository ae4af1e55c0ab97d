"""The process for frames that are sent: real frames come back, and what takes too much takes only itself down."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO
from time import monotonic

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.engine import EngineOptions
from qpi_live.service.http.bounded_threads import Busy
from qpi_live.service.sent.on_demand import MOST_INSIDE, OnDemand
from qpi_live.service.sent.task import AskedEngine, SentImage, SentRefused, SentTookTooLong, SentTooLarge, Task
from qpi_live.service.view import Layer, View
from qpi_live.service.wire import FrameHeader

from tests.fakes import fringes

GOLDSTEIN = AskedEngine("goldstein")


def npy(values: NDArray[np.generic]) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


def task(shape: tuple[int, int] = (128, 160)) -> Task:
    return Task(SentImage(npy(fringes(shape, 0))), EngineOptions())


def run(work: Callable[[OnDemand], Awaitable[None]], budget_mb: int = 2048, seconds: float = 120.0) -> None:
    """Do it with a process of its own, in a thread of its own: a browser's test may have left a loop in this one."""

    async def all_of_it() -> None:
        async with running(budget_mb, seconds) as on_demand:
            await work(on_demand)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, all_of_it()).result()


@asynccontextmanager
async def running(budget_mb: int, seconds: float) -> AsyncIterator[OnDemand]:
    on_demand = OnDemand(budget_mb << 20, seconds)
    try:
        yield on_demand
    finally:
        on_demand.close()


def pid_of(on_demand: OnDemand) -> int:
    assert on_demand._worker is not None
    return on_demand._worker._process.pid


def test_frame_that_is_sent_comes_back_as_the_engines_phase_from_one_process() -> None:
    async def work(on_demand: OnDemand) -> None:
        files = [await on_demand.retrieve(GOLDSTEIN, task(), View(Layer.PHASE), "npy") for _ in range(2)]
        header = FrameHeader.model_validate_json(files[0].header)
        assert (header.camera, header.engine.name, header.shape) == ("sent", "goldstein", (128, 160))
        assert np.ptp(np.load(BytesIO(files[0].body))[20:-20, 20:-20]) == pytest.approx(4.0, abs=0.6)
        first = pid_of(on_demand)
        agreement = await on_demand.compare(GOLDSTEIN, GOLDSTEIN, task())
        assert (agreement.rms_rad, agreement.psnr_db, agreement.shape) == (0.0, None, (128, 160))
        assert pid_of(on_demand) == first

    run(work)


@pytest.mark.parametrize("body", [b"nonsense", b"II*\0" + bytes(100), npy(np.full((128, 160), 9, np.uint8))])
def test_frame_that_is_none_is_refused_and_the_process_goes_on(body: bytes) -> None:
    async def work(on_demand: OnDemand) -> None:
        with pytest.raises(SentRefused, match="expected"):
            await on_demand.retrieve(GOLDSTEIN, Task(SentImage(body), EngineOptions()), View(Layer.PHASE), "npy")
        first = pid_of(on_demand)
        await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))
        assert pid_of(on_demand) == first

    run(work)


@pytest.mark.parametrize("engine", ["nasprnet", "goldstein", "auto"])
def test_frame_beyond_the_engines_memory_is_refused_before_it_is_inverted(engine: str) -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        began = monotonic()
        with pytest.raises(SentTooLarge, match=r"at most \d+ pixels for the engine .* got 2048 × 2048"):
            await on_demand.retrieve(AskedEngine(engine), task((2048, 2048)), View(Layer.PHASE), "npy")
        assert monotonic() - began < 20

    run(work, budget_mb=64)


def test_frame_that_takes_too_long_is_given_up_and_the_next_one_is_served() -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        first = pid_of(on_demand)
        os.kill(first, signal.SIGSTOP)  # as hard as any work
        with pytest.raises(SentTookTooLong, match="at most sent_seconds"):
            await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))
        assert not os.path.exists(f"/proc/{first}")
        on_demand._seconds = 120
        await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))
        assert pid_of(on_demand) != first

    run(work, seconds=0.5)


def test_frame_whose_process_takes_too_much_memory_is_given_up() -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        first = pid_of(on_demand)
        on_demand._budget_bytes = -(2 << 30)  # what it has taken already is too much
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(SentTooLarge, match="sent_memory_mb"):
            await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))
        assert not os.path.exists(f"/proc/{first}")

    run(work)


def test_frame_whose_sender_is_gone_is_given_up_at_once() -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        first = pid_of(on_demand)
        os.kill(first, signal.SIGSTOP)
        asked = asyncio.ensure_future(on_demand.decode(SentImage(npy(fringes((64, 64), 0)))))
        await asyncio.sleep(0.1)
        asked.cancel()
        began = monotonic()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert monotonic() - began < 2
        assert not os.path.exists(f"/proc/{first}")
        await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))

    run(work)


def test_process_that_dies_is_one_refused_frame_and_started_again() -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        os.kill(pid_of(on_demand), signal.SIGSTOP)
        asked = asyncio.ensure_future(on_demand.decode(SentImage(npy(fringes((64, 64), 0)))))
        await asyncio.sleep(0.1)
        os.kill(pid_of(on_demand), signal.SIGKILL)
        with pytest.raises(SentRefused, match="ended the process"):
            await asked
        await on_demand.decode(SentImage(npy(fringes((64, 64), 0))))

    run(work)


def test_slots_beyond_the_most_are_refused_and_come_free_again() -> None:
    async def work(on_demand: OnDemand) -> None:
        slots = [on_demand.slot() for _ in range(MOST_INSIDE)]
        for slot in slots:
            await slot.__aenter__()
        with pytest.raises(Busy, match="expected at most 5 interferograms"):
            await on_demand.slot().__aenter__()
        await slots[0].__aexit__(None, None, None)
        async with on_demand.slot():
            pass

    run(work)


def test_process_at_the_end_is_gone_whatever_it_does() -> None:
    async def work(on_demand: OnDemand) -> None:
        await on_demand.warm_up()
        pid = pid_of(on_demand)
        os.kill(pid, signal.SIGSTOP)
        on_demand.close()
        on_demand.close()
        assert not os.path.exists(f"/proc/{pid}")
        with pytest.raises(SentRefused, match="stopping"):
            await on_demand.decode(SentImage(b""))

    run(work)
