"""Draws when frames are uploaded and when the engine works, by the device's clock: what an upload hides behind.

    python -m qpi_live.bench.gpu_day.timeline
    python -m qpi_live.bench.gpu_day.timeline --engine torch:models/weights/nasprnet.onnx --json timeline.json

The live line is kept full. A line of the picture is one frame: `u` while it is uploaded, `E` while the engine works on
it. The last line is the whole result as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from qpi_live.bench.frames import optics_of, simulated_examples
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.bench.timing.engines import open_to_time
from qpi_live.bench.timing.line import LineFailed, Span, overlapping_part, watched_spans
from qpi_live.camera.device import DeviceError
from qpi_live.models.engine import DeviceEngine, EngineOptions
from qpi_live.models.errors import EngineError

_DIFFERENT_FRAMES = 4
_DRAWN, _COLUMNS = 10, 100
Row = tuple[float, float, float | None, float | None]
"""Of one frame, in ms since the first began: the engine began and was done, the upload began and ended."""


def main(
    engine: Annotated[str, typer.Option(help="An engine that works on a GPU.")] = "goldstein-cuda",
    frames: Annotated[int, typer.Option(min=10, help="Frames to watch.")] = 100,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge of the square frames, in pixels.")] = 1024,
    json: JsonFile = None,
) -> None:
    """Watch the live line."""
    try:
        opened = open_to_time(engine, EngineOptions(optics=optics_of("nominal"), is_live=True))
    except (EngineError, DeviceError) as error:
        console.print(f"{engine} is left out: {error}", style="red")
        raise typer.Exit(2) from error
    if not isinstance(opened, DeviceEngine):
        console.print(f"expected an engine that works on a GPU, got {engine}: nothing is uploaded for it", style="red")
        raise typer.Exit(2)
    given = [example.frame for example in simulated_examples("nominal", (size, size), _DIFFERENT_FRAMES)]
    try:
        opened.warm_up((size, size), given[0].bit_depth)
        spans = watched_spans(opened, given, frames)
    except (EngineError, DeviceError, LineFailed) as error:
        console.print(f"{engine} failed: {error}", style="red")
        raise typer.Exit(2) from error
    finally:
        opened.close()
    rows = rows_of(spans)
    for line in drawn(rows[-_DRAWN:]):
        console.print(line)
    part = overlapping_part(spans)
    console.print(f"{100 * part:.0f} % of the uploads ran while the engine worked on an earlier frame")
    result = {"engine": engine, "shape": (size, size), "overlapped_uploads": part, "rows_ms": rows}
    finish(result, json)


def rows_of(spans: Sequence[Span]) -> list[Row]:
    """The spans' times, in ms since the first frame's engine began."""
    first = spans[0][0]
    rows: list[Row] = []
    for began, done, upload in spans:
        there = (None, None) if upload is None else tuple(round(event.ms_since(first), 4) for event in upload)
        rows.append((round(began.ms_since(first), 4), round(done.ms_since(first), 4), there[0], there[1]))
    return rows


def drawn(rows: Sequence[Row]) -> list[str]:
    """A line of text for each frame, on one scale of time."""
    times = [at for row in rows for at in row if at is not None]
    first, last = min(times), max(times)
    scale = (_COLUMNS - 1) / max(last - first, 1e-6)
    lines = [f"{_COLUMNS} columns are {last - first:.3f} ms"]
    for began, done, up_began, up_done in rows:
        cells = [" "] * _COLUMNS
        for start, end, mark in ((up_began, up_done, "u"), (began, done, "E")):
            if start is not None and end is not None:
                for column in range(int((start - first) * scale), int((end - first) * scale) + 1):
                    cells[column] = mark
        lines.append("".join(cells).rstrip())
    return lines


if __name__ == "__main__":
    typer.run(main)
