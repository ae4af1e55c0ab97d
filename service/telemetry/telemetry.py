"""OpenTelemetry beside a service: started with it, and stopped before its end."""

from __future__ import annotations

import logging
from importlib.metadata import version
from threading import Event, Thread
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Tracer
from qpi_live.service.stations import Stations
from qpi_live.service.telemetry.frames import FrameTraces
from qpi_live.service.telemetry.metrics import RegistryMetrics
from qpi_live.service.telemetry.wanted import Wanted

_NAME = "qpi-live"
_LOOK_S = 1.0  # how soon a metric that comes up late is passed on
_SPAN_EXPORTERS: dict[str, type[SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
_METRIC_EXPORTERS: dict[str, type[MetricExporter]] = {"otlp": OTLPMetricExporter, "console": ConsoleMetricExporter}
_log = logging.getLogger(__name__)


class Telemetry:
    """Sends traces and metrics of a service out, until it is stopped.

    Endpoint, headers, sampler, intervals, queue sizes and resource are OpenTelemetry's own variables, read by its SDK.

    Args:
        stations: the service's lines.
        wanted: which exporters.

    Attributes:
        tracer: for requests; None where no traces are wanted.
    """

    def __init__(self, stations: Stations, wanted: Wanted) -> None:
        # One sentence is enough (`_told`); these say one a second, as long as there is no collector.
        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
        resource = _resource()
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False) if wanted.traces else None
        if self._tracing is not None:
            for name in wanted.traces:
                self._tracing.add_span_processor(BatchSpanProcessor(_told(_SPAN_EXPORTERS[name](), "traces")))
        readers = [
            PeriodicExportingMetricReader(_told(_METRIC_EXPORTERS[name](), "metrics")) for name in wanted.metrics
        ]
        self._metering = MeterProvider(readers, resource, shutdown_on_exit=False) if readers else None
        self._metrics = RegistryMetrics(stations, self._metering.get_meter(_NAME)) if self._metering else None
        durations = self._metrics.durations() if self._metrics else None
        self.tracer: Tracer | None = self._tracing.get_tracer(_NAME) if self._tracing else None
        self._frames = [
            FrameTraces(name, station, self.tracer, durations)
            for name, station in zip(stations.names, stations.all, strict=True)
        ]
        self._stop = Event()
        self._looking = Thread(target=self._look, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin."""
        for frames in self._frames:
            frames.start()
        self._looking.start()

    def stop(self, timeout_s: float) -> None:
        """Send what waits, within `timeout_s`; what a collector does not take by then is lost."""
        self._stop.set()
        sending = Thread(target=self._send_the_rest, args=(timeout_s,), name="telemetry's end", daemon=True)
        sending.start()
        sending.join(timeout_s)

    def _look(self) -> None:
        while self._metrics is not None and not self._stop.is_set():
            self._metrics.look()
            self._stop.wait(_LOOK_S)

    def _send_the_rest(self, timeout_s: float) -> None:
        for frames in self._frames:
            frames.stop(timeout_s)
            if frames.left_out:
                _log.warning("of %d frames there is no trace: there was no time for it", frames.left_out)
        if self._tracing is not None:
            self._tracing.shutdown()
        if self._metering is not None:
            self._metering.shutdown()


def _told(exporter: Any, what: str) -> Any:
    """The exporter, which says once when nothing arrives any more, and once when it does again."""
    export, arrives = exporter.export, True

    def telling(*arguments: Any, **named: Any) -> Any:
        nonlocal arrives
        result, arrived = export(*arguments, **named), arrives
        arrives = result.name == "SUCCESS"
        if arrived and not arrives:
            _log.warning("%s do not arrive; is OpenTelemetry's collector running, and OTEL_EXPORTER_… right?", what)
        elif arrives and not arrived:
            _log.warning("%s arrive again", what)
        return result

    exporter.export = telling
    return exporter


def _resource() -> Resource:
    """What the environment says of this service, and in its absence its name and version."""
    said = OTELResourceDetector().detect().attributes
    ours = {"service.name": _NAME, "service.version": version(_NAME)}
    return Resource.create({key: value for key, value in ours.items() if key not in said})
