"""Phase for whoever sends an interferogram: one at a time, beside the line, in a process that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from qpi_live.camera.frame import Frame
from qpi_live.service.http.bounded_threads import Busy
from qpi_live.service.sent.task import (
    AskedEngine,
    EnginesCompared,
    SentError,
    SentImage,
    SentRefused,
    SentTookTooLong,
    SentTooLarge,
    Task,
)
from qpi_live.service.sent.worker import SentWorker, WorkerEnded
from qpi_live.service.view import View
from qpi_live.service.viewing.frame_file import FrameFile
from qpi_live.service.viewing.image_formats import Format

MOST_INSIDE = 5
_START_S = 300.0  # importing and compiling, on a busy machine with a cold disk
_LOOK_S = 0.05
_ROOM_BESIDE_ENGINES = 768 << 20  # the process itself, and an image as it is decoded


class OnDemand:
    """Runs tasks one after the other in a process of its own, which is started when first needed and kept.

    A task that takes too much memory or time, or whose sender is gone, takes the process with it; the next has a new
    one.

    Args:
        budget_bytes: what the engines that are open for frames that are sent may take.
        seconds: what one task may take, from when its turn comes.
    """

    def __init__(self, budget_bytes: int, seconds: float) -> None:
        self._budget_bytes = budget_bytes
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "sent")
        self._turn = asyncio.Lock()
        self._worker: SentWorker | None = None
        self._inside = 0
        self._is_closed = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for one request, from before its body is read to its end; so bodies cannot fill the memory.

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

    async def decode(self, image: SentImage) -> Frame:
        """The interferogram in a file's bytes.

        Raises:
            SentError: it is none, or takes too much.
        """
        frame: Frame = await self._ask("decode", image)
        frame.pixels.flags.writeable = False  # which travelling between processes forgets
        return frame

    async def retrieve(self, engine: AskedEngine, task: Task, view: View, image_format: Format) -> FrameFile:
        """A view of the phase that the engine makes of the task, as a file.

        Raises:
            SentError: no such engine, it cannot invert the frame, or that takes too much.
        """
        file: FrameFile = await self._ask("retrieve", engine, task.for_sending(), view, image_format)
        return file

    async def compare(self, a: AskedEngine, b: AskedEngine, task: Task) -> EnginesCompared:
        """How far two engines agree on the task, and what each takes.

        Raises:
            SentError: no such engine, it cannot invert the frame, or that takes too much.
        """
        agreement: EnginesCompared = await self._ask("compare", a, b, task.for_sending())
        return agreement

    async def warm_up(self) -> None:
        """Start the process, so that the first frame that is sent need not wait for it."""
        async with self._turn:
            with suppress(SentError):
                await self._running()

    def close(self) -> None:
        """Take no more tasks and end the process, whatever it does."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, verb: str, *arguments: object) -> Any:
        async with self._turn:
            worker = await self._running()
            try:
                answer = await self._watched(worker, self._seconds, verb, *arguments)
            except SentTooLarge:
                self._let_go(worker)  # what filled the memory is not left behind
                raise
            if (worker.resident_bytes or 0) > self._budget_bytes // 2 + _ROOM_BESIDE_ENGINES:
                self._let_go(worker)
            return answer

    async def _running(self) -> SentWorker:
        """The process, up and answering."""
        if self._is_closed:
            raise SentRefused("expected a running service, and it is stopping")
        if self._worker is not None and self._worker.is_alive:
            return self._worker
        self._worker = worker = await asyncio.get_running_loop().run_in_executor(
            self._thread, SentWorker, self._budget_bytes
        )
        await self._watched(worker, _START_S, "ready")
        return worker

    async def _watched(self, worker: SentWorker, seconds: float, verb: str, *arguments: object) -> Any:
        """What the process answers; it is killed where it takes too much, or where nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._thread, worker.ask, verb, *arguments)
        until, why = loop.time() + seconds, None
        try:
            while not (await asyncio.wait({asked}, timeout=_LOOK_S))[0]:
                why = why or self._why_kill(worker, loop.time() > until)
                if why is not None:
                    worker.kill()
            return asked.result()
        except WorkerEnded:
            self._let_go(worker)
            raise why or SentRefused("expected a frame that can be inverted, got one that ended the process") from None
        except asyncio.CancelledError:
            self._let_go(worker)
            with suppress(WorkerEnded, SentError):
                await asked
            raise

    def _why_kill(self, worker: SentWorker, is_late: bool) -> SentError | None:
        if is_late:
            return SentTookTooLong(
                f"expected a frame that takes at most sent_seconds = {self._seconds:g} s, got one that takes longer; "
                "crop it or choose another engine"
            )
        resident = worker.resident_bytes
        if resident is not None and resident > self._budget_bytes + _ROOM_BESIDE_ENGINES:
            return SentTooLarge(
                f"expected a frame that fits into sent_memory_mb = {self._budget_bytes >> 20}, got one that does not; "
                "crop it or choose another engine"
            )
        return None

    def _let_go(self, worker: SentWorker) -> None:
        worker.kill()
        if self._worker is worker:
            self._worker = None
