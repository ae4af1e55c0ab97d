"""Measures the time from interferogram to unwrapped phase, engine by engine.

    python bench/latency.py --engine goldstein
    python bench/latency.py --engine nasprnet.onnx --engine goldstein --checkpoint RUN/best.pt
    python bench/latency.py --engine nasprnet.trt --engine goldstein-cuda --json result.json
    python bench/latency.py --engine torch:nasprnet.onnx --engine torch:unet

Serialized latency is of one frame at a time, from grey values on the host to phase on the host. Saturated throughput is
of the live line with a queue that is never empty. They are different figures and stand apart. Beside each stage stands
the lower bound that the machine sets, and below the best peers on the same frames. An engine that cannot be had
here is named and left out. `torch:` runs a network in torch on the GPU, where there is no TensorRT. The last line is
the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from qpi_live.bench.timing.engines import why_not_here


def main(
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="Engine to time, a network's .onnx or .trt file, or torch: and a network; again for more (goldstein)."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="best.pt of `qpi train`: also time it in torch on the CPU, eager.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=10, help="Frames to time for each figure (default: 200 on a CPU, 1000 on a GPU).")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Runs of so many frames (default: 1 on a CPU, 3 on a GPU).")
    ] = None,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge of the square frames, in pixels.")] = 1024,
    condition: Annotated[str, typer.Option(help="Of the simulated cells: nominal, dense, harsh …")] = "nominal",
    instrument: Annotated[
        Path | None, typer.Option(help="Instrument file of `qpi instrument`: frames of that, such as a network's own.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads an engine may use, else all.")] = None,
    background: Annotated[
        str, typer.Option(help="Background of the classical chain: polynomial, learned or a learned one's file.")
    ] = "polynomial",
    peers: Annotated[bool, typer.Option(help="Also time scikit-image and qpretrieve.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")] = None,
) -> None:
    """Time engines on simulated interferograms of moving cells."""
    # What takes a second to import comes after the question whether there is anything to time.
    asked = engine or ["goldstein"]
    left_out: dict[str, str] = {}
    for name in asked:
        if why_not := why_not_here(name):
            typer.secho(f"{name} is left out: {why_not}", fg="red")
            left_out[name] = why_not
    if len(left_out) == len(set(asked)):
        raise typer.Exit(2)
    run = import_module("qpi_live.bench.timing.run")
    names = [name for name in asked if name not in left_out]
    run.time_engines(
        run.Asked(names, checkpoint, frames, repeats, size, condition, instrument, threads, background, peers, json),
        left_out,
    )


if __name__ == "__main__":
    typer.run(main)
