"""The token: who knows it is let in, over every way to say it, and who does not is told how."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from qpi_live.service.cli.serve import link
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station
from starlette.testclient import WebSocketDenialResponse

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import Bench, Serving, until

HOST = {"host": "127.0.0.1"}
TOKEN = "a-token-of-this-test"
ODD_TOKENS = ["a&b=c#d%41?/;,\"'", "with spaces in it", "grünes Licht à", "顕微鏡は暗い部屋"]
WAYS = [{"headers": {"authorization": f"Bearer {TOKEN}"}}, {"params": {"token": TOKEN}}]
WRONG = [{}, {"headers": {"authorization": "Bearer wrong"}}, {"headers": {"authorization": TOKEN}},
         {"params": {"token": ""}}, {"params": {"token": "x" + TOKEN}},
         {"headers": {"cookie": 'qpi-00000000="'}}]  # fmt: skip


@pytest.fixture
def locked(make_bench: Callable[..., Bench]) -> Bench:
    bench = make_bench(token=TOKEN)
    bench.frames()
    return bench


@pytest.mark.parametrize("way", WAYS)
def test_token_that_is_right_opens_rest_and_stream(locked: Bench, way: dict[str, dict[str, str]]) -> None:
    for path in ("/api/v1/stats", "/metrics", "/api/v1/openapi.json", "/api/v1/frames/latest?downscale=2"):
        answer = locked.client.get(path, headers=way.get("headers"), params={"format": "npy"} | way.get("params", {}))
        assert answer.status_code == 200, (path, answer.text)
    query = "?layer=wrapped" + "".join(f"&{name}={value}" for name, value in way.get("params", {}).items())
    with locked.client.websocket_connect("/api/v1/stream" + query, headers=HOST | way.get("headers", {})):
        until(lambda: len(locked.station.audience.present()) == 1)


@pytest.mark.parametrize("way", WRONG)
def test_token_that_is_wrong_opens_nothing(locked: Bench, way: dict[str, dict[str, str]]) -> None:
    headers = way.get("headers", {})
    for method, path in (
        ("GET", "/api/v1/stats"),
        ("PUT", "/api/v1/engine/sideband"),
        ("GET", "/metrics"),
        ("GET", "/x"),
    ):
        answer = locked.client.request(method, path, headers=headers, params=way.get("params"))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer TOKEN" in answer.json()["detail"]
    page = locked.client.get("/", headers=headers, params=way.get("params"))
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (401, "text/html")
    assert "asks for its token" in page.text
    query = "".join(f"?{name}={value}" for name, value in way.get("params", {}).items())
    with (
        pytest.raises(WebSocketDenialResponse) as refusal,
        locked.client.websocket_connect("/api/v1/stream" + query, headers=HOST | headers),
    ):
        pass
    assert refusal.value.status_code == 401


def test_page_opened_by_its_link_keeps_the_token_as_a_cookie_and_out_of_its_address(locked: Bench) -> None:
    answer = locked.client.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    assert locked.client.get("/").status_code == 200
    assert locked.client.get("/api/v1/stats").status_code == 200
    cookie = answer.headers["set-cookie"].partition(";")[0]
    with locked.client.websocket_connect("/api/v1/stream", headers=HOST | {"cookie": cookie}) as stream:
        stream.receive()


@pytest.mark.parametrize("token", ODD_TOKENS)
def test_token_of_any_letters_opens_by_its_printed_link_over_every_way(
    serve: Serving, make_station: Callable[..., Station], token: str
) -> None:
    camera = FakeCamera()
    station = make_station(camera, FakeEngine(), token=token)
    url = serve(station)
    printed = link(station.settings, urlsplit(url).port or 0)
    assert printed.isascii()
    assert " " not in printed
    with httpx.Client(trust_env=False, follow_redirects=True) as page:
        assert page.get(printed).status_code == 200
        assert page.get(f"{url}/api/v1/stats").status_code == 200  # by the cookie
    for client in (PhaseClient(printed), PhaseClient(url, token=token)):
        with client:
            assert client.stats().engine.name == "fake"
            frames = client.frames()
            camera.send()
            assert next(frames).header.sequence >= 0
            frames.close()
    bearer = b"Bearer " + token.encode()[:-1]
    assert httpx.get(f"{url}/api/v1/stats", headers={"authorization": bearer}, trust_env=False).status_code == 401


def test_health_and_the_pages_files_are_for_all_and_say_nothing_of_the_microscope(locked: Bench) -> None:
    assert locked.client.get("/health/live").status_code == 200
    answer = locked.client.get("/health/ready")
    assert answer.status_code == 200
    assert set(answer.json()) == {"ready", "state", "sentence"}
    assert locked.client.get("/web/main.js").status_code == 200


def test_token_that_is_missing_is_logged_once(locked: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            locked.client.get("/api/v1/stats")
    assert len([one for one in caplog.records if "token" in one.message]) == 1


def test_client_with_the_token_or_the_link_is_let_in(serve: Serving, make_station: Callable[..., Station]) -> None:
    camera = FakeCamera()
    url = serve(make_station(camera, FakeEngine(), token=TOKEN))
    with PhaseClient(url) as stranger, pytest.raises(ServiceError, match="expected the token") as refusal:
        stranger.stats()
    assert refusal.value.status == 401
    for client in (PhaseClient(url, token=TOKEN), PhaseClient(f"{url}/?token={TOKEN}")):
        with client:
            assert client.stats().engine.name == "fake"
            frames = client.frames()
            camera.send()
            assert next(frames).header.sequence >= 0
            frames.close()
