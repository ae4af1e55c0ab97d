"""One thread for one kind of work that takes long, so that it delays no other kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from qpi_live.service.viewing.doorbell import doorbell

Result = TypeVar("Result")


class WorkerClosed(RuntimeError):
    """The worker takes no more work."""


class Worker:
    """Does what it is given one by one, in a daemon thread: what it is at never keeps the program from ending."""

    def __init__(self, name: str) -> None:
        self._lock = Lock()
        self._todo: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._newest: Future[object] | None = None
        self._is_closed = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def at_hand(self) -> Future[object] | None:
        """The last of what it still has to do; None when it is idle."""
        newest = self._newest
        return None if newest is None or newest.done() else newest

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """What `work()` returns or raises, later.

        Raises:
            WorkerClosed: it was closed.
        """
        result: Future[Result] = Future()

        def do() -> None:
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)

        with self._lock:
            if self._is_closed:
                raise WorkerClosed("expected a service that runs, got one that is stopping")
            self._newest = result  # type: ignore[assignment]  # of whatever type
            self._todo.put(do)
        return result

    def close(self) -> None:
        """Take no more work; what was submitted is still done."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._todo.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait so long for the end, after `close`."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (do := self._todo.get()) is not None:
            do()
            del do  # a frame must not live on while there is nothing to do


async def until_done(future: Future[Result]) -> None:
    """Return when `future` is done, whatever came of it; giving up early leaves it as it is for others who wait."""
    if future.done():
        return
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: doorbell.ring(loop, done))
    await done.wait()


async def result_of(future: Future[Result]) -> Result:
    """What `future` gives or raises; giving up early leaves it as it is for others who wait."""
    await until_done(future)
    return future.result()
