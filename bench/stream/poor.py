"""A client behind a line that loses packets, then without its cable, and what another client notices of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import numpy as np
from qpi_live.bench.stream.lossy_line import LossyLine
from qpi_live.bench.stream.service import fringes_file, running
from qpi_live.service.api.stream import CLIENT_STUCK
from qpi_live.service.client import PhaseClient

_READER = [sys.executable, "-m", "qpi_live.bench.stream.far_reader"]
_WAIT_S = 60.0
_LONGEST_S = 120.0


@dataclass
class Ages:
    """When frames came to a client, and how old they were."""

    came: list[tuple[float, float]] = field(default_factory=list)
    has_come: Event = field(default_factory=Event)

    def note(self, age_ms: float) -> None:
        """A frame of this age came."""
        self.came.append((monotonic(), age_ms))
        self.has_come.set()

    def since(self, start_s: float) -> list[float]:
        """Ages in ms of what came after this time."""
        return [age_ms for at_s, age_ms in self.came if at_s >= start_s]

    def wait(self) -> float:
        """Return with the next frame, and how long it took, in s; raises TimeoutError."""
        start_s = monotonic()
        self.has_come.clear()
        if not self.has_come.wait(_WAIT_S):
            raise TimeoutError(f"no frame within {_WAIT_S:.0f} s")
        return monotonic() - start_s


def measure(
    engine: str, size: int, fps: float, loss: float, seconds: float, unplugged_s: float, for_good: bool
) -> list[dict[str, Any]]:
    """Frames per second and ages at a client behind the line (`far`) and at one that is not (`near`).

    The line first loses a share of its packets, then is unplugged for a while, then for good.
    """
    with (
        TemporaryDirectory() as folder,
        LossyLine(loss) as line,
        running(f"replay:{fringes_file(Path(folder), size)}", engine, size, fps, "--host", line.near, "--no-token") as (
            _,
            url,
        ),
        _reading(Popen([*_READER, url], stdout=PIPE, text=True)) as near,
        _reading(line.run([*_READER, url])) as far,
    ):
        near.wait()
        far.wait()
        rows = [_row(f"{loss:.0%} of packets lost", near, far, seconds)]
        line.plugged.clear()
        rows.append(_row(f"unplugged for {unplugged_s:g} s", near, far, unplugged_s))
        line.plugged.set()
        after_s = far.wait()
        rows.append({**_row("plugged in", near, far, seconds), "back_after_s": round(after_s, 1)})
        if for_good:
            line.plugged.clear()
            rows.append({**_row("unplugged", near, far, seconds), "let_go_after_s": round(seconds + _let_go_s(url))})
        return rows


def _let_go_s(url: str) -> float:
    """Wait until the service lets go of a client that does nothing any more."""
    start_s = monotonic()
    with PhaseClient(url) as client:
        while CLIENT_STUCK not in client.stats().departed.connections:
            if monotonic() - start_s > _LONGEST_S:
                raise TimeoutError(f"the client behind the cable was kept for over {_LONGEST_S:.0f} s")
            sleep(0.5)
    return monotonic() - start_s


def _row(name: str, near: Ages, far: Ages, seconds: float) -> dict[str, Any]:
    start_s = monotonic()
    sleep(seconds)
    row: dict[str, Any] = {"line": name}
    for who, ages in (("near", near), ("far", far)):
        came = ages.since(start_s)
        row[f"{who}_fps"] = round(len(came) / seconds, 1)
        for percent in (50, 99):
            row[f"{who}_age_p{percent}_ms"] = round(float(np.percentile(came, percent)), 1) if came else None
    return {**row, "back_after_s": None, "let_go_after_s": None}


@contextmanager
def _reading(process: Popen[str]) -> Iterator[Ages]:
    ages = Ages()

    def note() -> None:
        for word in process.stdout or ():
            ages.note(float(word))

    thread = Thread(target=note, daemon=True)
    thread.start()
    try:
        yield ages
    finally:
        process.kill()
        process.wait()
        thread.join()
