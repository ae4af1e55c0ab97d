"""What a day at the microscope would show, in minutes: nothing grows, and every account is exact.

    python bench/soak.py
    python bench/soak.py --minutes 10 --engine goldstein --json result.json

A real `qpi serve` with the virtual GenICam camera. All of this comes at once. Sixteen clients share the stream: six
steady, four slow, two that never read, four that hang up and come back. Interferograms are sent, good and hostile. The
camera has faults. Another engine is chosen every few seconds. The last line is the whole result as JSON; the exit code
is 1 where an account was not exact or something grew.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from typing import Annotated

import typer
from qpi_live.bench.genicam.virtual_camera import built_producer
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.bench.stream.service import running
from qpi_live.bench.stream.soak import holds, soak, table_of


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 10,
    engine: Annotated[str, typer.Option(help="Engine to begin with.")] = "goldstein",
    size: Annotated[int, typer.Option(min=128, help="Edge of the frames, in pixels.")] = 256,
    fps: Annotated[float, typer.Option(min=1, help="The camera's frames per second.")] = 20,
    json: JsonFile = None,
) -> None:
    """Let everything happen at once for some minutes, and look whether anything grows."""
    with built_producer() as producer, running(f"gentl:{producer}", engine, size, fps) as (process, url):
        figures = soak(process.pid, url, minutes * 60)
    console.print(table_of(figures))
    finish({"minutes": minutes, "engine": engine, "size": size, "fps": fps, **figures}, json)
    raise typer.Exit(0 if holds(figures) else 1)


if __name__ == "__main__":
    typer.run(main)
