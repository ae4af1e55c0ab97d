"""Who may ask: Host, Origin and Sec-Fetch-Site, on HTTP and on the stream."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import WebSocketDenialResponse

from tests.service.stations import Bench
from tests.service.watching import frame_bytes

GOOD = [
    {},
    {"host": "localhost:8000"},
    {"host": "[::1]:8000"},
    {"host": "LAB.example:8000"},
    {"origin": "http://127.0.0.1"},
    {"host": "lab.example", "origin": "https://lab.example"},
    {"origin": "http://trusted:3000"},
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
]
BAD = [
    {"host": "evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "lab.example.evil.example:8000"},
    {"host": "192.168.1.7"},
    {"host": ""},
    {"host": "[::1"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"origin": "file://127.0.0.1"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
]


@pytest.fixture
def guarded(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(allowed_hosts="lab.example", allowed_origins="http://trusted:3000/")


@pytest.mark.parametrize("headers", GOOD)
def test_guard_of_a_known_asker_lets_it_in(guarded: Bench, headers: dict[str, str]) -> None:
    guarded.frames()
    assert guarded.client.get("/api/v1/stats", headers=headers).status_code == 200
    with guarded.client.websocket_connect("/api/v1/stream", headers={"host": "127.0.0.1", **headers}) as stream:
        assert frame_bytes(stream).startswith(b"QPIF")


@pytest.mark.parametrize("headers", BAD)
def test_guard_of_a_foreign_asker_refuses_everything(guarded: Bench, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/api/v1/stats"), ("POST", "/api/v1/engine/carrier"), ("GET", "/api/v1/openapi.json")):
        answer = guarded.client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["detail"].startswith("expected a ")
    with (
        pytest.raises(WebSocketDenialResponse) as refusal,
        guarded.client.websocket_connect("/api/v1/stream", headers={"host": "127.0.0.1", **headers}),
    ):
        pass
    assert refusal.value.status_code == 403
    assert not guarded.station.audience.present()


def test_guard_lets_a_link_on_another_site_open_the_page(guarded: Bench) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert guarded.client.get("/", headers=link).status_code == 200
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert guarded.client.get("/web/main.js", headers=embedded).status_code == 403


def test_guard_of_a_service_for_all_machines_takes_addresses_but_no_foreign_names(
    make_bench: Callable[..., Bench],
) -> None:
    client = make_bench(host="0.0.0.0").client
    assert client.get("/health/live", headers={"host": "192.168.1.7:8000"}).status_code == 200
    assert client.get("/health/live", headers={"host": "[fe80::1]:8000"}).status_code == 200
    assert client.get("/health/live", headers={"host": "evil.example"}).status_code == 403


def test_answers_carry_headers_that_keep_them_on_this_page(bench: Bench) -> None:
    page, api = bench.client.get("/"), bench.client.get("/api/v1/stats")
    for answer in (page, api):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert api.headers["cache-control"] == "no-store"
