"""Phase for whoever sends an interferogram: one at a time, beside the line and never on its engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter
from typing import TypeVar

from camera.frame import Frame
from models.engine import EngineOptions, PhaseEngine, PhaseFrame, TunableEngine, open_engine
from models.metrics import psnr_db, rms_rad, ssim, without_level

Answer = TypeVar("Answer")

MOST_WAITING = 4
_MOST_ENGINES = 4


class Busy(Exception):
    """As many requests wait as may; the text says so."""


@dataclass(frozen=True, slots=True)
class Task:
    """One frame, and how it is to be inverted.

    Attributes:
        frame: the interferogram.
        options: what the engine is asked for.
        calibration: a sample-free interferogram to divide out, or None.
        is_stream: whether the frame comes from the live stream, whose carrier stays where it is; a frame that was sent
            may come from any instrument, so its carrier is found anew.
    """

    frame: Frame
    options: EngineOptions
    calibration: Frame | None = None
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two engines on one frame, the level between them taken off; `psnr_db` is None where they are equal."""

    rms_rad: float
    psnr_db: float | None
    ssim: float
    a_ms: float
    b_ms: float


class OnDemand:
    """Runs tasks in one worker thread, with engines of its own that it keeps for the sizes seen last."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "on-demand")
        self._engines: OrderedDict[tuple[object, ...], PhaseEngine] = OrderedDict()
        self._waiting = 0

    async def retrieve(self, engine: str, task: Task) -> PhaseFrame:
        """The phase that the engine called `engine` makes of the task.

        Raises:
            Busy: too many wait.
            EngineError: no such engine, or it cannot invert the frame.
        """
        return await self._run(lambda: self._engine(engine, task).retrieve(task.frame))

    async def compare(self, a: str, b: str, task: Task) -> Agreement:
        """How far two engines agree on the task, and what each takes.

        Raises:
            Busy: too many wait.
            EngineError: no such engine, or it cannot invert the frame.
        """

        def both() -> Agreement:
            (phase_a, a_ms), (phase_b, b_ms) = self._timed(a, task), self._timed(b, task)
            shifted = without_level(phase_a.phase_rad, phase_b.phase_rad)
            psnr = psnr_db(shifted, phase_b.phase_rad)
            return Agreement(
                rms_rad(shifted, phase_b.phase_rad),
                psnr if isfinite(psnr) else None,
                ssim(shifted, phase_b.phase_rad),
                a_ms,
                b_ms,
            )

        return await self._run(both)

    def close(self) -> None:
        """Take no more tasks and let go of the engines, once the task at hand is done."""
        with suppress(RuntimeError):  # closed already
            self._worker.submit(self._close_engines)
        self._worker.shutdown(wait=False)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        if self._waiting >= MOST_WAITING:
            raise Busy(f"expected at most {MOST_WAITING} interferograms at a time, and they are here; try again soon")
        self._waiting += 1  # only ever touched on the event loop
        done = asyncio.get_running_loop().run_in_executor(self._worker, work)
        done.add_done_callback(self._one_done)
        # Shielded, since a thread cannot be cancelled: who hangs up must not make room for a further one.
        return await asyncio.shield(done)

    def _one_done(self, done: asyncio.Future[Answer]) -> None:
        self._waiting -= 1
        if not done.cancelled():
            done.exception()  # read, so that a caller who hung up leaves no complaint

    def _timed(self, name: str, task: Task) -> tuple[PhaseFrame, float]:
        engine = self._engine(name, task)
        engine.retrieve(task.frame)  # finds the carrier, which a stream does once and no frame waits for
        start = perf_counter()
        phase = engine.retrieve(task.frame)
        return phase, (perf_counter() - start) * 1e3

    def _engine(self, name: str, task: Task) -> PhaseEngine:
        options, frame = task.options, task.frame
        key = (name, frame.shape, frame.bit_depth, replace(options, sideband="auto"))
        engine = self._engines.pop(key, None)
        if engine is None:
            engine = open_engine(name, options)
            engine.warm_up(frame.shape, frame.bit_depth)
        self._engines[key] = engine
        while len(self._engines) > _MOST_ENGINES:
            self._engines.popitem(last=False)[1].close()
        if isinstance(engine, TunableEngine):
            engine.use_sideband(options.sideband)
            engine.use_calibration(task.calibration)
            if not task.is_stream:
                engine.refind_carrier()
        return engine

    def _close_engines(self) -> None:
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
