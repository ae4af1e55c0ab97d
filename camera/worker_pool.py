"""Processes side by side for a command, which end when it does: at its end, on Ctrl+C, and when it is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from threading import Thread


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of so many processes; where the block ends by an error or Ctrl+C, they end at once, whatever they do."""
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _end_with_parent)
    try:
        with _deaf_children():
            for _ in range(processes):  # each starts a process
                pool.submit(os.getpid)
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in before:
                process.kill()
        raise
    finally:
        pool.shutdown()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that are started in the block never hear Ctrl+C, which a terminal sends to all; this one does after."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # once it runs, it leaves the mask alone
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """In a worker: leave Ctrl+C to the command, and end as soon as that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
