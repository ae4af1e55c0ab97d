"""What one client can take of the server: connections, headers, time, memory. The others are answered all the while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from threading import Event
from time import monotonic, sleep
from urllib.parse import urlsplit

import numpy as np
import pytest
from qpi_live.camera.features import Feature, FeatureValue
from qpi_live.camera.window import SensorWindow, WindowChange
from qpi_live.service.http import bodies, body_limit, connections
from qpi_live.service.http.bodies import PacedBodies
from qpi_live.service.station import Station
from starlette.responses import Response
from starlette.types import Message

from tests.fakes import FakeCamera, FakeEngine, TunableFakeEngine
from tests.service.stations import Bench, Serving, until

PATIENCE_S = 15.0
START = b"GET /api/v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Site:
    """A service on a real socket, and raw connections to it."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        address = urlsplit(url)
        self.address = (address.hostname, address.port)
        self._stack = stack

    def connect(self, send: bytes = b"", source: str | None = None) -> socket.socket:
        connection = socket.create_connection(self.address, PATIENCE_S, source_address=(source, 0) if source else None)
        self._stack.enter_context(connection)
        connection.sendall(send)
        return connection

    def status(self, path: str, method: str = "GET", body: bytes = b"", source: str | None = None) -> int:
        connection = HTTPConnection(*self.address, timeout=PATIENCE_S, source_address=(source, 0) if source else None)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        finally:
            connection.close()


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def send_for_ever(connection: socket.socket, data: bytes) -> None:
    for _ in range(1000):
        connection.sendall(data)
        sleep(0.001)


@pytest.fixture
def site(serve: Serving, make_station: Callable[..., Station]) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(serve(make_station(FakeCamera(), FakeEngine())), stack)


