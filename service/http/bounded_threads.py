"""A few threads of their own for requests that may hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


class Busy(Exception):
    """As many requests are inside as may be; the text says so."""


class BoundedThreads:
    """Runs `threads` requests at a time and lets `most` wait or run; the next is refused at once.

    Args:
        what: what is asked, for people.
        threads: how many run at a time.
        most: how many may be inside.
    """

    def __init__(self, what: str, threads: int, most: int) -> None:
        self._what = what
        self._most = most
        self._inside = 0
        self._threads = ThreadPoolExecutor(threads, what)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns.

        Raises:
            Busy: as many are inside as may be.
        """
        if self._inside >= self._most:
            raise Busy(f"expected {self._what} to answer, and {self._most} requests wait for that; try again soon")
        self._inside += 1  # only ever touched on the event loop
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        done.add_done_callback(self._leave)  # when it is done: whoever asked may be gone long before
        return await asyncio.shield(done)

    def _leave(self, done: asyncio.Future[Answer]) -> None:
        self._inside -= 1
        if not done.cancelled():
            done.exception()  # it is whoever asked that hears of it, if anybody

    def close(self) -> None:
        """Take no more; what hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)
