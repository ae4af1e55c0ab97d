"""Traces and metrics by OpenTelemetry's own SDK, in memory and by OTLP to a collector."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from qpi_live.models.errors import InferenceError
from qpi_live.service.api.app import build_app
from qpi_live.service.cli.serve import _telemetry
from qpi_live.service.stations import Stations

from tests.fakes import FakeCamera, FakeEngine
from tests.service.served import Service, free_port
from tests.service.stations import Bench, until
from tests.service.telemetry.collector import Collector, attributes, collecting
from tests.service.watching import STREAM, frame_bytes

pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry: pip install 'qpi-live[telemetry]'")
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, Tracer
from qpi_live.service.telemetry.frames import FrameTraces
from qpi_live.service.telemetry.requests import RequestTraces

PAGE = Path(__file__).parents[3] / "docs" / "programs.md"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider.get_tracer("tests")


@contextmanager
def traced(bench: Bench, tracer: Tracer) -> Iterator[FrameTraces]:
    traces = FrameTraces("fake", bench.station, tracer, None)
    traces.start()
    yield traces
    traces.stop(5.0)


def tree(spans: Sequence[ReadableSpan], frame: ReadableSpan) -> dict[str, ReadableSpan]:
    assert frame.context is not None
    return {span.name: span for span in spans if span.context and span.context.trace_id == frame.context.trace_id}


def test_frame_is_a_trace_of_its_stages_in_order_and_in_time(
    bench: Bench, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    with traced(bench, tracer):
        published = bench.frames(3)
    frames = [span for span in spans.get_finished_spans() if span.name == "frame"]
    assert [span.attributes["qpi.sequence"] for span in frames if span.attributes] == [0, 1, 2]
    for live, frame in zip(published, frames, strict=True):
        stages = tree(spans.get_finished_spans(), frame)
        assert set(stages) == {"frame", "queue_wait", "retrieval", "divide"}
        assert frame.start_time == live.frame.captured_ns == stages["queue_wait"].start_time
        assert stages["queue_wait"].end_time == stages["retrieval"].start_time == stages["divide"].start_time
        assert frame.end_time == stages["retrieval"].end_time
        took_ms = ((frame.end_time or 0) - (frame.start_time or 0)) / 1e6
        assert took_ms == pytest.approx(live.stages_ms["total"], abs=1e-3)
        parents = {name: span.parent.span_id for name, span in stages.items() if span.parent}
        of = {name: span.context.span_id for name, span in stages.items() if span.context}
        assert parents == {"queue_wait": of["frame"], "retrieval": of["frame"], "divide": of["retrieval"]}


def test_frame_that_a_client_got_has_its_sending_in_its_trace(
    bench: Bench, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    with (
        traced(bench, tracer),
        bench.client.websocket_connect(f"ws://127.0.0.1{STREAM}?beside=interferogram") as stream,
    ):
        bench.camera.send()
        frame_bytes(stream)
        frame_bytes(stream)
        until(lambda: any(span.name == "send" for span in spans.get_finished_spans()))
    (frame,) = [span for span in spans.get_finished_spans() if span.name == "frame"]
    sending = tree(spans.get_finished_spans(), frame)["send"]
    assert sending.attributes is not None
    assert sending.attributes["qpi.layers"] == "phase, interferogram"
    assert (frame.end_time or 0) <= (sending.start_time or 0) + 5_000_000  # two clocks
    assert (sending.start_time or 0) <= (sending.end_time or 0)


def test_frame_that_failed_is_a_trace_with_its_reason(
    make_bench: Callable[..., Bench], tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    engine = FakeEngine()
    engine.failures[0] = InferenceError("no fringes", "expected fringes, got none")
    bench = make_bench(engine)
    with traced(bench, tracer):
        bench.camera.send()
        until(lambda: bool(spans.get_finished_spans()))
    (frame,) = spans.get_finished_spans()
    assert frame.status.status_code is StatusCode.ERROR
    assert frame.attributes is not None
    assert frame.attributes["error.type"] == "engine failed: no fringes"


def test_frames_that_the_sampler_leaves_out_have_no_spans(bench: Bench, spans: InMemorySpanExporter) -> None:
    provider = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with traced(bench, provider.get_tracer("tests")):
        bench.frames(2)
    assert not spans.get_finished_spans()


class Hanging(SpanExporter):
    """Of a collector that takes a connection and never answers."""

    def __init__(self) -> None:
        self.free = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.free.wait()
        return SpanExportResult.SUCCESS


def test_collector_that_hangs_keeps_no_frame_from_anybody(bench: Bench) -> None:
    hanging, provider = Hanging(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(hanging, max_queue_size=8, max_export_batch_size=4))
    with traced(bench, provider.get_tracer("tests")) as traces:
        published = bench.frames(50)
        until(lambda: not bench.station.hub.taps._open[0].account.snapshot().in_flight)
    assert [live.sequence for live in published] == list(range(50))
    assert traces.left_out == 0
    hanging.free.set()


def test_tracing_that_hangs_takes_no_more_memory_than_its_tap(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck:
        free = Event()

        def start_span(self, *_: Any, **__: Any) -> None:
            self.free.wait()

    camera = FakeCamera()
    bench = make_bench(camera=camera)
    frame_bytes_in_all = 5 * camera.identity.shape[0] * camera.identity.shape[1]
    monkeypatch.setattr("qpi_live.service.telemetry.frames._MOST_WAITING_BYTES", 4 * frame_bytes_in_all)
    stuck: Any = Stuck()
    traces = FrameTraces("fake", bench.station, stuck, None)
    traces.start()
    assert len(bench.frames(20)) == 20
    assert traces.left_out >= 20 - 5 - 1
    stuck.free.set()
    bench.assert_exact()


def test_request_goes_on_in_the_trace_of_who_asks(bench: Bench, tracer: Tracer, spans: InMemorySpanExporter) -> None:
    app = build_app(bench.station)
    app.add_middleware(RequestTraces, tracer=tracer)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    client = TestClient(app, base_url="http://127.0.0.1")
    client.get("/api/v1/engine?token=secret-token", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    client.get("/api/v1/recordings/none")
    client.get("/health/live")
    asked, missed = spans.get_finished_spans()
    assert asked.context is not None
    assert asked.name == "GET /api/v1/engine"
    assert format(asked.context.trace_id, "032x") == trace_id
    assert asked.attributes is not None
    assert asked.attributes["http.response.status_code"] == 200
    assert "secret" not in asked.to_json()
    assert missed.attributes is not None
    assert missed.attributes["http.response.status_code"] == 404
    assert missed.name == "GET /api/v1/recordings/{recording}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.mark.slow
def test_service_sends_traces_and_metrics_as_the_documentation_says(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (said,) = re.findall(r"```sh\n(export OTEL_.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    shell = said.replace("http://127.0.0.1:4318", collector.endpoint).replace("qpi serve", "env")
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    for name, value in (line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("OTEL_")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "128", "--fps", "10")
    service = Service(free_port(), options, tmp_path)
    try:
        service.start()
        collector.wait_for(lambda: {span.name for span in collector.spans} >= {"frame", "unwrap"}, "traces")
        collector.wait_for(lambda: "qpi_stage_seconds" in collector.metrics, "metrics")
    finally:
        service.stop()
    assert collector.resource["service.name"] == "microscope-2"
    assert any(span.name == "GET /api/v1/frames/latest" for span in collector.spans)
    frame = next(span for span in collector.spans if span.name == "frame")
    assert attributes(frame)["qpi.engine"] == "goldstein"
    assert frame.end_time_unix_nano > frame.start_time_unix_nano > 1_700_000_000 * 10**9
    captured = collector.metrics["qpi_frames_captured"].sum
    assert captured.is_monotonic
    assert captured.data_points[0].as_double > 0
    stages = {attributes(point)["stage"] for point in collector.metrics["qpi_stage_seconds"].histogram.data_points}
    assert {"queue_wait", "retrieval", "total"} <= stages


@pytest.mark.slow
def test_service_whose_collector_is_not_there_says_so_once_serves_and_stops(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "128", "--fps", "10")
    service = Service(free_port(), options, tmp_path)
    service.start()
    assert service.process is not None
    service.process.terminate()
    assert service.process.wait(60) == 0
    said = capfd.readouterr().err
    assert said.count("traces do not arrive") == 1, said
    assert "Max retries" not in said


def test_asked_for_what_cannot_be_had_serves_on_with_a_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stations = Stations([bench.station])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "qpi_live.service.telemetry.telemetry", None)
    with caplog.at_level(logging.WARNING):
        assert _telemetry(FastAPI(), stations) is None
    assert "pip install 'qpi-live[telemetry]'" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512")
    with caplog.at_level(logging.WARNING):
        assert _telemetry(FastAPI(), stations) is None
    assert "no telemetry, though OTEL_… asks for it: max_export_batch_size" in caplog.text
    assert "OTEL_TRACES_EXPORTER" in os.environ
