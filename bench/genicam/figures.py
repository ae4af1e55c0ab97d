"""The figures of `bench/camera.py`: rate and gaps, unpacking, and (in their own modules) event loop, soak, restarts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import typer
from harvesters.core import Dictionary
from qpi_live.bench.genicam.loop import event_loop_delays
from qpi_live.bench.genicam.soak import restarts_without_growth, soak
from qpi_live.bench.genicam.virtual_camera import (
    SHAPE,
    ReadingLine,
    built_producer,
    lost_before_the_queue,
    open_virtual,
)
from qpi_live.bench.report import JsonFile, console, finish, summarise
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME

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
    json: JsonFile = None,
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
            result["event_loop_delay_ms"] = event_loop_delays(producer, seconds)
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
