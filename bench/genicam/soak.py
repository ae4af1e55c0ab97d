"""A soak test in minutes: memory that stays flat and an account that stays exact."""

from __future__ import annotations

import gc
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
from qpi_live.bench.genicam.virtual_camera import ReadingLine, lost_before_the_queue, open_virtual
from qpi_live.bench.report import console
from qpi_live.camera.genicam.camera import GenicamCamera

_RATE_HZ = 100.0
_SETTLED = 0.1  # part of the soak after which memory must not grow
_FAULTS = {"FaultDropEvery": 997, "FaultIncompleteEvery": 1499, "FaultLateEvery": 1999}


def _memory_mib() -> dict[str, float]:
    """What this process and the capture process hold for themselves, and the slots that they share."""
    this = psutil.Process()
    processes = {"service": this, "capture": next(iter(this.children()), None)}
    memory = {}
    for name, process in processes.items():
        info = process.memory_info() if process else None
        memory[name] = (info.rss - info.shared) / 2**20 if info else 0.0
        memory[f"{name}_shared"] = info.shared / 2**20 if info else 0.0
    return memory


def soak(producer: Path, seconds: float) -> dict[str, Any]:
    """Stream with faults for `seconds`; memory over time, and what became of every frame."""
    line = ReadingLine(open_virtual(producer, _RATE_HZ))
    for fault, every in _FAULTS.items():
        line.camera.set_feature(fault, every)
    line.start()
    start, samples, inexact = monotonic(), [], 0
    settled: dict[str, float] | None = None
    while (passed := monotonic() - start) < seconds:
        sleep(min(1.0, seconds / 60))
        line.latencies_ms.clear()  # the bench's own memory is not what is measured
        inexact += not line.account().is_exact
        samples.append(_memory_mib())
        if settled is None and passed > _SETTLED * seconds:
            settled = samples[-1]
    account = line.stop()
    settled = settled or samples[0]
    growth = {name: round(samples[-1][name] - settled[name], 2) for name in settled}
    ended = account.delivered + sum(account.dropped.values())
    lost = lost_before_the_queue(account)
    figures = {
        "seconds": round(seconds, 1),
        "frames": account.captured,
        "delivered": account.delivered,
        "lost": dict(lost),
        "memory_mib": {name: round(size, 1) for name, size in samples[-1].items()},
        "growth_mib": growth,
        "account_exact_at_every_look": inexact == 0 and account.is_exact,
        "ids_unaccounted": line.newest_id + 1 - ended + account.dropped.get("stream stopped", 0),
    }
    console.print(
        f"soak of {seconds:.0f} s: {account.captured} frames, {account.delivered} delivered, lost {dict(lost)}; memory "
        f"grew by {growth['service']:+.1f} MiB (service) and {growth['capture']:+.1f} MiB (capture process); account "
        f"{'exact' if figures['account_exact_at_every_look'] else 'NOT EXACT'}, "
        f"{figures['ids_unaccounted']} ids unaccounted for"
    )
    return figures


def restarts_without_growth(producer: Path, restarts: int) -> dict[str, Any]:
    """Stop and start the camera: whole, with its process, and its stream alone."""
    camera = open_virtual(producer, 500.0)
    whole = _grown(camera, restarts, _restart)
    camera.start()
    streams = _grown(camera, restarts, _pause_and_resume)
    camera.stop()
    console.print(f"{restarts} restarts with a new process: {whole}; {restarts} of the stream alone: {streams}")
    return {"restarts": restarts, "of_the_process": whole, "of_the_stream": streams}


def _restart(camera: GenicamCamera) -> None:
    camera.start()
    camera.read(10.0)
    camera.stop()


def _pause_and_resume(camera: GenicamCamera) -> None:
    camera.pause()
    camera.resume()
    camera.read(10.0)


def _grown(camera: GenicamCamera, times: int, once: Any) -> dict[str, float]:
    for _ in range(5):  # until everything that is made once has been made
        once(camera)
    before = _held()
    for _ in range(times):
        once(camera)
    after = _held()
    return {name: round(after[name] - before[name], 2) for name in after}


def _held() -> dict[str, float]:
    gc.collect()
    this, memory = psutil.Process(), _memory_mib()
    return {
        "service_mib": memory["service"],
        "capture_mib": memory["capture"],
        "descriptors": this.num_fds(),
        "threads": this.num_threads(),
        "processes": len(this.children()),
    }
