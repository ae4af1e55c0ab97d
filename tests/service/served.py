"""`qpi serve` in a process of its own."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

PATIENCE_S = 120.0

# Reading the certificates of the world, which nobody shows here, would take 50 ms of every question.
_WITHOUT_TLS: dict[str, bool] = {"verify": False}


@dataclass
class Service:
    """`qpi serve` in a process of its own, on a port that stays the same when it is started again."""

    port: int
    options: tuple[str, ...]
    state: Path
    process: subprocess.Popen[bytes] | None = None
    token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = "from qpi_live.service.cli.main import main; main()"
        command = [sys.executable, "-c", program, "serve", "--port", str(self.port), *self.options]
        environment = {**os.environ, "XDG_STATE_HOME": str(self.state), "HOME": str(self.state)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        give_up = monotonic() + PATIENCE_S
        while not self._has_a_frame():
            if self.process.poll() is not None:
                pytest.fail(f"{' '.join(command)} ended with code {self.process.returncode}")
            if monotonic() > give_up:
                self.stop()
                pytest.fail(f"no frame from {' '.join(command)} within {PATIENCE_S} s")
            sleep(0.1)  # between questions; what counts is the answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def latest(self, layer: str) -> tuple[int, NDArray[np.generic]]:
        """The newest frame's sequence number and values, over REST."""
        query = {"layer": layer, "format": "npy"}
        answer = httpx.get(f"{self.url}/api/v1/frames/latest", params=query, **_WITHOUT_TLS)
        answer.raise_for_status()
        header = json.loads(answer.headers["QPI-Frame"])
        return header["sequence"], np.load(io.BytesIO(answer.content), allow_pickle=False)

    def some(self, *layers: str, frames: int = 3) -> dict[str, dict[int, NDArray[np.generic]]]:
        """Of each layer so many frames as they come, by sequence number: for whoever sees a frame a little late."""
        seen: dict[str, dict[int, NDArray[np.generic]]] = {layer: {} for layer in layers}
        give_up = monotonic() + PATIENCE_S
        while min(map(len, seen.values())) < frames:
            assert monotonic() < give_up, f"no {frames} frames within {PATIENCE_S} s"
            for layer, values in seen.items():
                values.update([self.latest(layer)])
            sleep(0.02)  # between questions
        return seen

    def _has_a_frame(self) -> bool:
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            answer = httpx.get(f"{self.url}/api/v1/frames/latest", headers=headers, **_WITHOUT_TLS)
            return answer.status_code == 200
        except httpx.TransportError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
