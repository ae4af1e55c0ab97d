"""Everything at once for some minutes: what the service holds over time, and whether every account is exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Any

import httpx
import psutil
from qpi_live.bench.stream import crowd_of_all_sorts as sorts
from qpi_live.bench.stream.stuck import StuckClient, all_exact
from qpi_live.service.client import PhaseClient, ServiceError
from rich.table import Table

_LOOK_S = 2.0
_SETTLED = 0.25  # part of the time after which nothing may grow
_ENGINES = ("auto", "goldstein")
_ENGINE_S, _FAULT_S = 13.0, 9.0
# Every kind that the virtual camera has; after the last it is plugged in and sound.
_FAULTS: tuple[tuple[str, int | bool], ...] = (
    ("FaultDropEvery", 97), ("FaultIncompleteEvery", 131), ("FaultStallMs", 2500), ("FaultDisconnectMs", 1500),
    ("FaultHangMs", 2500), ("FaultLateEvery", 89), ("FaultCrash", True), ("FaultDropEvery", 0),
    ("FaultIncompleteEvery", 0), ("FaultLateEvery", 0),
)  # fmt: skip
# What may come on top between the second and the last quarter of the time, and is still flat.
_MOST_GROWTH = {"service_mib": 25.0, "children_mib": 60.0, "threads": 4.0, "descriptors": 8.0}


@dataclass
class Seen:
    """What was seen of the service, look by look."""

    held: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _MOST_GROWTH})
    health_ms: list[float] = field(default_factory=list)
    looks: int = 0
    inexact: int = 0
    states: Counter[str] = field(default_factory=Counter)


def soak(pid: int, url: str, seconds: float) -> dict[str, Any]:
    """Let everything happen to the service at `url`, whose process is `pid`."""
    done, did, seen = Event(), Counter[str](), Seen()
    with PhaseClient(url) as client:
        _wait_until_ready(client)
        jobs: list[Callable[[], None]] = [
            *(lambda kind=kind: sorts.steady(url, kind, done, did) for kind in range(6)),  # type: ignore[misc]
            *(lambda pause=pause: sorts.slow(url, pause, done, did) for pause in (0.5, 1.0, 3.0, 8.0)),  # type: ignore[misc]
            *(lambda: sorts.coming_and_going(url, done, did) for _ in range(4)),
            lambda: sorts.sending(url, done, did),
            lambda: _faults(url, done, did),
            lambda: _engines(url, done, did),
        ]
        threads = [Thread(target=job, daemon=True) for job in jobs]
        with ExitStack() as stack:
            stuck = [stack.enter_context(StuckClient(url)) for _ in range(2)]
            for thread in threads:
                thread.start()
            began = monotonic()
            while monotonic() - began < seconds:
                _look(psutil.Process(pid), client, seen)
                done.wait(_LOOK_S)
            done.set()
            for thread in threads:
                thread.join(60)
            did["stuck connections"] = sum(one.connections for one in stuck)
        stats = client.stats()
    return {
        "seconds": round(seconds, 1),
        "held": {name: _course(values) for name, values in seen.held.items()},
        "health_ms": {"median": round(median(seen.health_ms), 1), "max": round(max(seen.health_ms), 1)},
        "looks": seen.looks,
        "inexact": seen.inexact + (not all_exact(stats)),
        "states_seen": dict(seen.states),
        "did": dict(did),
        "account": stats.account.model_dump(),
        "departed": stats.departed.connections,
        "reconnects": stats.reconnects,
        "threads_left": sum(thread.is_alive() for thread in threads),
    }


def holds(figures: dict[str, Any]) -> bool:
    """Whether nothing grew and every account was exact."""
    grown = [name for name, most in _MOST_GROWTH.items() if figures["held"][name]["growth"] > most]
    return not grown and figures["inexact"] == 0


def table_of(figures: dict[str, Any]) -> Table:
    """For people."""
    table = Table("", "settled", "at the end", "most", "growth", title=f"Soak of {figures['seconds']:.0f} s")
    for name, course in figures["held"].items():
        table.add_row(name.replace("_", " "), *(f"{course[key]:.1f}" for key in ("settled", "end", "most", "growth")))
    account = figures["account"]
    table.caption = (
        f"{account['captured']} frames, {account['delivered']} delivered; {figures['looks']} looks at all accounts, "
        f"{figures['inexact']} not exact; health answered in {figures['health_ms']['median']} ms, at most "
        f"{figures['health_ms']['max']} ms"
    )
    return table


def _wait_until_ready(client: PhaseClient) -> None:
    clock = Event()
    while not client.is_ready():
        clock.wait(0.5)


def _look(service: psutil.Process, client: PhaseClient, seen: Seen) -> None:
    children = [child for child in service.children(recursive=True) if child.is_running()]
    seen.held["service_mib"].append(service.memory_info().rss / 2**20)
    seen.held["children_mib"].append(sum(_resident_mib(child) for child in children))
    seen.held["threads"].append(service.num_threads())
    seen.held["descriptors"].append(service.num_fds())
    asked = monotonic()
    httpx.get(f"{client.url}/health/live", trust_env=False, timeout=30)
    seen.health_ms.append((monotonic() - asked) * 1e3)
    stats = client.stats()
    seen.looks += 1
    seen.inexact += not all_exact(stats)
    seen.states[stats.state.name] += 1


def _resident_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:  # ended meanwhile
        return 0.0


def _course(values: list[float]) -> dict[str, Any]:
    """Medians of the second and the last quarter, so that one look does not decide, their difference, and of tenths."""
    quarter = max(1, int(len(values) * _SETTLED))
    settled, end = median(values[quarter : 2 * quarter] or values), median(values[-quarter:])
    course = {"settled": settled, "end": end, "most": max(values), "growth": end - settled}
    tenth = max(1, len(values) // 10)
    tenths = [round(median(values[at : at + tenth]), 1) for at in range(0, len(values), tenth)]
    return {name: round(value, 1) for name, value in course.items()} | {"tenths": tenths}


def _faults(url: str, done: Event, did: Counter[str]) -> None:
    with PhaseClient(url) as client:
        for name, value in cycle(_FAULTS):
            if done.wait(_FAULT_S):
                return
            try:
                client.camera.set_feature(name, value)
                did[f"camera {name}"] += 1
            except ServiceError:  # away, after the fault before
                did["camera refusals"] += 1


def _engines(url: str, done: Event, did: Counter[str]) -> None:
    with PhaseClient(url) as client:
        for name in cycle(_ENGINES):
            if done.wait(_ENGINE_S):
                return
            client.use_engine(name)
            did["engine switches"] += 1
