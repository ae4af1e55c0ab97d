"""How late an event loop wakes beside a camera that streams at 100 frames a second and then sends nothing for a second.

Three ways to acquire stand side by side. One is the capture process. The others are what a first attempt would do. A
thread in the same process waits for buffers through harvesters, for 1 ms or for 200 ms at a time. The loop does nothing
else. The last row is a real `qpi serve`, whose engine takes its part of the cores and of the interpreter lock.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import httpx
from harvesters.core import Harvester, ParameterKey, ParameterSet
from qpi_live.bench.genicam.virtual_camera import ReadingLine, open_virtual
from qpi_live.bench.report import console, summarise

_TICK_S = 0.001
_STALL_MS = 1000
_PATIENCE_S = 60.0


def event_loop_delays(producer: Path, seconds: float) -> dict[str, dict[str, float]]:
    """The delays of the loop's ticks in ms, beside each way to acquire."""
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
    delays["qpi serve"] = _beside_service(producer, seconds)
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


def _beside_service(producer: Path, seconds: float) -> dict[str, float]:
    """What a `qpi serve` says of its own loop, sampled ten times a second."""
    program = "from qpi_live.service.cli.main import main; main()"
    options = ["serve", "--camera", f"gentl:{producer}", "--fps", "100", "--port", "0", "--log-level", "error"]
    with subprocess.Popen([sys.executable, "-c", program, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            said = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
            with httpx.Client(base_url=f"{said.group() if said else ''}/api/v1", timeout=_PATIENCE_S) as client:
                return _stats_after_a_stall(client, seconds)
        finally:
            process.terminate()


def _stats_after_a_stall(client: httpx.Client, seconds: float) -> dict[str, float]:
    give_up = monotonic() + _PATIENCE_S
    while client.get("frames/latest", params={"downscale": 8}).status_code != 200 and monotonic() < give_up:
        sleep(0.1)
    sleep(35.0)  # the service's percentiles look 30 s back, and its first seconds are no figure
    client.put("camera/features/FaultStallMs", json={"value": _STALL_MS}).raise_for_status()
    sleep(seconds)
    stats = client.get("stats").json()
    delays: dict[str, float] = {name: round(stats["event_loop_ms"][name], 3) for name in ("p50", "p95", "p99", "max")}
    delays["delivered_fps"] = round(stats["fps"]["delivered"], 1)
    console.print(
        f"event loop of a qpi serve with goldstein, likewise: delayed p50 {delays['p50']:.2f} p99 {delays['p99']:.2f} "
        f"max {delays['max']:.1f} ms; {delays['delivered_fps']} of 100 fps retrieved"
    )
    return delays
