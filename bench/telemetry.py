"""What OpenTelemetry costs the line: latency and processor time of a frame, with and without it, in turn.

    python bench/telemetry.py
    python bench/telemetry.py --fps 50 --size 512 --seconds 20 --json result.json

A service replays fringes at a set rate, without telemetry and with every frame traced and metrics each second, in turn.
The collector takes all and keeps nothing. The figures are medians over the rounds. The last line is the whole result as
JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread
from time import sleep
from typing import Annotated

import psutil
import typer
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.bench.stream.service import fringes_file, running
from qpi_live.service.client import PhaseClient
from rich.table import Table

_WARM_UP_S = 5.0
_ASKED = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_TRACES_SAMPLER": "always_on"}
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def main(
    size: Annotated[int, typer.Option(help="Edge of the frames, pixels.")] = 1024,
    fps: Annotated[float, typer.Option(help="Rate of the camera, frames per second.")] = 20.0,
    seconds: Annotated[float, typer.Option(help="How long to look at each service.")] = 15.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often, in turn.")] = 3,
    json: JsonFile = None,
) -> None:
    """Measure a service without and with telemetry."""
    measured: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder, _collector() as endpoint:
        camera = f"replay:{fringes_file(Path(folder), size)}"
        for _ in range(rounds):
            for name, runs in measured.items():
                with _environment({**_ASKED, _ENDPOINT: endpoint} if name == "with" else {}):
                    runs.append(_measure(camera, size, fps, seconds))
    medians = {
        name: {figure: median(run[figure] for run in runs) for figure in runs[0]} for name, runs in measured.items()
    }
    table = Table("", "without", "with", title=f"{size} × {size} px, {fps:g} fps", title_justify="left")
    for figure, value in medians["without"].items():
        table.add_row(figure, f"{value:.2f}", f"{medians['with'][figure]:.2f}")
    console.print(table)
    finish({"size": size, "camera_fps": fps, "rounds": rounds, **medians}, json)


def _measure(camera: str, size: int, fps: float, seconds: float) -> dict[str, float]:
    served = running(camera, "goldstein", size, fps, "--baseline-fraction", "0")
    with served as (process, url), PhaseClient(url) as client:
        service = psutil.Process(process.pid)
        while not client.is_ready():
            sleep(0.1)
        sleep(_WARM_UP_S)
        before, began = service.cpu_times(), client.stats().account.delivered
        sleep(seconds)
        after, stats = service.cpu_times(), client.stats()
    frames = stats.account.delivered - began
    used_s = after.user + after.system - before.user - before.system
    total, retrieval = stats.latency_ms["total"], stats.latency_ms["retrieval"]
    return {
        "fps": frames / seconds,
        "cpu_ms_per_frame": 1e3 * used_s / frames,
        "retrieval_p50_ms": retrieval.p50,
        "total_p50_ms": total.p50,
        "total_p95_ms": total.p95,
    }


@contextmanager
def _environment(asked: dict[str, str]) -> Iterator[None]:
    os.environ.update(asked)
    yield
    for name in asked:
        del os.environ[name]


@contextmanager
def _collector() -> Iterator[str]:
    """The address of a collector that takes what comes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


if __name__ == "__main__":
    typer.run(main)
