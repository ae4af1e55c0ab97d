"""Who may ask: Host, Origin and Sec-Fetch-Site, on HTTP and on the stream."""

from __future__ import annotations

import logging
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
    {"sec-fetch-site": "same-origin", "host": "lab.example", "origin": "https://lab.example:8443"},
    {"host": "lab.example."},
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
    assert guarded.client.get("/web/main.js", headers={"origin": "http://lab.example:8080"}).status_code == 200
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


def test_page_of_an_allowed_origin_may_ask_and_read(guarded: Bench) -> None:
    guarded.frames()
    page = {"origin": "http://trusted:3000", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    asking = page | {"access-control-request-method": "PUT", "access-control-request-headers": "content-type"}
    preflight = guarded.client.options("/api/v1/engine/sideband", headers=asking)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "http://trusted:3000"
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    answer = guarded.client.get("/api/v1/frames/latest", headers=page)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://trusted:3000"
    assert "QPI-Frame" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    assert guarded.client.get("/api/v1/nothing", headers=page).headers["access-control-allow-origin"]


def test_page_of_any_other_origin_hears_of_no_permission(guarded: Bench) -> None:
    for origin in ("http://evil.example", "http://trusted:3001", "https://trusted:3000"):
        asking = {"origin": origin, "access-control-request-method": "PUT"}
        preflight = guarded.client.options("/api/v1/engine/sideband", headers=asking)
        assert preflight.status_code == 403
        assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in guarded.client.get("/api/v1/stats").headers


def test_refusal_is_logged_once_for_each_name(guarded: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for host in ("evil.example", "evil.example", "other.example"):
            guarded.client.get("/api/v1/stats", headers={"host": host})
    assert [one.message for one in caplog.records if "refused" in one.message] == [
        f"refused a request: expected a known host name, got '{host}'; add it to allowed_hosts"
        for host in ("evil.example", "other.example")
    ]


def test_entries_as_people_write_them_hold(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(allowed_hosts="http://lab.example:8000/,LAB2:80", allowed_origins="http://Page:3000/").client
    for host in ("lab.example", "lab2:9000"):
        assert client.get("/health/live", headers={"host": host}).status_code == 200
    assert client.get("/api/v1/stats", headers={"origin": "http://page:3000"}).status_code == 200
