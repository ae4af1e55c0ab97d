"""How many frames a second `qpi process` makes, beside the engine alone, and what a petabyte would take.

    python bench/archive.py
    python bench/archive.py --size 1024 --frames 128 --workers 2 --engine goldstein

- `engine`: the engine by itself, one thread, frame after frame that lie in memory.
- `archive`: reading, inverting and writing OME-Zarr, by that many processes; each one's own time counts, once its
  engine is open.

The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from qpi_live.bench.report import JsonFile, ScratchFolder, console, finish
from qpi_live.bench.stream.service import fringes_file
from qpi_live.camera.frame import Frame
from qpi_live.models.batch.archive import plan, process
from qpi_live.models.batch.job import Job, open_job_engine
from qpi_live.models.batch.workers import Processes
from qpi_live.models.engine import EngineOptions

_PETABYTE = 1e15
_CORES = 1000
_WARM = 3


def main(
    size: Annotated[int, typer.Option(min=64, help="Edge of the frames, in pixels.")] = 1024,
    frames: Annotated[int, typer.Option(min=8, help="How many.")] = 96,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    engine: Annotated[str, typer.Option(help="Engine, or the file of a network.")] = "goldstein",
    folder: ScratchFolder = None,
    json: JsonFile = None,
) -> None:
    """Measure archives."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        few = np.load(fringes_file(place, size))
        np.save(place / "archive.npy", few[np.arange(frames) % len(few)])
        (job,) = plan([str(place / "archive.npy")], place / "out", engine, EngineOptions())
        alone_fps = engine_rate(job, few, frames)
        began = perf_counter()
        summary = process([job], Processes(workers))
        took_s = perf_counter() - began
    per_core_fps = summary.made / summary.worker_s
    hours = _PETABYTE / size**2 / per_core_fps / _CORES / 3600
    console.print(f"{engine} alone: {alone_fps:.1f} frames/s of {size}² on one thread")
    console.print(
        f"archive: {per_core_fps:.1f} frames/s a process ({per_core_fps / alone_fps:.0%} of the engine), "
        f"{summary.made / took_s:.1f} frames/s by {workers} from start to end"
    )
    console.print(f"1 PB of such frames on {_CORES} cores: {hours:.1f} h, {hours * _CORES:.0f} core-hours")
    result = {
        "size": size,
        "frames": summary.made,
        "workers": workers,
        "engine": engine,
        "engine_fps": alone_fps,
        "per_process_fps": per_core_fps,
        "whole_fps": summary.made / took_s,
        "petabyte_hours_on_1000_cores": hours,
    }
    finish(result, json)


def engine_rate(job: Job, few: np.ndarray, frames: int) -> float:
    """Frames a second that the job's engine inverts by itself."""
    engine = open_job_engine(job)
    engine.warm_up(job.shape, job.bit_depth)
    taken = [Frame(few[number % len(few)].copy(), job.bit_depth, number, 0, 0) for number in range(frames)]
    for frame in taken[:_WARM]:
        engine.retrieve(frame)
    began = perf_counter()
    for frame in taken:
        engine.retrieve(frame)
    took_s = perf_counter() - began
    engine.close()
    return frames / took_s


if __name__ == "__main__":
    typer.run(main)
