"""Measures the time from interferogram to unwrapped phase, engine by engine.

    python bench/latency.py --engine goldstein
    python bench/latency.py --engine nasprnet.onnx --engine goldstein --checkpoint RUN/best.pt
    python bench/latency.py --engine nasprnet.trt --engine goldstein-cuda --json result.json

Serialized latency is of one frame at a time, from grey values on the host to phase on the host. Saturated throughput is
of the live line with a queue that is never empty. They are different figures and stand apart. Beside each stage stands
the lower bound that the machine sets, and below the best peers on the same frames. An engine that cannot be had
here is named and left out. The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Annotated, Any

import typer
from qpi_live.bench.floors.engines import Floors
from qpi_live.bench.frames import Example, condition_named, optics_of, simulated_examples
from qpi_live.bench.line import LineFailed, overlapped_uploads, saturated_fps, serialized
from qpi_live.bench.report import JsonFile, console, finish, latency_table, peers_or_none, summarise
from qpi_live.bench.torch_rows import torch_times_ms
from qpi_live.camera.device import DeviceError
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.conditions import CONDITIONS
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engine import POLYNOMIAL, DeviceEngine, EngineOptions, PhaseEngine, open_engine
from qpi_live.models.errors import EngineError

_DIFFERENT_FRAMES = 8
_PEER_REPEATS = 7
_TORCH_FRAMES = 20
_FRAMES_ON_CPU, _REPEATS_ON_CPU = 200, 1
_FRAMES_ON_GPU, _REPEATS_ON_GPU = 1000, 3
_WATCHED_FRAMES = 100
_TOTAL = "interferogram → phase"


def main(
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engine to time, or a network's .onnx or .trt file; again for more (default: goldstein)."),
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
    condition: Annotated[
        str, typer.Option(parser=condition_named, help=f"Of the simulated cells: {', '.join(CONDITIONS)}.")
    ] = "nominal",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads an engine may use, else all.")] = None,
    background: Annotated[
        str, typer.Option(help="Background of the classical chain: polynomial, learned or a learned one's file.")
    ] = POLYNOMIAL,
    peers: Annotated[bool, typer.Option(help="Also time scikit-image and qpretrieve.")] = True,
    json: JsonFile = None,
) -> None:
    """Time engines on simulated interferograms of moving cells."""
    shape = (size, size)
    options = EngineOptions(optics=optics_of(condition), threads=threads, background=background, is_live=True)
    result: dict[str, Any] = {"condition": condition, "shape": shape, "engines": {}, "left_out": {}, "peers": {}}
    names = [name for name in engine or ["goldstein"] if _opens(name, options, result["left_out"])]
    if not names:
        raise typer.Exit(2)
    with console.status(f"Simulating {_DIFFERENT_FRAMES} frames of {size} × {size} px"):
        examples = simulated_examples(condition, shape, _DIFFERENT_FRAMES)
    floors = Floors(examples[0].frame, threads)
    for name in names:
        try:
            timed = _time_engine(name, options, [example.frame for example in examples], floors, (frames, repeats))
        except (EngineError, DeviceError, LineFailed) as error:
            _leave_out(name, error, result["left_out"])
            continue
        result["engines"][name] = timed
    if not result["engines"]:
        raise typer.Exit(2)
    if checkpoint is not None:
        result["torch"] = _time_torch(checkpoint, examples, threads)
    if peers and (module := peers_or_none()) is not None:
        with console.status("Timing the peers"):
            result["peers"] = _time_peers(module, examples)
        rows = {name: peer["latency_ms"] for name, peer in result["peers"].items()}
        console.print(latency_table("Peers on the same frames", rows, {}))
    finish(result, json)


def _opens(name: str, options: EngineOptions, left_out: dict[str, str]) -> bool:
    """Whether the engine can be had here, which is found out before frames are simulated; `left_out` gets why not."""
    try:
        open_engine(name, options, may_be_file=True).close()
    except (EngineError, DeviceError) as error:
        _leave_out(name, error, left_out)
        return False
    return True


def _leave_out(name: str, error: Exception, left_out: dict[str, str]) -> None:
    console.print(f"{name} is left out: {error}", style="red")
    left_out[name] = str(error)


def _time_engine(
    name: str, options: EngineOptions, frames: Sequence[Frame], floors: Floors, asked: tuple[int | None, int | None]
) -> dict[str, Any]:
    engine = open_engine(name, options, may_be_file=True)
    try:
        engine.warm_up(frames[0].shape, frames[0].bit_depth)
        on_gpu = isinstance(engine, DeviceEngine)
        count = asked[0] or (_FRAMES_ON_GPU if on_gpu else _FRAMES_ON_CPU)
        repeats = asked[1] or (_REPEATS_ON_GPU if on_gpu else _REPEATS_ON_CPU)
        runs = [serialized(engine, frames, count) for _ in range(repeats)]
        throughput_fps = [round(saturated_fps(engine, frames, count), 2) for _ in range(repeats)]
        overlapped = overlapped_uploads(engine, frames, min(count, _WATCHED_FRAMES))
        floors_ms = floors.of(name, engine)
        identity = _describe(engine)
    finally:
        engine.close()
    stages_ms = {stage: summarise([took for _, run in runs for took in run.get(stage, ())]) for stage in runs[0][1]}
    timed = {
        "frames": count,
        "repeats": repeats,
        "latency_ms": summarise([took for total_ms, _ in runs for took in total_ms]),
        "run_p50_ms": [summarise(total_ms)["p50"] for total_ms, _ in runs],
        "stages_ms": stages_ms,
        "floors_ms": {stage: floor for stage, floor in floors_ms.items() if stage in stages_ms},
        "throughput_fps": median(throughput_fps),
        "run_throughput_fps": throughput_fps,
        "overlapped_uploads": overlapped,
        "identity": identity,
    }
    _print(name, frames[0].shape, timed)
    return timed


def _print(name: str, shape: tuple[int, int], timed: dict[str, Any]) -> None:
    size = f"{shape[0]} × {shape[1]} px"
    floors_ms = timed["floors_ms"]
    console.print(
        latency_table(
            f"{name}, {size}: serialized latency of {timed['repeats']} × {timed['frames']} frames",
            {**timed["stages_ms"], _TOTAL: timed["latency_ms"]},
            {**floors_ms, _TOTAL: sum(floors_ms.values())} if floors_ms else {},
        )
    )
    runs = ", ".join(f"{fps:.1f}" for fps in timed["run_throughput_fps"])
    console.print(f"{name}, {size}: saturated throughput through the live line {runs} frames/s")
    if timed["overlapped_uploads"] is not None:
        part = f"{100 * timed['overlapped_uploads']:.0f} %"
        console.print(f"{name}: {part} of the uploads ran while the engine worked on the frame before")
    console.print()


def _describe(engine: PhaseEngine) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": engine.identity.kind,
        "device": engine.identity.device,
        **engine.identity.detail,
    }
    if isinstance(engine, DeviceEngine):
        device = engine.open_device().identity
        described |= {"gpu": device.name, "compute_capability": device.compute_capability, "driver": device.runtime}
    return described


def _time_torch(checkpoint: Path, examples: list[Example], threads: int | None) -> dict[str, Any]:
    with console.status("Timing the checkpoint in torch"):
        times_ms = torch_times_ms(checkpoint, [example.frame for example in examples], _TORCH_FRAMES, threads)
    rows = {name: summarise(took_ms) for name, took_ms in times_ms.items()}
    console.print(latency_table(f"The same arithmetic in torch: {_TORCH_FRAMES} frames", rows, {}))
    return {name: {"latency_ms": row} for name, row in rows.items()}


def _time_peers(peers: ModuleType, examples: list[Example]) -> dict[str, Any]:
    frames = [example.frame for example in examples]
    retriever = TakedaRetriever(frames[0].shape, find_carrier(frames[0].pixels))
    retriever.use_calibration(examples[0].calibration.pixels)
    wrapped = [retriever.wrapped_phase(frame.pixels) for frame in frames]
    times_ms: dict[str, list[float]] = peers.peer_times_ms(frames, wrapped, _PEER_REPEATS)
    return {name: {"latency_ms": summarise(took_ms)} for name, took_ms in times_ms.items()}


if __name__ == "__main__":
    typer.run(main)
