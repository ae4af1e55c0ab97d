"""Bodies made to hurt, over the real interface: each is answered at once or killed, and the next client is served."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import struct
from collections.abc import Callable
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from qpi_live.models.engines.onnx import SHIPPED_INT8
from qpi_live.service.station import Station

from tests.camera.files.test_decoding_bounds import BOMBS, tiff_of
from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.service.stations import Bench, Serving, until

PHASE = "/api/v1/phase?engine=goldstein"


def png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_bodies_that_would_give_far_more_than_they_are_cost_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.client.post(PHASE, content=b"start the process")
    worker = bench.station.on_demand._worker
    assert worker is not None
    process = psutil.Process(worker._process.pid)
    before, began = process.memory_info().rss, monotonic()
    for name, (compression, make) in BOMBS.items():
        answer = bench.client.post(PHASE, content=tiff_of([make()], compression))
        assert answer.status_code == 422, name
        assert "expected" in answer.json()["detail"], name
    assert process.memory_info().rss < before + (64 << 20)
    assert monotonic() - began < 60


def test_small_body_that_would_take_an_engine_too_much_is_413(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(sent_memory_mb=256)
    body = png(np.tile(fringes((256, 256), 0), (16, 16)))
    answer = bench.client.post("/api/v1/phase?engine=nasprnet", content=body)
    assert answer.status_code == 413, answer.text
    assert "expected at most 838860 pixels for the engine 'nasprnet'" in answer.json()["detail"]


@pytest.mark.parametrize("shape", [(36_672, 64), (64, 36_672)])
def test_body_that_is_a_strip_is_inverted_along_either_axis(
    make_bench: Callable[..., Bench], shape: tuple[int, int]
) -> None:
    answer = make_bench().client.post(PHASE, content=png(fringes(shape, 0)))
    assert answer.status_code == 200, answer.text
    assert np.load(BytesIO(answer.content)).shape == shape


def test_client_that_hangs_up_leaves_no_work_behind(serve: Serving, make_station: Callable[..., Station]) -> None:
    station = make_station(FakeCamera(), FakeEngine())
    address = urlsplit(serve(station))
    body = png(np.tile(fringes((500, 500), 0), (8, 8)))
    head = f"POST {PHASE} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head + body)
        until(lambda: station.on_demand._worker is not None)
        worker = station.on_demand._worker
        assert worker is not None
        until(lambda: psutil.Process(worker._process.pid).cpu_times().user > 1 and station.on_demand._turn.locked())
    until(lambda: not worker.is_alive)
    until(lambda: station.on_demand._inside == 0)
    next_one = HTTPConnection(str(address.hostname), address.port, timeout=120)
    next_one.request("POST", PHASE, png(fringes((128, 160), 0)))
    assert next_one.getresponse().status == 200
    next_one.close()


@pytest.mark.parametrize("path", [PHASE, "/api/v1/compare?a=goldstein&b=takeda", "/api/v1/engine"])
@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_that_are_cut_off_leave_nothing_in_the_log(
    serve: Serving, make_station: Callable[..., Station], caplog: pytest.LogCaptureFixture, path: str, chunked: bool
) -> None:
    station = make_station(FakeCamera(), FakeEngine())
    address = urlsplit(serve(station))
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
    verb, part = ("PUT", b'{"name": "gol') if path.endswith("engine") else ("POST", png(fringes((64, 64), 0))[:300])
    head = f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()
    body = f"{len(part):x}\r\n".encode() + part if chunked else part
    with caplog.at_level(logging.INFO):
        for is_reset in (False, True):
            for _ in range(5):
                with socket.create_connection((address.hostname, address.port)) as connection:
                    connection.sendall(head + body)
                    if is_reset:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: station.on_demand._inside == 0)
        assert httpx.get(f"{address.geturl()}/api/v1/stats", trust_env=False).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_body_sent_to_a_service_of_a_networks_file_is_inverted_by_it_and_hears_nothing_of_its_folder(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    network = tmp_path / "mine.onnx"
    shutil.copy(SHIPPED_INT8, network)
    bench = make_bench()
    bench.station.settings = bench.station.settings.model_copy(update={"engine": str(network)})
    answer = bench.client.post("/api/v1/phase", content=png(fringes((128, 160), 0)))
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers["QPI-Frame"])["engine"]["detail"]["file"] == "mine.onnx"
    refused = bench.client.post("/api/v1/phase", content=png(fringes((100, 160), 0)))
    assert refused.status_code == 422
    for said in (answer.headers["QPI-Frame"], refused.text):
        assert str(tmp_path) not in said
