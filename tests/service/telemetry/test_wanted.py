"""What the environment asks for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qpi_live.service.telemetry.wanted import Wanted, wanted

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
OTLP = ("otlp",)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Wanted()),
        ({"OTEL_SERVICE_NAME": "microscope", "OTEL_EXPORTER_OTLP_ENDPOINT": " "}, Wanted()),
        (HERE, Wanted(OTLP, OTLP)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a/v1/traces"}, Wanted(OTLP, ())),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a/v1/metrics"}, Wanted((), OTLP)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Wanted(OTLP, ())),
        ({**HERE, "OTEL_METRICS_EXPORTER": "none"}, Wanted(OTLP, ())),
        ({**HERE, "OTEL_TRACES_EXPORTER": "console, otlp,otlp"}, Wanted(("console", "otlp"), OTLP)),
        ({**HERE, "OTEL_SDK_DISABLED": "TRUE"}, Wanted()),
        ({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, Wanted(OTLP, OTLP)),
    ],
)
def test_wanted_of_an_environment_is_what_the_specification_says(environment: dict[str, str], expected: Wanted) -> None:
    assert wanted(environment) == expected


def test_wanted_that_cannot_be_done_is_a_sentence_and_leaves_the_rest() -> None:
    asked = wanted({**HERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_METRICS_EXPORTER": "prometheus"})
    assert not asked
    assert asked.refused == (
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: expected http/protobuf, got 'grpc'; port 4318 speaks it",
        "OTEL_METRICS_EXPORTER: expected otlp, console or none, got 'prometheus'",
    )
    assert wanted({**HERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}).metrics == OTLP


def test_serving_without_the_variables_imports_nothing_of_it() -> None:
    # FastAPI itself imports OpenTelemetry's interface, which does nothing.
    program = "import qpi_live.service.cli.serve, sys; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
