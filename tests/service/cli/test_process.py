"""`qpi serve` as a process: it comes up, streams real frames, and goes down however its clients behave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qpi_live.service.client import PhaseClient

from tests.service.stations import PATIENCE_S
from tests.service.watching import RawClient

COMMAND = [sys.executable, "-c", "from qpi_live.service.cli.main import main; main()", "serve", "--port", "0"]

Start = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`qpi serve` with the given options; the process and its URL."""
    processes: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], str]:
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path), "QPI_LOG_LEVEL": "warning"}
        process = subprocess.Popen([*COMMAND, *options], env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        return process, found[0]

    yield run
    for process in processes:
        process.kill()
        process.wait(PATIENCE_S)


@pytest.mark.parametrize("camera", ["replay:glioblastoma", "simulated"])
def test_serve_of_a_real_camera_streams_phase_that_rewraps_to_itself(start: Start, camera: str) -> None:
    _, url = start("--camera", camera, "--engine", "goldstein", "--size", "256", "--fps", "10")
    with PhaseClient(url) as client, closing(client.frames()) as frames:
        first, second = next(frames), next(frames)
        wrapped = client.latest("wrapped").values
        stats = client.stats()
    assert first.values.shape == (256, 256)
    assert second.sequence > first.sequence
    assert np.isfinite(first.values).all()
    assert np.ptp(first.values) > 0.1
    assert np.abs(wrapped).max() <= np.float32(np.pi)
    assert stats.engine.name == "goldstein"
    assert stats.camera.source == camera


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_told_to_stop_stops_in_time_with_a_client_that_never_reads(start: Start, stop: signal.Signals) -> None:
    process, url = start("--camera", "replay:glioblastoma", "--size", "1024", "--fps", "20")
    with RawClient(url), PhaseClient(url) as client, closing(client.frames()) as frames:
        for _ in range(6):
            next(frames)
        process.send_signal(stop)
        process.wait(PATIENCE_S)
    assert process.returncode in (0, -stop, 128 + stop)
