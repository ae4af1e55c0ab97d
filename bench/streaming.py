"""Measures the stream: the age of frames at a program, clients that share it, a stuck one, and a poor line.

    python bench/streaming.py
    python bench/streaming.py --engine goldstein --full --json result.json
    python bench/streaming.py --only crowd --url http://127.0.0.1:8000

A real `qpi serve` in a process of its own replays fringes of each size. Four parts:

- `age`: a program takes its time over each frame (`--full`: 0.1 to 60 s). Frames have 16 kB to 64 MiB, the line 50 kB/s
  to unlimited. `within` counts frames no older than a frame period, their making, their way over the line, and 50 ms.
- `crowd`: 1 to 64 clients read float32 frames as quickly as they can, and, beside it, from plain sockets: the most.
- `stuck`: one client never reads.
- `poor`: a line loses 3 % of its packets, is unplugged for some seconds, and for good. Needs Linux, as root,
  and a service of its own.

Frames whose way alone would take over two minutes are left out. The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import product
from typing import Annotated, Any

import typer
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.bench.stream import ages, crowd, poor, stuck
from qpi_live.bench.stream.ages import Row
from qpi_live.bench.stream.lossy_line import NoLine
from qpi_live.bench.stream.service import serving
from rich.table import Table

_LONGEST_WAY_S = 120.0
_SHORT = [
    Row(64, 0.1, 0), Row(64, 2.0, 0), Row(64, 0.1, 50e3), Row(1024, 0.1, 0), Row(1024, 2.0, 0), Row(1024, 0.0, 10e6)
]  # fmt: skip
_PAUSES_S = (0.0, 0.1, 1.0, 10.0, 60.0)
_SIZES = (64, 256, 1024, 2048, 4096)
_LINES = (50e3, 1e6, 10e6, 100e6, 0)
_CROWDS, _FULL_CROWDS = (1, 16, 64), (1, 4, 16, 64)
_CROWD_SIZE, _CROWD_FPS = 1024, 20.0
_POOR_SIZE, _LOSS, _UNPLUGGED_S = 256, 0.03, 5.0


class Part(StrEnum):
    """What can be measured alone."""

    AGE = "age"
    CROWD = "crowd"
    STUCK = "stuck"
    POOR = "poor"


def main(
    engine: Annotated[str, typer.Option(help="Engine that makes the phase.")] = "goldstein",
    fps: Annotated[float, typer.Option(min=1, help="The camera's frames per second.")] = _CROWD_FPS,
    camera: Annotated[str | None, typer.Option(help="Camera to stream in place of fringes.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Every pause, size and line: about two hours.")] = False,
    only: Annotated[list[Part] | None, typer.Option(help="Measure this part alone; may be given again.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Time for each crowd, and beside the stuck client.")] = 10,
    url: Annotated[str, typer.Option(help="Measure this service, of any version, in place of one of our own.")] = "",
    json: JsonFile = None,
) -> None:
    """Measure the stream."""

    @contextmanager
    def service(size: int) -> Iterator[str]:
        if url:
            yield url
        else:
            with serving(engine, size, fps, camera) as address:
                yield address

    parts = only or list(Part)
    result: dict[str, Any] = {"engine": engine, "camera": camera or "fringes", "fps_set": fps}
    if Part.AGE in parts:
        result["ages"] = list(_ages(service, _every_row() if full else _SHORT))
        console.print(_table("Age of frames", result["ages"]))
    if Part.CROWD in parts:
        with service(_CROWD_SIZE) as address:
            clients = _FULL_CROWDS if full else _CROWDS
            result["crowds"] = [crowd.measure(address, number, seconds, 4 * _CROWD_SIZE**2) for number in clients]
        console.print(_table(f"Clients of {_CROWD_SIZE}² float32", result["crowds"]))
    if Part.STUCK in parts:
        with service(_CROWD_SIZE) as address:
            result["stuck"], table = stuck.measure(address, seconds)
        console.print(table)
    if Part.POOR in parts and not url:
        try:
            result["poor"] = poor.measure(engine, _POOR_SIZE, fps, _LOSS, seconds, _UNPLUGGED_S, for_good=True)
            console.print(_table(f"A poor line, {_POOR_SIZE}² float32", result["poor"]))
        except NoLine as lacking:
            console.print(f"Left out: {lacking}.")
    finish(result, json)


def _every_row() -> list[Row]:
    rows = [Row(size, pause_s, line) for size, pause_s, line in product(_SIZES, _PAUSES_S, _LINES)]
    return [row for row in rows if row.transfer_s <= _LONGEST_WAY_S]


def _ages(service: Any, rows: list[Row]) -> Iterator[dict[str, Any]]:
    for size in sorted({row.size for row in rows}):
        with service(size) as address:
            for row in rows:
                if row.size == size:
                    yield ages.measure(address, row)


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*("–" if value is None else f"{value}" for value in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
