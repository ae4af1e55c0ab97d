"""Whether the environment asks for telemetry, by OpenTelemetry's own variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_KNOWN = ("otlp", "console")
_PROTOCOL = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exporters are asked for, by signal.

    Attributes:
        traces, metrics: of `otlp` and `console`; none: nothing is exported.
        refused: a sentence on each thing that cannot be done.
    """

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics)


def wanted(environment: Mapping[str, str]) -> Wanted:
    """What `environment` asks for: nothing, unless it names an endpoint or an exporter.

    Source: OpenTelemetry specification 1.x, "Environment Variable Specification".
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wanted()
    refused: list[str] = []
    traces, metrics = (_exporters(environment, signal, refused) for signal in ("TRACES", "METRICS"))
    return Wanted(traces, metrics, tuple(dict.fromkeys(refused)))


def _exporters(environment: Mapping[str, str], signal: str, refused: list[str]) -> tuple[str, ...]:
    def said(name: str) -> str:
        return environment.get(name, "").strip()

    variable = f"OTEL_{signal}_EXPORTER"
    has_endpoint = said("OTEL_EXPORTER_OTLP_ENDPOINT") or said(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    names = said(variable) or ("otlp" if has_endpoint else "none")
    asked = [name.strip().lower() for name in names.split(",") if name.strip().lower() not in ("", "none")]
    refused += [f"{variable}: expected otlp, console or none, got {name!r}" for name in asked if name not in _KNOWN]
    for protocol in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if "otlp" in asked and said(protocol):
            if said(protocol) != _PROTOCOL:
                refused.append(f"{protocol}: expected {_PROTOCOL}, got {said(protocol)!r}; port 4318 speaks it")
                asked.remove("otlp")
            break
    return tuple(name for name in dict.fromkeys(asked) if name in _KNOWN)
