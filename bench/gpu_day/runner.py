"""Runs one step in a process group of its own, ends it at its limit, keeps what it printed. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import IO, Any, BinaryIO

_PATIENCE_S = 3.0  # between asking a step to end and ending it
_MOST_LOG_BYTES = 12 << 20  # of all steps: a file that comes back may have 16 MiB
_TAIL_BYTES = 4000
_MOST_JSON_BYTES = 1 << 20
_MOST_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step.

    Attributes:
        step: its name.
        outcome: `done`, `failed`, `out of time` or `not run`.
        took_s: how long it ran.
        code: its exit code; None where it did not end by itself.
        result: its last line, where that is JSON.
        said: the end of what it printed, where there is no such line.
    """

    step: str
    outcome: str
    took_s: float
    code: int | None
    result: Any
    said: str


def run_step(name: str, command: list[str], limit_s: float, root: Path, log: Path) -> Outcome:
    """Run `command` in `root`; whatever happens, there is an outcome and no process left.

    Args:
        name: the step's.
        command: an argument list.
        limit_s: how long it may take.
        root: where it runs.
        log: file that its output is added to.
    """
    began = monotonic()
    with log.open("ab") as kept:
        kept.write(f"\n=== {name}: {' '.join(command)}\n".encode())
        said = _Said(kept)
        try:
            child = subprocess.Popen(
                command,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(name, "not run", 0.0, None, None, str(error))
        listening = Thread(target=said.listen, args=(child.stdout,), daemon=True)
        listening.start()
        try:
            code: int | None = child.wait(max(limit_s, 1.0))
            outcome = "done" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            code, outcome = None, "out of time"
        finally:
            _end(child)
            listening.join(_PATIENCE_S)  # what has left the step's group may hold its output open for ever
            last = said.end()
    took_s = round(monotonic() - began, 1)
    result = _last_json(last)
    return Outcome(name, outcome, took_s, code, result, "" if result else last.strip()[-_TAIL_BYTES:])


class _Said:
    """What a step prints, on its way to the log: of too much of it the beginning and the end.

    The rest is thrown away as it comes, so that no step can fill the disk or the memory of the next.
    """

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._left = max(_MOST_LOG_BYTES - log.tell(), 4 * _TAIL_BYTES) // 2
        self._most = self._left  # and as much of the end
        self._behind = bytearray()
        self._lost = 0
        self._recent = bytearray()
        self._is_over = False
        self._lock = Lock()

    def listen(self, output: IO[bytes]) -> None:
        """Take in all that is printed."""
        while some := os.read(output.fileno(), _MOST_AT_ONCE):
            with self._lock:
                if self._is_over:
                    return
                self._take(some)

    def end(self) -> str:
        """Write what is left to the log, and take in no more; the last of what was printed."""
        with self._lock:
            self._is_over = True
            self._lose()
            if self._lost:
                self._log.write(f"\n... {self._lost} bytes are left out ...\n".encode())
            self._log.write(self._behind)
            return self._recent.decode(errors="replace")

    def _take(self, some: bytes) -> None:
        self._recent = (self._recent + some)[-_MOST_JSON_BYTES:]
        now = some[: self._left]
        self._left -= len(now)
        self._log.write(now)
        self._log.flush()
        self._behind += some[len(now) :]
        if len(self._behind) > 2 * self._most:  # seldom, since what is kept is moved
            self._lose()

    def _lose(self) -> None:
        too_much = len(self._behind) - self._most
        if too_much > 0:
            self._lost += too_much
            del self._behind[:too_much]


def write(results: Path, outcomes: list[Outcome]) -> None:
    """Replace the results' file by one that has these, so that it is whole at any time; a full disk ends nothing."""
    half_done = results.with_suffix(".part")
    try:
        half_done.write_text(json.dumps({"steps": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n")
        half_done.replace(results)
    except OSError as error:
        print(f"{results} is older than what is printed here: {error}", flush=True)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the step and whatever it has started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, how)
            child.wait(_PATIENCE_S)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue


def _last_json(said: str) -> Any:
    lines = said.strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    except ValueError:
        return None
