"""The figures of `bench/camera.py`: rate and gaps, unpacking, and the delay of an event loop beside the stream.

Three ways to acquire stand side by side in the last one: the capture process, and what a first attempt would do, a
thread in the same process that waits for buffers through harvesters, with its own short waits and with waits of 200 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import typer
from harvesters.core import Dictionary, Harvester, ParameterKey, ParameterSet

from bench.genicam_soak import restarts_without_growth, soak
from bench.report import console, finish, summarise
from bench.virtual_camera import SHAPE, ReadingLine, built_producer, lost_before_the_queue, open_virtual
from camera.pixel_format import FORMATS_BY_NAME

_TICK_S = 0.001
_STALL_MS = 1000
_UNPACK_REPEATS = 100


def run() -> None:
    """Run the command line."""
    typer.run(main)


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Length of each streaming measurement.")] = 10.0,
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Frames a second asked of Mono8.")] = 1000.0,
    soak_s: Annotated[float, typer.Option("--soak", min=0, help="Seconds of soak with faults at 100 fps.")] = 0.0,
    restarts: Annotated[int, typer.Option(min=0, help="How often to stop and restart the camera.")] = 0,
    only: Annotated[str, typer.Option(help="One of: stream, unpack, loop; else all.")] = "",
    json: Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")] = None,
) -> None:
    """Measure a GenICam camera's way into the queue."""
    result: dict[str, Any] = {"shape": SHAPE}
    with built_producer() as producer:
        if only in ("", "stream"):
            result["streams"] = [
                _stream(producer, pixel_format, asked_hz, seconds)
                for pixel_format, asked_hz in (
                    ("Mono8", rate),
                    ("Mono8", 5000.0),
                    ("Mono12p", 200.0),
                    ("Mono12p", rate),
                )
            ]
        if only in ("", "unpack"):
            result["unpack_ms"] = _time_unpacking()
        if only in ("", "loop"):
            result["event_loop_delay_ms"] = _event_loop_delays(producer, seconds)
        if restarts:
            result["restarts"] = restarts_without_growth(producer, restarts)
        if soak_s:
            result["soak"] = soak(producer, soak_s)
    finish(result, json)


def _stream(producer: Path, pixel_format: str, asked_hz: float, seconds: float) -> dict[str, Any]:
    line = ReadingLine(open_virtual(producer, asked_hz, pixel_format))
    line.start()
    sleep(1.0)  # the first second has the pages of the slots to make
    before, start = line.account(), perf_counter()
    sleep(seconds)
    after, took_s = line.account(), perf_counter() - start
    account = line.stop()
    lost = lost_before_the_queue(account)
    waited = summarise(line.latencies_ms)
    figures = {
        "pixel_format": pixel_format,
        "asked_fps": asked_hz,
        "delivered_fps": round((after.delivered - before.delivered) / took_s, 1),
        "lost": dict(lost),
        "account_exact": account.is_exact,
        "to_consumer_ms": waited,
    }
    console.print(
        f"{pixel_format:8} asked {asked_hz:6.0f} fps: {figures['delivered_fps']:7.1f} fps into the queue, "
        f"{sum(lost.values())} lost, capture to consumer p50 {waited['p50']:.2f} p99 {waited['p99']:.2f} ms"
    )
    return figures


def _time_unpacking() -> dict[str, dict[str, dict[str, float]]]:
    """This program's unpacking and harvesters' own, of the same bytes, in turn."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    rng = np.random.default_rng(0)
    for name in ("Mono10p", "Mono12p", "Mono12Packed"):
        pixel_format, theirs = FORMATS_BY_NAME[name], Dictionary.get_proxy(symbolic=name)
        packed = rng.integers(0, 256, pixel_format.row_bytes(SHAPE[0] * SHAPE[1]), np.uint8)
        raw, pixels = packed.tobytes(), np.empty(SHAPE, np.uint16)
        pixel_format.read_into(pixels, raw)
        np.testing.assert_array_equal(pixels.reshape(-1), theirs.expand(packed))
        pairs = [
            (_took_ms(lambda: pixel_format.read_into(pixels, raw)), _took_ms(lambda: theirs.expand(packed)))  # noqa: B023
            for _ in range(_UNPACK_REPEATS)
        ]
        ours_ms, theirs_ms = zip(*pairs, strict=True)
        times[name] = {"qpi-live": summarise(ours_ms), "harvesters": summarise(theirs_ms)}
        ours, other = times[name]["qpi-live"]["p50"], times[name]["harvesters"]["p50"]
        console.print(f"{name:12} unpacked in {ours:.3f} ms (median); harvesters' own expansion takes {other:.3f} ms")
    return times


def _took_ms(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return (perf_counter() - start) * 1e3


def _event_loop_delays(producer: Path, seconds: float) -> dict[str, dict[str, float]]:
    ways: dict[str, Callable[[], Sequence[float]]] = {
        "no camera": lambda: asyncio.run(_delays(seconds, lambda: None)),
        "capture process": lambda: _beside_capture_process(producer, seconds),
        "thread in process, 1 ms waits": lambda: _beside_naive_thread(producer, seconds, wait_ms=1),
        "thread in process, 200 ms waits": lambda: _beside_naive_thread(producer, seconds, wait_ms=200),
    }
    delays = {}
    for name, measure in ways.items():
        delays[name] = summarise(measure())
        console.print(
            f"event loop beside {name:31} 100 fps, then nothing for {_STALL_MS / 1000:.0f} s: delayed "
            f"p50 {delays[name]['p50']:.2f} p99 {delays[name]['p99']:.2f} max {delays[name]['max']:.1f} ms"
        )
    return delays


async def _delays(seconds: float, stall: Callable[[], object]) -> list[float]:
    """How late each tick of an event loop came, in ms; the stream stalls in the middle."""
    delays_ms: list[float] = []
    loop = asyncio.get_running_loop()
    begun = loop.time()
    stalled = False
    while (now := loop.time()) - begun < seconds:
        if not stalled and now - begun > seconds / 2:
            stalled = True
            await asyncio.to_thread(stall)
            now = loop.time()
        await asyncio.sleep(_TICK_S)
        delays_ms.append((loop.time() - now - _TICK_S) * 1e3)
    return delays_ms


def _beside_capture_process(producer: Path, seconds: float) -> Sequence[float]:
    line = ReadingLine(open_virtual(producer, 100.0))
    line.start()
    try:
        return asyncio.run(_delays(seconds, lambda: line.camera.set_feature("FaultStallMs", _STALL_MS)))
    finally:
        line.stop()


def _beside_naive_thread(producer: Path, seconds: float, wait_ms: int) -> Sequence[float]:
    """harvesters as its tutorials use it, in a thread of the process that also runs the event loop."""
    harvester = Harvester()
    harvester.add_file(str(producer))
    harvester.update()
    config = ParameterSet({ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: wait_ms})
    acquirer = harvester.create(0, config=config)
    nodes: Any = acquirer.remote_device.node_map
    stop = Event()
    nodes.AcquisitionFrameRate.value = 100.0
    acquirer.start()

    def read() -> None:
        while not stop.is_set():
            buffer = acquirer.try_fetch(timeout=0.2)
            if buffer is not None:
                with buffer:
                    buffer.payload.components[0].data.copy()

    thread = Thread(target=read)
    thread.start()
    try:
        return asyncio.run(_delays(seconds, lambda: setattr(nodes.FaultStallMs, "value", _STALL_MS)))
    finally:
        stop.set()
        thread.join()
        acquirer.destroy()
        harvester.reset()
