"""A collector for OTLP over HTTP, as small as one can be: it reads the protocol's own messages and keeps them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry: pip install 'qpi-live[telemetry]'")
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 60.0
_SENT_TO = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


class Collector:
    """What was received.

    Attributes:
        endpoint: for `OTEL_EXPORTER_OTLP_ENDPOINT`.
        spans: all of them, as the protocol's messages.
        metrics: the newest of each name.
        resource: attributes of the sender.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resource: dict[str, str] = {}

    def take(self, path: str, body: bytes) -> None:
        request = _SENT_TO[path].FromString(body)
        for of_resource in getattr(request, "resource_spans", ()):
            self.resource = attributes(of_resource.resource)
            self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
        for of_resource in getattr(request, "resource_metrics", ()):
            for scope in of_resource.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        give_up = monotonic() + PATIENCE_S
        while not condition():
            if monotonic() > give_up:
                pytest.fail(f"waited {PATIENCE_S:g} s in vain: {what}")
            sleep(0.05)  # between looks; what counts is what came


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    Thread(target=server.serve_forever, daemon=True).start()
    yield collector
    server.shutdown()
    server.server_close()
