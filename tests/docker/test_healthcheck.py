"""The container's health check asks where the service listens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

HEALTHCHECK = Path(__file__).parents[2] / "docker" / "healthcheck"


class Ready(BaseHTTPRequestHandler):
    """Answers as a service that is ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
        self.wfile.write(b"ready")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(
        ("127.0.0.2", 0), Ready
    ) as server:  # as beside gige.yaml, where the service has an address of its own
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one address on loopback")
@pytest.mark.parametrize(("host", "code"), [("127.0.0.2", 0), ("127.0.0.1", 1), ("0.0.0.0", 1)])
def test_healthcheck_asks_the_address_that_the_service_listens_on(port: int, host: str, code: int) -> None:
    environment = {**os.environ, "QPI_HOST": host, "QPI_PORT": str(port)}
    asked = subprocess.run([sys.executable, str(HEALTHCHECK)], env=environment, capture_output=True, check=False)
    assert asked.returncode == code
