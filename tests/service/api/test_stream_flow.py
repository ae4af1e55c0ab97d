"""The stream's flow over real sockets: how old frames are, who is kept and who is let go."""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

import pytest
from qpi_live.service.api.stream import CLIENT_GONE, CLIENT_STUCK
from qpi_live.service.http import websocket_protocol
from qpi_live.service.station import Station
from qpi_live.service.wire import unpack
from websockets.sync.client import connect

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Serving, until
from tests.service.watching import STREAM, RawClient, frame_over

Served = tuple[Station, FakeCamera, str]
SMALL, LARGE = (64, 64), (1200, 1000)
BUFFER_BYTES = 1 << 22  # holds hundreds of the small frames


@pytest.fixture
def serve_frames(make_station: Callable[..., Station], serve: Serving) -> Callable[[tuple[int, int]], Served]:
    def start(shape: tuple[int, int]) -> Served:
        camera = FakeCamera(shape)
        station = make_station(camera, FakeEngine())
        return station, camera, serve(station)

    return start


def send_and_settle(station: Station, camera: FakeCamera, frames: int) -> None:
    """Send frames one by one, each published before the next."""
    for _ in range(frames):
        before = station.pipeline.account.snapshot().delivered
        camera.send()
        until(lambda: station.pipeline.account.snapshot().delivered > before)  # noqa: B023


def sequence(message: bytes) -> int:
    return unpack(message).header.sequence


def test_client_with_credit_gets_the_next_frame_only_when_it_is_ready_and_then_the_newest(
    serve_frames: Callable[..., Served],
) -> None:
    station, camera, url = serve_frames(SMALL)
    send_and_settle(station, camera, 1)
    with connect(f"{url.replace('http', 'ws')}{STREAM}?credit=true", compression=None, proxy=None) as client:
        assert sequence(frame_over(client)) == 0
        send_and_settle(station, camera, 6)
        with pytest.raises(TimeoutError):
            client.recv(0.2)
        for newest in (6, 8):
            client.send('{"ready": true}')
            assert sequence(frame_over(client)) == newest
            send_and_settle(station, camera, 2)
        (viewer,) = station.audience.present()
        account = viewer.mailbox.account.snapshot()
        assert account.is_exact
        assert account.delivered == 3


def test_client_that_is_ready_before_a_frame_comes_gets_each_at_once(serve_frames: Callable[..., Served]) -> None:
    station, camera, url = serve_frames(SMALL)
    with connect(f"{url.replace('http', 'ws')}{STREAM}?credit=true", compression=None, proxy=None) as client:
        for expected in range(20):
            send_and_settle(station, camera, 1)
            assert sequence(frame_over(client)) == expected
            client.send('{"ready": true, "max_fps": 0}')


def test_client_without_credit_that_pauses_finds_the_newest_frame(serve_frames: Callable[..., Served]) -> None:
    station, camera, url = serve_frames(SMALL)
    with RawClient(url, buffer_bytes=BUFFER_BYTES, answers_pings=True) as client:
        frames = client.frames()
        for newest in (0, 12, 24, 36):
            send_and_settle(station, camera, 1 if newest == 0 else 12)  # while it does something else
            assert sequence(next(frames)) == newest


def test_client_that_answers_no_ping_gets_frames_all_the_same(serve_frames: Callable[..., Served]) -> None:
    station, camera, url = serve_frames(SMALL)
    with RawClient(url, buffer_bytes=BUFFER_BYTES) as client:
        frames = client.frames()
        for expected in range(3):
            send_and_settle(station, camera, 1)
            assert sequence(next(frames)) == expected


