"""What `bench/latency.py` does once it is known that there is something to time: frames, figures, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import typer
from qpi_live.bench.floors.engines import Floors
from qpi_live.bench.frames import Example, condition_named, instrument_examples, optics_of, simulated_examples
from qpi_live.bench.report import console, finish, latency_table, peers_or_none, summarise
from qpi_live.bench.timing.engines import open_to_time
from qpi_live.bench.timing.line import LineFailed, overlapped_uploads, saturated_fps, serialized
from qpi_live.bench.timing.torch_rows import torch_times_ms
from qpi_live.camera.device import DeviceError
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engine import DeviceEngine, EngineOptions, PhaseEngine
from qpi_live.models.errors import EngineError

_DIFFERENT_FRAMES = 8
_PEER_REPEATS = 7
_TORCH_FRAMES = 20
_FRAMES_ON_CPU, _REPEATS_ON_CPU = 200, 1
_FRAMES_ON_GPU, _REPEATS_ON_GPU = 1000, 3
_WATCHED_FRAMES = 100
_TOTAL = "interferogram → phase"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be timed; see the options of `bench/latency.py`."""

    engines: Sequence[str]
    checkpoint: Path | None
    frames: int | None
    repeats: int | None
    size: int
    condition: str
    instrument: Path | None
    threads: int | None
    background: str
    peers: bool
    json: Path | None


def time_engines(asked: Asked, left_out: dict[str, str]) -> None:
    """Time them, and print and write what was found; `left_out` says which are left out already, and why."""
    condition = condition_named(asked.condition)
    size = asked.size
    shape = (size, size)
    instrument = None if asked.instrument is None else Instrument.from_file(asked.instrument)
    options = EngineOptions(
        optics=optics_of(condition) if instrument is None else instrument.optics,
        threads=asked.threads,
        background=asked.background,
        is_live=True,
    )
    result: dict[str, Any] = {"condition": condition, "shape": shape, "engines": {}, "left_out": left_out, "peers": {}}
    names = [name for name in asked.engines if _opens(name, options, left_out)]
    if not names:
        raise typer.Exit(2)
    with console.status(f"Simulating {_DIFFERENT_FRAMES} frames of {size} × {size} px"):
        if instrument is None:
            examples = simulated_examples(condition, shape, _DIFFERENT_FRAMES)
        else:
            examples = instrument_examples(instrument, condition, shape, _DIFFERENT_FRAMES)
    floors = Floors(examples[0].frame, asked.threads)
    for name in names:
        try:
            timed = _time_engine(
                name, options, [example.frame for example in examples], floors, (asked.frames, asked.repeats)
            )
        except (EngineError, DeviceError, LineFailed) as error:
            _leave_out(name, error, left_out)
            continue
        result["engines"][name] = timed
    if not result["engines"]:
        raise typer.Exit(2)
    if asked.checkpoint is not None:
        result["torch"] = _time_torch(asked.checkpoint, examples, asked.threads)
    if asked.peers and (module := peers_or_none()) is not None:
        with console.status("Timing the peers"):
            result["peers"] = _time_peers(module, examples)
        rows = {name: peer["latency_ms"] for name, peer in result["peers"].items()}
        console.print(latency_table("Peers on the same frames", rows, {}))
    finish(result, asked.json)


def _opens(name: str, options: EngineOptions, left_out: dict[str, str]) -> bool:
    """Whether the engine can be had here, which is found out before frames are simulated; `left_out` gets why not."""
    try:
        open_to_time(name, options).close()
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
    engine = open_to_time(name, options)
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
        console.print(f"{name}: {part} of the uploads ran while the engine worked on an earlier frame")
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
