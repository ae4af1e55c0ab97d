"""Attacks at full scale on a real service: whoever asks for its health is answered all the while."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from statistics import median
from threading import Event, Thread
from time import monotonic

import psutil
import pytest
from qpi_live.service.http import connections
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Serving

pytestmark = pytest.mark.slow
USUAL_S = 0.1
HEAD = b"GET /api/v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Watched:
    """A service, attackers of it, and how long its health takes meanwhile."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._stack = stack
        self.address = (url.removeprefix("http://").split(":")[0], int(url.rpartition(":")[2]))

    def connect(self, send: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, PATIENCE_S)
        self._stack.enter_context(connection)
        with suppress(ConnectionError):  # refused at once: as good an answer
            connection.sendall(send)
        return connection

    def health_s(self) -> float:
        began = monotonic()
        connection = HTTPConnection(*self.address, timeout=PATIENCE_S)
        connection.request("GET", "/health/live")
        assert connection.getresponse().status == 200
        connection.close()
        return monotonic() - began

    def under(self, attack: Callable[[], None], at_least: int = 20) -> list[float]:
        """How long health took, again and again, while `attack` ran."""
        over, took = Event(), []

        def run() -> None:
            attack()
            over.set()

        thread = Thread(target=run, daemon=True)
        thread.start()
        while not over.is_set() or len(took) < at_least:
            took.append(self.health_s())
        thread.join()
        return took


@pytest.fixture
def watched(serve: Serving, make_station: Callable[..., Station]) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(serve(make_station(FakeCamera(), FakeEngine())), stack)


def slow_headers(watched: Watched) -> None:
    slow = [watched.connect(HEAD) for _ in range(200)]
    for _ in range(5):
        for connection in slow:
            with suppress(OSError):
                connection.sendall(b"x: y\r\n")


def idle_connections(watched: Watched) -> None:
    for _ in range(300):
        watched.connect()


def pipelined_requests(watched: Watched) -> None:
    connection = watched.connect()
    with suppress(OSError):
        for _ in range(10):
            connection.sendall((HEAD + b"\r\n") * 1_000)


def bombs(watched: Watched) -> None:
    jpeg = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHBBBB", 11, 8, 65500, 65500, 1, 1, 0x11, 0) + b"\xff\xda" + bytes(600)
    entries = ((256, 64), (257, 64), (258, 8), (259, 7), (262, 1), (273, 8), (277, 1), (278, 64), (279, len(jpeg)))
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    tiff = struct.pack("<2sHI", b"II", 42, 8 + len(jpeg)) + jpeg + directory + bytes(4)
    for _ in range(20):
        connection = HTTPConnection(*watched.address, timeout=PATIENCE_S)
        connection.request("POST", "/api/v1/phase", tiff)
        assert connection.getresponse().status in (413, 422, 503)
        connection.close()


def test_health_is_answered_while_all_connections_are_young_and_silent(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_PER_ADDRESS", 4)
    monkeypatch.setattr(connections, "MOST_SURPLUS", 2)
    for _ in range(10):
        watched.connect()
    assert watched.health_s() < PATIENCE_S


@pytest.mark.parametrize("attack", [slow_headers, idle_connections, pipelined_requests, bombs])
def test_health_under_attack_is_answered_as_quickly_as_ever(watched: Watched, attack: Callable) -> None:
    calm_s = median(watched.health_s() for _ in range(30))
    memory = psutil.Process().memory_info().rss
    took = watched.under(lambda: attack(watched))
    assert median(took) < USUAL_S + 10 * calm_s  # the machine may be busy itself
    assert max(took) < PATIENCE_S
    assert psutil.Process().memory_info().rss - memory < 200 << 20