def test_client_that_reads_slowly_but_steadily_is_kept(
    serve_frames: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    station, camera, url = serve_frames(LARGE)
    monkeypatch.setattr(websocket_protocol, "STALL_S", 1.0)
    with RawClient(url) as client:
        send_and_settle(station, camera, 1)
        started = monotonic()
        while monotonic() - started < 4:
            assert len(client.socket.recv(50_000)) > 0
            sleep(0.25)  # 200 kB a second: the frame takes 24 s
        assert len(station.audience.present()) == 1
        assert not station.audience.departed()[0]


def test_client_behind_a_large_frame_is_not_closed_for_a_late_pong(
    serve_frames: Callable[..., Served], serve: Serving
) -> None:
    station, camera, url = serve_frames(LARGE)
    config = serve._running[-1][0].config
    config.ws_ping_interval = config.ws_ping_timeout = 0.3
    with RawClient(url) as client:
        send_and_settle(station, camera, 1)
        started = monotonic()
        while monotonic() - started < 2:
            client.socket.recv(50_000)
            sleep(0.1)
        assert len(station.audience.present()) == 1


def test_client_that_was_there_and_reads_no_more_is_let_go(
    serve_frames: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    station, camera, url = serve_frames(SMALL)
    monkeypatch.setattr(websocket_protocol, "STALL_S", 0.5)
    with RawClient(url, buffer_bytes=BUFFER_BYTES, answers_pings=True) as client:
        send_and_settle(station, camera, 1)
        assert sequence(next(client.frames())) == 0
        send_and_settle(station, camera, 1)  # fits into its buffer, and is never read
        until(lambda: not station.audience.present())
    assert station.audience.departed()[0] == {CLIENT_STUCK: 1}


def test_client_with_credit_may_think_for_longer_than_a_stuck_one_is_kept(
    serve_frames: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    station, camera, url = serve_frames(LARGE)
    monkeypatch.setattr(websocket_protocol, "STALL_S", 0.5)
    address = f"{url.replace('http', 'ws')}{STREAM}?credit=true"
    with connect(address, compression=None, proxy=None, max_size=None) as client:
        send_and_settle(station, camera, 1)
        assert sequence(frame_over(client)) == 0
        sleep(1.5)
        send_and_settle(station, camera, 3)
        client.send('{"ready": true}')
        assert sequence(frame_over(client)) == 3


@pytest.mark.parametrize("says", [b"", b"x" * 100])
def test_flood_of_pings_from_a_client_that_never_reads_ends_its_connection(
    serve_frames: Callable[..., Served], says: bytes
) -> None:
    station, camera, url = serve_frames(LARGE)
    with RawClient(url) as client:
        send_and_settle(station, camera, 1)
        with suppress(ConnectionError):
            for _ in range(1_000):  # many at once: a slow machine would not flood otherwise
                client.ping(says, times=1_000)
            pytest.fail("the flood was taken to its end")
        until(lambda: not station.audience.present())
    assert station.audience.departed()[1].is_exact


def test_pings_of_a_client_that_does_not_read_are_answered_by_one_pong(serve_frames: Callable[..., Served]) -> None:
    station, camera, url = serve_frames(LARGE)
    with RawClient(url) as client:
        send_and_settle(station, camera, 1)
        until(lambda: len(client.socket.recv(20_000, socket.MSG_PEEK)) == 20_000)  # the frame is on its way
        for number in range(100):
            client.ping(number.to_bytes(4))
        messages = client.messages()
        pongs = []
        while not pongs or pongs[-1] != (99).to_bytes(4):
            opcode, data = next(messages)
            if opcode == 10:
                pongs.append(data)
        assert len(pongs) < 100


@pytest.mark.parametrize("pieces", [1, 3])
def test_message_too_large_is_refused_by_its_close_code_whole_or_in_pieces(
    serve_frames: Callable[..., Served], pieces: int
) -> None:
    _, _, url = serve_frames(SMALL)
    with RawClient(url) as client:
        for piece in range(pieces):
            client.say(1 if piece == 0 else 0, b"x" * (6000 // pieces), is_final=piece == pieces - 1)
        assert client.close_code() == 1009


def test_clients_that_leave_in_the_middle_leave_no_traceback(
    serve_frames: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    station, camera, url = serve_frames(LARGE)
    camera.send()
    reset = struct.pack("ii", 1, 0)
    for read_bytes in (0, 10, 200_000) * 4:
        with RawClient(url) as client:
            if read_bytes:
                client.socket.recv(read_bytes)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    for _ in range(4):  # and before the handshake is answered
        with socket.create_connection(url.removeprefix("http://").split(":")) as early:
            early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            early.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n".encode())
            early.sendall(b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
            early.sendall(b"Sec-WebSocket-Version: 13\r\n\r\n")
    until(lambda: sum(station.audience.departed()[0].values()) >= 12 and not station.audience.present())
    assert set(station.audience.departed()[0]) == {CLIENT_GONE}
    assert station.audience.departed()[1].is_exact
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_stream_of_a_camera_with_ids_beyond_63_bits_goes_on(serve_frames: Callable[..., Served]) -> None:
    station, camera, url = serve_frames(SMALL)
    with connect(f"{url.replace('http', 'ws')}{STREAM}", compression=None, proxy=None) as client:
        for expected, device_id in enumerate((2**63 - 1, 2**63, 2**64 - 1)):
            camera.device_ids.append(device_id)
            send_and_settle(station, camera, 1)
            header = unpack(frame_over(client)).header
            assert (header.sequence, header.device_id) == (expected, device_id)


def test_stream_at_the_stop_says_so_by_its_close_code(serve_frames: Callable[..., Served], serve: Serving) -> None:
    _, _, url = serve_frames(SMALL)
    with connect(f"{url.replace('http', 'ws')}{STREAM}", compression=None, proxy=None) as client:
        assert "status" in json.loads(client.recv(PATIENCE_S))
        serve.stop()
        until(lambda: client.close_code is not None)
        assert client.close_code == 1012
