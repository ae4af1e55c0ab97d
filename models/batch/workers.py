"""Who works on regions: processes of this machine, or a cluster by Dask."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from qpi_live.camera.worker_pool import worker_pool
from qpi_live.models.batch.job import Job
from qpi_live.models.batch.region import run_region

_TRIES = 3
_AHEAD = 2  # tasks a worker has waiting, so that it never waits itself


_Task = tuple[Job, int, int]  # with its number of tries


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a region: the seconds it took, or, after some tries, why it failed."""

    job: Job
    number: int
    took_s: float = 0.0
    failed: str | None = None


class Workers(Protocol):
    """Somebody who works on regions."""

    def run(self, tasks: Iterable[tuple[Job, int]]) -> Iterator[Outcome]:
        """Each task's outcome, in the order in which they are done. A worker that dies costs its own task a try."""


class Processes:
    """Processes of this machine, each with one thread.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, tasks: Iterable[tuple[Job, int]]) -> Iterator[Outcome]:
        """See `Workers.run`."""
        waiting, suspects = deque((job, number, 1) for job, number in tasks), deque[_Task]()
        while waiting or suspects:
            # Who was at work when a worker was killed works alone then, so that it costs no other a try.
            todo, at_once = (suspects, 1) if suspects else (waiting, _AHEAD * self._workers)
            with worker_pool(min(self._workers, at_once)) as pool:
                yield from self._until_broken(pool, todo, at_once, suspects)

    def _until_broken(
        self, pool: ProcessPoolExecutor, waiting: deque[_Task], at_once: int, suspects: deque[_Task]
    ) -> Iterator[Outcome]:
        """Work on what is waiting, until nothing is, or a worker was killed, which takes its pool with it."""
        at_work: dict[Future[float], _Task] = {}
        is_broken = False
        while at_work or (waiting and not is_broken):
            while waiting and not is_broken and len(at_work) < at_once:
                task = waiting.popleft()
                try:
                    at_work[pool.submit(run_region, task[0], task[1])] = task
                except BrokenProcessPool:
                    waiting.appendleft(task)
                    is_broken = True
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                job, number, tries = at_work.pop(future)
                error = future.exception()
                is_killed = isinstance(error, BrokenProcessPool)
                is_broken |= is_killed
                if error is None:
                    yield Outcome(job, number, future.result())
                elif is_killed and at_once > 1:
                    suspects.append((job, number, tries))
                elif tries < _TRIES:
                    (suspects if is_killed else waiting).append((job, number, tries + 1))
                else:
                    yield Outcome(job, number, failed=f"{type(error).__name__}: {error}")


class Cluster:
    """The workers of a Dask scheduler, on this machine or others that see the same files.

    Args:
        address: the scheduler's, such as `tcp://head:8786`.

    Raises:
        ModuleNotFoundError: `distributed` is not installed.
        OSError: the scheduler does not answer.
    """

    def __init__(self, address: str) -> None:
        self._client: Any = import_module("distributed").Client(address)  # an extra, and without types

    def wait_for(self, workers: int, timeout_s: float) -> None:
        """Wait until there are so many workers; raises TimeoutError where there are not, in time."""
        self._client.wait_for_workers(workers, timeout=timeout_s)

    def close(self) -> None:
        """Let go of the scheduler; the workers go on."""
        self._client.close()

    def run(self, tasks: Iterable[tuple[Job, int]]) -> Iterator[Outcome]:
        """See `Workers.run`."""
        as_completed: Any = import_module("distributed").as_completed
        asked = {
            self._client.submit(run_region, job, number, retries=_TRIES - 1, pure=False): (job, number)
            for job, number in tasks
        }
        for future in as_completed(list(asked)):
            job, number = asked.pop(future)
            error = future.exception()
            if error is None:
                yield Outcome(job, number, future.result())
            else:
                yield Outcome(job, number, failed=f"{type(error).__name__}: {error}")
            future.release()
