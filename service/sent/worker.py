"""The service's side of the process that works on frames that are sent: start it, ask it, kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from qpi_live.camera.child import start_child

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

_PROCESS = "qpi_live.service.sent.process"
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class WorkerEnded(Exception):
    """The process is gone, by itself or because it was killed."""


def connection_of(handle: int) -> Connection:
    """The connection behind a handle that was inherited."""
    return Connection(handle)


class SentWorker:
    """A running process. `ask` is for one thread at a time; `kill` may be called from any, and ends it."""

    def __init__(self, budget_bytes: int) -> None:
        self._connection, far = Pipe()
        environment = _ENVIRONMENT | {"QPI_SENT_BUDGET_BYTES": str(budget_bytes)}
        self._process = start_child(_PROCESS, (far.fileno(),), environment)
        far.close()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def resident_bytes(self) -> int | None:
        """The memory it has in use; None where the system does not say."""
        if sys.platform != "linux":
            return None
        try:
            with open(f"/proc/{self._process.pid}/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return None

    def ask(self, verb: str, *arguments: object) -> Any:
        """What the process answers (see `process`), however long that takes.

        Raises:
            SentError: what it raised.
            WorkerEnded: it is gone.
        """
        try:
            self._connection.send((verb, arguments))
            succeeded, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerEnded from error
        if not succeeded:
            raise answer
        return answer

    def kill(self) -> None:
        """End it at once. Doing it twice is harmless."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)

    def close(self) -> None:
        """End it and let go of the connection; nobody may be asking any more."""
        self.kill()
        self._connection.close()