@pytest.mark.parametrize("piece", [40_000, 500])
def test_headers_that_never_end_are_431_and_the_connection_is_closed(site: Site, piece: int) -> None:
    connection = site.connect(START + b"x: ")
    answer = b""
    try:
        for _ in range(200_000 // piece):
            connection.sendall(b"a" * piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = rest_of(connection)
    assert answer == b"" or b" 431 " in answer.splitlines()[0]
    assert site.status("/api/v1/stats") == 200


def test_headers_that_are_too_large_and_whole_are_431(site: Site) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (index, b"a" * 1000) for index in range(40))
    assert b" 431 " in rest_of(site.connect(START + many + b"\r\n")).splitlines()[0]


def test_chunk_extensions_that_never_end_are_closed(site: Site) -> None:
    connection = site.connect(
        b"POST /api/v1/phase HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 10_000
    )
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        send_for_ever(connection, b"e" * 10_000)


@pytest.mark.parametrize("begun", [b"", START, START + b"x: "])
def test_connection_that_does_not_ask_in_time_is_closed(
    site: Site, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.3)
    began = monotonic()
    answer = rest_of(site.connect(begun))
    assert monotonic() - began < 5
    assert answer == b"" if not begun else b" 408 " in answer


def test_connections_that_ask_nothing_give_way_to_one_that_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_PER_ADDRESS", 12)
    monkeypatch.setattr(connections, "_LET_GO_AFTER_S", 0.0)
    idle = [site.connect(begun) for begun in (b"", START) for _ in range(12)]
    for _ in range(3):
        assert site.status("/api/v1/stats") == 200
    assert rest_of(idle[0]) == b""


def test_connections_from_one_address_leave_room_for_others_and_for_health(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_PER_ADDRESS", 4)
    uploading = START.replace(b"GET /api/v1/stats", b"POST /api/v1/phase") + b"Content-Length: 1000\r\n\r\n"
    for _ in range(4):
        site.connect(uploading)
    until(lambda: site.status("/api/v1/stats") == 503)
    assert site.status("/health/live") == 200
    assert site.status("/health/ready") in (200, 503)
    assert site.status("/api/v1/stats", source="127.0.0.2") == 200


def test_connections_beyond_even_those_for_health_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_PER_ADDRESS", 0)
    monkeypatch.setattr(connections, "MOST_SURPLUS", 2)

    def is_refused() -> bool:
        for _ in range(2):
            site.connect(START)
        sleep(0.1)  # one whose first bytes are not read yet gives way
        return b" 503 " in rest_of(site.connect())

    until(is_refused)


@pytest.fixture
def large(serve: Serving, make_station: Callable[..., Station]) -> Iterator[Site]:
    """A service whose newest frame is larger than what the kernel takes at once."""
    camera = FakeCamera((2400, 2400))
    station = make_station(camera, FakeEngine())
    with ExitStack() as stack:
        site = Site(serve(station), stack)
        camera.send()
        until(lambda: station.hub.latest is not None)
        yield site


def slow_reader(site: Site) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    connection.settimeout(PATIENCE_S)
    connection.connect(site.address)
    connection.sendall(START.replace(b"stats", b"frames/latest") + b"\r\n")
    site._stack.callback(connection.close)
    return connection


def test_client_that_stops_reading_an_answer_is_let_go(large: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_S", 1.0)
    connection = slow_reader(large)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    sleep(4)
    assert len(rest_of(connection)) < 5_000_000


def test_client_that_reads_an_answer_slowly_is_kept(large: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_S", 1.0)
    connection = slow_reader(large)
    seen = 0
    for _ in range(25):
        sleep(0.2)
        seen += len(connection.recv(20_000))
    assert seen + len(rest_of(connection)) > 2400 * 2400 * 4


def test_answers_beyond_the_memory_for_them_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_MOST_ON_THE_WAY", 2 << 20)
    app = PacedBodies(Response(bytes(1 << 20)))
    statuses, reading = [], asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        else:
            assert len(message["body"]) <= 256 << 10
            await reading.wait()

    async def all_at_once() -> None:
        scope = {"type": "http", "method": "GET", "headers": []}
        answers = [asyncio.create_task(app(scope, None, send)) for _ in range(4)]  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert statuses == [200, 200, 503, 503]
        reading.set()
        await asyncio.gather(*answers)
        await app(scope, None, send)  # type: ignore[arg-type]

    # A thread of its own: the browser of other tests holds a running loop in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, all_at_once()).result()
    assert statuses[-1] == 200


def test_json_of_more_than_64_kib_is_413_and_files_may_be_larger(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(TunableFakeEngine()).client
    large = b'{"sideband": "upper"' + b" " * 70_000 + b"}"
    for method, path in (("PUT", "/api/v1/engine/sideband"), ("POST", "/api/v1/engine/carrier")):
        assert client.request(method, path, content=large).status_code == (413 if method == "PUT" else 200)
    assert client.put("/api/v1/camera/settings", content=large).status_code in (409, 413)
    assert client.post("/api/v1/phase", content=np.random.default_rng(0).bytes(100_000)).status_code == 422


def test_small_body_that_does_not_come_in_time_is_408(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "_PLAIN_S", 0.3)
    request = b"PUT /api/v1/engine/sideband HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
    assert b" 408 " in site.connect(request).recv(1000).splitlines()[0]


def test_head_is_answered_wherever_get_is(bench: Bench) -> None:
    bench.frames()
    paths = bench.client.get("/api/v1/openapi.json").json()["paths"]
    plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
    assert len(plain) > 8
    for path in [*plain, "/", "/web/main.js", "/api/v1/openapi.json", "/api/v1/frames/latest?format=png"]:
        head, get = bench.client.head(path), bench.client.get(path)
        assert head.status_code == get.status_code, path
        assert head.content == b"", path
        assert set(head.headers) == set(get.headers), path


class HangingCamera(FakeCamera):
    """A camera with features whose driver does not answer."""

    is_paused = False

    def __init__(self) -> None:
        super().__init__()
        self.answers = Event()

    def features(self) -> list[Feature]:
        self.answers.wait(PATIENCE_S)
        return []

    def feature(self, name: str) -> Feature:
        raise NotImplementedError

    def set_feature(self, name: str, value: FeatureValue) -> Feature:
        raise NotImplementedError

    def save_settings(self) -> dict[str, FeatureValue]:
        return {}

    def load_settings(self, settings: dict[str, FeatureValue]) -> None:
        raise NotImplementedError

    def window(self) -> SensorWindow:
        raise NotImplementedError

    def set_window(self, change: WindowChange) -> SensorWindow:
        raise NotImplementedError

    def pause(self) -> None:
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError


def test_camera_that_does_not_answer_is_503_for_most_and_keeps_nobody_else_waiting(
    serve: Serving, make_station: Callable[..., Station]
) -> None:
    camera = HangingCamera()
    with ExitStack() as stack:
        site = Site(serve(make_station(camera, FakeEngine())), stack)
        asking = [site.connect(START.replace(b"stats", b"camera/features") + b"\r\n") for _ in range(45)]
        until(lambda: site.status("/api/v1/camera/features") == 503)
        for path in ("/health/live", "/health/ready", "/api/v1/stats", "/api/v1/engine"):
            began = monotonic()
            site.status(path)
            assert monotonic() - began < 2, path
        camera.answers.set()
        statuses = [int(connection.recv(1000).split()[1]) for connection in asking]
    assert statuses.count(200) == 8
    assert statuses.count(503) == 37
