"""How long engines take from interferogram to unwrapped phase.

    python bench/latency.py --engine goldstein
    python bench/latency.py --engine goldstein --engine nasprnet.onnx --frames 300 --json result.json

Serialized latency (one frame at a time, in this thread) and saturated throughput (the live line with a queue that is
never empty) are different figures and stand apart. Beside each stage stands the floor that the machine sets, and below
the best peers on the same frames. The last line is the whole result as JSON.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns, perf_counter, time_ns
from types import ModuleType
from typing import Annotated, Any

import typer
from prometheus_client import CollectorRegistry
from rich.progress import track

from bench.floors import classical_floors_ms
from bench.frames import Example, optics_of, simulated_examples
from bench.report import console, finish, latency_table, peers_or_none, summarise
from camera.account import FrameAccount
from camera.frame import Frame
from camera.queue import HostFrameQueue
from camera.source import CameraIdentity
from models.classical.carrier import find_carrier
from models.classical.takeda import TakedaRetriever
from models.engine import EngineOptions, PhaseEngine, open_engine
from models.errors import EngineError
from service.hub import Hub
from service.latency import LatencyBook
from service.pipeline import Pipeline

_WARM_UP_FRAMES = 10
_DIFFERENT_FRAMES = 8
_PEER_REPEATS = 7


def main(
    engine: Annotated[list[str] | None, typer.Option(help="Engine to time; again for more [goldstein].")] = None,
    frames: Annotated[int, typer.Option(min=10, help="Frames to time for each figure.")] = 200,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge of the square frames, in pixels.")] = 1024,
    condition: Annotated[
        str, typer.Option(help="Simulated condition: nominal, harsh, dense, round, adherent.")
    ] = "nominal",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads an engine may use, else all.")] = None,
    peers: Annotated[bool, typer.Option(help="Also time scikit-image and qpretrieve.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")] = None,
) -> None:
    """Time engines on simulated interferograms of moving cells."""
    shape = (size, size)
    with console.status(f"Simulating {_DIFFERENT_FRAMES} frames of {size} × {size} px"):
        examples = simulated_examples(condition, shape, _DIFFERENT_FRAMES)
    options = EngineOptions(optics=optics_of(condition), threads=threads)
    result: dict[str, Any] = {"condition": condition, "shape": shape, "frames": frames, "engines": {}, "peers": {}}
    for name in engine or ["goldstein"]:
        result["engines"][name] = _time_engine(name, options, examples, frames)
    if peers and (module := peers_or_none()) is not None:
        with console.status("Timing the peers"):
            result["peers"] = _time_peers(module, examples)
        rows = {name: peer["latency_ms"] for name, peer in result["peers"].items()}
        console.print(latency_table("Peers on the same frames", rows, {}))
    finish(result, json)


def _time_engine(name: str, options: EngineOptions, examples: list[Example], frames: int) -> dict[str, Any]:
    try:
        engine = open_engine(name, options)
        engine.warm_up(examples[0].frame.shape, examples[0].frame.bit_depth)
    except EngineError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    latency_ms, stages_ms = _serialized(engine, examples, frames)
    throughput_fps = _saturated(engine, examples, frames)
    floors_ms = _floors(name, engine, examples[0])
    shape = "{} × {} px".format(*examples[0].frame.shape)
    console.print(
        latency_table(
            f"{name}, {shape}: serialized latency of {frames} frames",
            {**stages_ms, "interferogram → phase": latency_ms},
            {**floors_ms, "interferogram → phase": sum(floors_ms.values())} if floors_ms else {},
        )
    )
    console.print(f"{name}, {shape}: saturated throughput through the live line {throughput_fps:.1f} frames/s\n")
    return {
        "latency_ms": latency_ms,
        "stages_ms": stages_ms,
        "floors_ms": floors_ms,
        "throughput_fps": round(throughput_fps, 2),
        "identity": {"kind": engine.identity.kind, "device": engine.identity.device, **engine.identity.detail},
    }


def _serialized(
    engine: PhaseEngine, examples: list[Example], frames: int
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """One frame at a time: the whole call and the stages that the engine reports, in ms."""
    for number in range(_WARM_UP_FRAMES):
        engine.retrieve(examples[number % len(examples)].frame)
    total_ms: list[float] = []
    stages_ms: defaultdict[str, list[float]] = defaultdict(list)
    for number in track(range(frames), "Serialized", console=console, transient=True):
        frame = examples[number % len(examples)].frame
        start = perf_counter()
        phase = engine.retrieve(frame)
        total_ms.append((perf_counter() - start) * 1e3)
        for stage, took_ms in phase.stages_ms.items():
            stages_ms[stage].append(took_ms)
    return summarise(total_ms), {stage: summarise(took_ms) for stage, took_ms in stages_ms.items()}


def _saturated(engine: PhaseEngine, examples: list[Example], frames: int) -> float:
    """Frames a second through the live line when the camera always has the next one ready."""
    registry, hub, account = CollectorRegistry(), Hub(), FrameAccount()
    camera = _EagerCamera(examples, frames)
    done = hub.subscribe("bench")
    pipeline = Pipeline(camera, HostFrameQueue(account), engine, hub, account, LatencyBook(registry))
    first_ns = last_ns = 0
    pipeline.start()
    while pipeline.account.snapshot().delivered < frames and pipeline.last_failure is None:
        live = done.wait(1.0)
        if live is None:
            continue
        done.account.delivered()
        first_ns = first_ns or live.published_monotonic_ns
        last_ns, last_sequence = live.published_monotonic_ns, live.frame.sequence
    pipeline.stop()
    if pipeline.last_failure is not None:  # fewer frames than asked for would give a figure of something else
        console.print(f"[red]{pipeline.last_failure}[/red]")
        raise typer.Exit(2)
    return last_sequence / max(last_ns - first_ns, 1) * 1e9


class _EagerCamera:
    """A camera whose next frame is always ready, and that makes no frame before there is room for it."""

    waits_for_consumer = True

    def __init__(self, examples: list[Example], frames: int) -> None:
        self._examples = examples
        self._frames = frames
        self._sequence = 0
        first = examples[0].frame
        self.identity = CameraIdentity("bench", "", "", "", first.shape, first.bit_depth, None, None)

    def start(self) -> None:
        self._sequence = 0

    def read(self, timeout_s: float) -> Frame | None:
        del timeout_s  # there is nothing to wait for
        if self._sequence == self._frames:
            return None
        example = self._examples[self._sequence % len(self._examples)].frame
        frame = Frame(example.pixels, example.bit_depth, self._sequence, time_ns(), monotonic_ns())
        self._sequence += 1
        return frame

    def take_losses(self) -> Mapping[str, int]:
        return {}

    def stop(self) -> None:
        pass


def _floors(name: str, engine: PhaseEngine, example: Example) -> dict[str, float]:
    radius = engine.identity.detail.get("band_radius_cycles_per_px")
    if name != "goldstein" or not isinstance(radius, float):
        return {}
    return classical_floors_ms(example.frame.shape, radius)


def _time_peers(peers: ModuleType, examples: list[Example]) -> dict[str, Any]:
    frames = [example.frame for example in examples]
    retriever = TakedaRetriever(frames[0].shape, find_carrier(frames[0].pixels))
    retriever.use_calibration(examples[0].calibration.pixels)
    wrapped = [retriever.wrapped_phase(frame.pixels) for frame in frames]
    times_ms: dict[str, list[float]] = peers.peer_times_ms(frames, wrapped, _PEER_REPEATS)
    return {name: {"latency_ms": summarise(took_ms)} for name, took_ms in times_ms.items()}


if __name__ == "__main__":
    typer.run(main)
