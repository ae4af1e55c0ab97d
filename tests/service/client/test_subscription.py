"""How the client's stream of frames runs and ends: always the newest, and never in silence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from socket import create_server
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest
from qpi_live.service.station import Station
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from qpi_live import PhaseClient, ServiceError
from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Serving, until

Served = tuple[Station, FakeCamera, str]


@pytest.fixture
def served(make_station: Callable[..., Station], serve: Serving) -> Served:
    camera = FakeCamera((64, 64))
    station = make_station(camera, FakeEngine())
    return station, camera, serve(station)


def send_and_settle(station: Station, camera: FakeCamera, frames: int) -> None:
    for _ in range(frames):
        before = station.pipeline.account.snapshot().delivered
        camera.send()
        until(lambda: station.pipeline.account.snapshot().delivered > before)  # noqa: B023


@contextmanager
def service_by_hand(handle: Callable[[ServerConnection], None]) -> Iterator[str]:
    """The URL of a WebSocket server that does what the test says."""
    with serve_websocket(handle, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(PATIENCE_S)


def test_client_that_is_slower_than_the_camera_gets_the_newest_frame_each_time(served: Served) -> None:
    station, camera, url = served
    send_and_settle(station, camera, 1)
    with PhaseClient(url) as client, closing(client.frames()) as frames:
        assert next(frames).sequence == 0
        for newest in (30, 60, 90):
            send_and_settle(station, camera, 30)  # while the program works on the frame
            assert next(frames).sequence == newest


def test_client_whose_connection_is_cut_raises_and_says_so() -> None:
    with create_server(("127.0.0.1", 0)) as listening:

        def accept_and_cut() -> None:
            with listening.accept()[0] as connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(65536)
                key = next(line for line in request.decode().splitlines() if "sec-websocket-key" in line.lower())
                from websockets.utils import accept_key

                accepted = accept_key(key.split(": ")[1])
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + f"Sec-WebSocket-Accept: {accepted}\r\n\r\n".encode()
                )

        thread = Thread(target=accept_and_cut)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with PhaseClient(url) as client, pytest.raises(ServiceError, match="cut without a goodbye"):
            next(client.frames())
        thread.join(PATIENCE_S)


@pytest.mark.parametrize("code", [1008, 1009, 1011, 1013])
def test_client_whose_connection_the_service_closes_raises_its_reason(code: int) -> None:
    with (
        service_by_hand(lambda connection: connection.close(code, "expected less of that")) as url,
        PhaseClient(url) as client,
        pytest.raises(ServiceError, match=rf"\({code}\): expected less of that"),
    ):
        next(client.frames())


def test_client_of_a_service_that_is_no_phase_service_says_so() -> None:
    with (
        service_by_hand(lambda connection: connection.send(b"something else")) as url,
        PhaseClient(url) as client,
        pytest.raises(ServiceError, match="expected a service of this client's version"),
    ):
        next(client.frames())


@pytest.mark.parametrize("text", ['{"status": {"mood": "fine"}}', '{"weather": 1}'])
def test_client_passes_over_news_it_does_not_know(text: str) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.send(text)
        connection.close(1000)

    with service_by_hand(handle) as url, PhaseClient(url) as client:
        assert list(client.frames()) == []


def test_client_without_a_frame_for_too_long_raises_with_what_the_service_says(served: Served) -> None:
    _, _, url = served
    with (
        PhaseClient(url) as client,
        pytest.raises(ServiceError, match=r"expected a frame within 0\.3 s, got none: \w+"),
    ):
        next(client.frames(wait_s=0.3))


def test_client_of_a_layer_that_is_not_there_raises_what_would_give_it_one(served: Served) -> None:
    station, camera, url = served
    send_and_settle(station, camera, 1)
    with PhaseClient(url) as client, pytest.raises(ServiceError, match="expected a simulated frame"):
        next(client.frames("true"))


def test_client_is_told_the_line_s_status(served: Served) -> None:
    station, camera, url = served
    send_and_settle(station, camera, 1)
    told = []
    with PhaseClient(url) as client, closing(client.frames(on_status=told.append)) as frames:
        next(frames)
        assert client.status is told[-1]
    assert told[0].state in ("live", "waiting")  # the camera gives one frame, and then no more
    assert (told[0].epoch, told[0].engine, told[0].camera) == (1, "fake", "fake")


def test_client_that_reconnects_outlives_cuts_and_refusals(served: Served) -> None:
    goes = Event()
    station, camera, url = served
    send_and_settle(station, camera, 1)
    with PhaseClient("http://127.0.0.1:9") as client, closing(client.frames(reconnect=True)) as frames:
        Thread(target=lambda: (sleep(0.5), setattr(client, "_stream_url", url.replace("http", "ws") + "/api/v1/stream"),
                               goes.set())).start()  # fmt: skip
        assert next(frames).sequence == 0
        assert goes.is_set()


def test_client_without_a_configurable_camera_says_the_service_s_sentence(served: Served) -> None:
    with PhaseClient(served[2]) as client:
        assert client.camera.describe()["camera"]["source"] == "fake"
        assert client.camera.use("fake")["sources"] == ["fake"]
        with pytest.raises(ServiceError, match="expected a camera among fake"):
            client.camera.use("another")
        for act in (client.camera.stop, client.camera.start, client.camera.features):
            with pytest.raises(ServiceError, match="expected a camera with features"):
                act()
        with pytest.raises(ServiceError, match="expected a camera with features"):
            client.camera.exposure_us = 100


def test_client_import_brings_in_nothing_that_a_program_which_reads_frames_does_without() -> None:
    program = "import sys; from qpi_live import PhaseClient; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"scipy", "numba", "fastapi", "starlette", "httpx", "prometheus_client", "onnxruntime", "h5py", "rich"}
    heavy |= {"pydantic", "websockets"}  # a tenth of a second together, and the first frame is soon enough
    assert not heavy & set(loaded.stdout.split())


def test_client_of_a_genicam_camera_sets_its_exposure(
    virtual_producer: Any, make_station: Callable[..., Station], serve: Serving
) -> None:
    from qpi_live.camera.source import CameraOptions, open_camera

    camera = open_camera(f"gentl:{virtual_producer}", CameraOptions(shape=(128, 128)))
    url = serve(make_station(camera, FakeEngine()))
    with PhaseClient(url) as client, closing(client.frames(wait_s=PATIENCE_S)) as frames:
        next(frames)
        client.camera.exposure_us = 1500
        assert client.camera.exposure_us == pytest.approx(1500)
        assert json.dumps(client.camera.features()["ExposureTime"]["unit"])
        assert client.camera.set_feature("Gain", 2.0)["value"] == pytest.approx(2.0)
        client.camera.stop()
        assert client.camera.describe()["paused"] is True
        client.camera.start()
        next(frames)


def test_client_that_another_thread_stops_ends_though_no_frame_comes(served: Served) -> None:
    station, camera, url = served
    send_and_settle(station, camera, 1)
    stop, received = Event(), []
    with PhaseClient(url) as client:

        def watch() -> None:
            received.extend(frame.sequence for frame in client.frames(reconnect=True, stop=stop))

        watching = Thread(target=watch)
        watching.start()
        until(lambda: station.audience.present() != [])
        stop.set()
        watching.join(PATIENCE_S)
        assert not watching.is_alive()
        assert list(client.frames(stop=stop)) == []  # nor is anything begun that is stopped already
