"""Phase for whoever sends an interferogram: one at a time, beside the line and never on its engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from math import isfinite
from time import monotonic_ns, perf_counter
from typing import TypeVar

from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.engine import EngineOptions, PhaseEngine, PhaseFrame, TunableEngine, open_engine
from qpi_live.models.metrics import psnr_db, rms_rad, ssim, without_level
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.live import LiveFrame

Answer = TypeVar("Answer")

MOST_INSIDE = 5
_MOST_ENGINES = 4


class Busy(Exception):
    """As many requests are inside as may be; the text says so."""


@dataclass(frozen=True, slots=True)
class Task:
    """One frame, and how it is to be inverted.

    Attributes:
        frame: the interferogram.
        camera: who took it.
        options: what the engine is asked for. Unless it names a carrier, that is found anew for every task: frames
            that are sent may come from any instrument.
        calibration: a sample-free interferogram to divide out, or None.
    """

    frame: Frame
    camera: CameraIdentity
    options: EngineOptions
    calibration: Frame | None = None


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
        self._inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one request, from before its body is read to its end; so bodies cannot fill the memory.

        Raises:
            Busy: all are taken.
        """
        if self._inside >= MOST_INSIDE:
            raise Busy(f"expected at most {MOST_INSIDE} interferograms at a time, and they are here; try again soon")
        self._inside += 1  # only ever touched on the event loop
        try:
            yield
        finally:
            self._inside -= 1

    async def retrieve(self, engine: str, task: Task) -> LiveFrame:
        """The phase that the engine called `engine` makes of the task.

        Raises:
            EngineError: no such engine, or it cannot invert the frame.
        """

        def one() -> LiveFrame:
            opened, taken_ns = self._engine(engine, task), monotonic_ns()
            return LiveFrame.timed(opened.retrieve(task.frame), task.camera, taken_ns)

        return await self._run(one)

    async def compare(self, a: str, b: str, task: Task) -> Agreement:
        """How far two engines agree on the task, and what each takes.

        Raises:
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
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _timed(self, name: str, task: Task) -> tuple[PhaseFrame, float]:
        engine = self._engine(name, task)
        engine.retrieve(task.frame)  # finds the carrier, which a stream does once and no frame waits for
        start = perf_counter()
        phase = engine.retrieve(task.frame)
        return phase, (perf_counter() - start) * 1e3

    def _engine(self, name: str, task: Task) -> PhaseEngine:
        # One thread: the other cores are the live engine's.
        options, frame = replace(task.options, threads=1), task.frame
        key = (name, frame.shape, frame.bit_depth, replace(options, sideband=Sideband.AUTO))
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
            engine.refind_carrier()
        return engine

    def _close_engines(self) -> None:
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
