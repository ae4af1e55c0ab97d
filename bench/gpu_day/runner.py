"""Runs one step in a process group of its own, ends it at its limit, keeps what it printed. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

_PATIENCE_S = 3.0  # between asking a step to end and ending it
_MOST_LOG_BYTES = 12 << 20  # of all steps: a file that comes back may have 16 MiB
_TAIL_BYTES = 4000
_MOST_JSON_BYTES = 1 << 20


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
        kept.flush()
        start = kept.tell()
        try:
            child = subprocess.Popen(
                command,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=kept,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(name, "not run", 0.0, None, None, str(error))
        try:
            code: int | None = child.wait(max(limit_s, 1.0))
            outcome = "done" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            code, outcome = None, "out of time"
        finally:
            _end(child)
    took_s = round(monotonic() - began, 1)
    said = _cut(log, start)
    result = _last_json(said)
    return Outcome(name, outcome, took_s, code, result, "" if result else _tail(said))


def write(results: Path, outcomes: list[Outcome]) -> None:
    """Replace the results' file by one that has these, so that it is whole at any time."""
    half_done = results.with_suffix(".part")
    half_done.write_text(json.dumps({"steps": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n")
    half_done.replace(results)


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


def _cut(log: Path, start: int) -> str:
    """What the log has from `start` on; its middle is cut out of the log where it would grow too long."""
    text = log.read_bytes()
    said = text[start:]
    room = max(_MOST_LOG_BYTES - start, 2 * _TAIL_BYTES)
    if len(said) > room:
        log.write_bytes(text[:start] + said[: room // 2] + b"\n... cut ...\n" + said[-room // 2 :])
    return said[-_MOST_JSON_BYTES:].decode(errors="replace")


def _last_json(said: str) -> Any:
    lines = said.strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    except ValueError:
        return None


def _tail(said: str) -> str:
    return said.strip()[-_TAIL_BYTES:]
