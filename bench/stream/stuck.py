"""The cost of one client that never reads, to the others: their rate, memory, the account, the event loop."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from socket import SO_ERROR, SO_RCVBUF, SOL_SOCKET, create_connection, socket
from threading import Event, Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
from qpi_live.service.api.schemas import Account, Stats
from qpi_live.service.client import PhaseClient, ReceivedFrame
from rich.table import Table

_ALONE_SHARE = 0.5  # of the time with the stuck client
_SETTLE_FRAMES = 20  # what had gathered in the buffers on the way is read before the clock starts
_MIB = 2**20


@dataclass
class Watch:
    """What was seen of the service while frames were read."""

    frames: int = 0
    seconds: float = 0.0
    readings: int = 0
    inexact: int = 0
    resident_mib: list[float] = field(default_factory=list)
    loop_p99_ms: list[float] = field(default_factory=list)
    captured: int = 0
    delivered: int = 0

    @property
    def received_fps(self) -> float:
        """Frames per second that the reading client got."""
        return self.frames / self.seconds

    @property
    def captured_fps(self) -> float:
        """Frames per second that the camera exposed in that time."""
        return self.captured / self.seconds

    @property
    def delivered_fps(self) -> float:
        """Frames per second that the engine finished, the most that any client can get."""
        return self.delivered / self.seconds


class StuckClient:
    """Shakes hands, never reads, and comes back when it has been let go of; a thread of its own."""

    def __init__(self, url: str) -> None:
        self.connections = 0
        self._address = urlsplit(url)
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> StuckClient:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._connect() as connection:
                self.connections += 1
                while not self._stop.wait(0.2) and not _is_reset(connection):
                    pass

    def _connect(self) -> socket:
        address = self._address
        connection = create_connection((address.hostname or "", address.port or 80), timeout=10)
        connection.setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        connection.sendall(
            f"GET /api/v1/stream HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return connection


def measure(url: str, seconds: float) -> tuple[dict[str, Any], Table]:
    """A client that reads, first alone, then for `seconds` beside one that never does; the figures and a table."""
    with PhaseClient(url) as client, closing(client.frames()) as frames:
        alone = _watch(client, frames, seconds * _ALONE_SHARE)
        with StuckClient(url) as stuck:
            beside = _watch(client, frames, seconds)
        stats = client.stats()
    result = {
        "alone": _summary(alone),
        "beside_a_stuck_client": _summary(beside),
        "rate_ratio": round(beside.received_fps / alone.received_fps, 4),
        "resident_growth_mib": round(_growth_mib(beside), 1),
        "stuck_connections": stuck.connections,
        "ended_connections": stats.departed.connections,
        "account_exact": alone.inexact + beside.inexact == 0,
        "account_readings": alone.readings + beside.readings,
    }
    return result, _table(alone, beside)


def _watch(client: PhaseClient, frames: Iterator[ReceivedFrame], seconds: float) -> Watch:
    """Read frames for so long, and the service's own figures once a second beside it."""
    watch, done = Watch(), Event()
    reader = Thread(target=_read_stats, args=(client, watch, done))
    for _ in range(_SETTLE_FRAMES):
        next(frames)
    before, start = client.stats().account, monotonic()
    reader.start()
    while monotonic() - start < seconds:
        next(frames)
        watch.frames += 1
    watch.seconds = monotonic() - start
    after = client.stats().account
    watch.captured, watch.delivered = after.captured - before.captured, after.delivered - before.delivered
    done.set()
    reader.join()
    return watch


def _read_stats(client: PhaseClient, watch: Watch, done: Event) -> None:
    with httpx.Client(trust_env=False) as metrics:
        while not done.wait(1.0):
            stats = client.stats()
            watch.readings += 1
            watch.inexact += not all_exact(stats)
            if stats.event_loop_ms is not None:
                watch.loop_p99_ms.append(stats.event_loop_ms.p99)
            text = metrics.get(client.url + "/metrics").text
            if found := re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE):
                watch.resident_mib.append(float(found[1]) / _MIB)


def all_exact(stats: Stats) -> bool:
    """Whether every account adds up."""
    accounts = [stats.account, stats.departed.account, *(subscriber.account for subscriber in stats.subscribers)]
    return all(_is_exact(account) for account in accounts)


def _is_exact(account: Account) -> bool:
    ended = account.delivered + sum(account.dropped.values()) + sum(account.failed.values())
    return account.captured == ended + account.in_flight


def _growth_mib(watch: Watch) -> float:
    """From the mean of the first quarter of the readings to that of the last, so that one reading does not decide."""
    readings = watch.resident_mib
    quarter = max(1, len(readings) // 4)
    return sum(readings[-quarter:]) / quarter - sum(readings[:quarter]) / quarter if readings else float("nan")


def _summary(watch: Watch) -> dict[str, Any]:
    return {
        "received_fps": round(watch.received_fps, 2),
        "delivered_fps": round(watch.delivered_fps, 2),
        "captured_fps": round(watch.captured_fps, 2),
        "seconds": round(watch.seconds, 1),
        "event_loop_delay_p99_ms": round(watch.loop_p99_ms[-1], 2) if watch.loop_p99_ms else None,
        "resident_mib": [round(min(watch.resident_mib), 1), round(max(watch.resident_mib), 1)],
    }


def _table(alone: Watch, beside: Watch) -> Table:
    table = Table("", "alone", "beside a stuck client", title="One client that reads", title_justify="left")
    for name, of_alone in _summary(alone).items():
        table.add_row(name.replace("_", " "), str(of_alone), str(_summary(beside)[name]))
    return table


def _is_reset(connection: socket) -> bool:
    """Whether the other side has let go; found out without reading what it sent."""
    return connection.getsockopt(SOL_SOCKET, SO_ERROR) != 0
