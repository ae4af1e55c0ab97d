"""The description of the interface: complete, and true when it is tried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qpi_live.camera.account import AccountSnapshot
from qpi_live.models.analysis.autofocus import METRICS
from qpi_live.service.api.routes import without_folders
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, TunableFakeEngine
from tests.service.stations import Bench, Serving, until
from tests.soak import at_length

OPENAPI = "/api/v1/openapi.json"


def operations(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    paths = bench.client.get(OPENAPI).json()["paths"]
    return [
        (method.upper(), path, operation) for path, methods in paths.items() for method, operation in methods.items()
    ]


def test_openapi_names_every_route_and_describes_it(bench: Bench) -> None:
    named = {(method, path) for method, path, _ in operations(bench)}
    assert {
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/frames/latest"),
        ("POST", "/api/v1/phase"),
        ("POST", "/api/v1/compare"),
        ("GET", "/api/v1/stats"),
        ("GET", "/api/v1/engine"),
        ("POST", "/api/v1/engine/carrier"),
        ("PUT", "/api/v1/engine/sideband"),
        ("PUT", "/api/v1/engine/calibration"),
        ("DELETE", "/api/v1/engine/calibration"),
    } <= named
    for method, path, operation in operations(bench):
        assert operation.get("summary"), (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])
        for status, response in operation["responses"].items():
            assert status == "200" or "content" in response, (method, path, status)


def test_openapi_describes_every_refusal_as_one_sentence(bench: Bench) -> None:
    for method, path, operation in operations(bench):
        refusal = operation["responses"].get("422")
        if refusal is not None:
            schema = refusal["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (method, path)
    refused = bench.client.get("/health/ready", params={"camera": "x" * 201})
    assert (refused.status_code, type(refused.json()["detail"])) == (422, str)


def test_openapi_names_the_choices_of_every_parameter_that_has_some(bench: Bench) -> None:
    described = bench.client.get(OPENAPI).json()["paths"]["/api/v1/focus"]["get"]["parameters"]
    (metric,) = (parameter for parameter in described if parameter["name"] == "metric")
    assert metric["schema"]["enum"] == list(METRICS)
    refused = bench.client.get("/api/v1/focus", params={"metric": "beauty"})
    assert refused.status_code in (422, 503)


def test_openapi_describes_the_stream_and_the_frame_header(bench: Bench) -> None:
    description = bench.client.get(OPENAPI).json()
    assert "/api/v1/stream" in description["info"]["description"]
    frame_answer = description["paths"]["/api/v1/frames/latest"]["get"]["responses"]["200"]
    assert set(frame_answer["content"]) == {"application/x-npy", "image/tiff", "image/png"}
    assert "QPI-Frame" in frame_answer["headers"]
    assert "captured_ns" in description["components"]["schemas"]["FrameHeader"]["properties"]


def test_openapi_has_an_example_for_whatever_is_sent(bench: Bench) -> None:
    description = bench.client.get(OPENAPI).json()
    schemas = description["components"]["schemas"]
    for method, path, operation in operations(bench):
        for parameter in operation.get("parameters", []):
            has_example = "example" in parameter or "examples" in parameter["schema"]
            assert has_example, (method, path, parameter["name"])
        for kind, body in operation.get("requestBody", {}).get("content", {}).items():
            if kind != "application/json":
                continue
            named = schemas.get(body["schema"].get("$ref", "").rpartition("/")[2], {})
            assert "example" in body or named.get("examples"), (method, path)
            assert {"400", "408", "413", "422"} <= set(operation["responses"]), (method, path)


def test_examples_are_taken(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(TunableFakeEngine())
    schemas = bench.client.get(OPENAPI).json()["components"]["schemas"]
    assert bench.client.put("/api/v1/engine/sideband", json=schemas["NewSideband"]["examples"][0]).status_code == 200


def test_body_that_is_no_json_is_400_or_422_as_described(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(TunableFakeEngine()).client
    for body in (b"\xff\xfe", b"[" * 60_000, b"1" * 5000):
        answer = client.put("/api/v1/engine/sideband", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), body[:20]
        assert "expected" in answer.json()["detail"] or answer.json()["detail"].startswith("body")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/v1/stats", "GET, HEAD"),
        ("PATCH", "/api/v1/engine/calibration", "DELETE, PUT"),
        ("PUT", "/health/live", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ],
)
def test_method_that_is_not_there_is_405_with_those_that_are(
    bench: Bench, method: str, path: str, allowed: str
) -> None:
    answer = bench.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_sentence_for_strangers_names_files_and_not_where_they_lie() -> None:
    for sentence, said in (
        ("expected an image at /home/jane doe/x.tif, got none", "expected an image at x.tif, got none"),
        ("replay:/data/a b/x y.tif is over", "replay:x y.tif is over"),
        (r"C:\data\x.tif is gone", "x.tif is gone"),
        ("see http://lab/docs/x, 3/4 px", "see http://lab/docs/x, 3/4 px"),
    ):
        assert without_folders(sentence) == said


@pytest.mark.slow
def test_openapi_tried_out_at_random_is_true_and_never_a_server_error(
    make_station: Callable[..., Station], serve: Serving
) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="pip install 'qpi-live[test]'")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    camera = FakeCamera((128, 160))
    station = make_station(camera, TunableFakeEngine("goldstein"), max_upload_mb=1)
    url = serve(station)
    camera.send()
    until(lambda: station.hub.latest is not None)
    tried = 0
    for found in schemathesis.openapi.from_url(url + OPENAPI).get_all_operations():

        @settings(
            max_examples=at_length(10, 200),
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=found.ok().as_strategy())
        def try_out(case: Any) -> None:
            nonlocal tried
            tried += 1
            # Where 503 is described, it says that something is not there yet; all else of the server's is a fault.
            answer = case.call_and_validate(checks=[status_code_conformance, response_schema_conformance], timeout=30)
            assert answer.status_code < 500 or answer.status_code == 503, case.as_curl_command()

        try_out()
    assert tried >= 50
    assert station.pipeline.account.snapshot() == AccountSnapshot(1, 1, 0)
    camera.send()
    until(lambda: station.pipeline.account.snapshot().delivered == 2)
