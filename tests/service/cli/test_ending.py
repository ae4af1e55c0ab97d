"""`qpi serve` ends within three seconds, without a traceback or a child left, whenever and however it is told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import numpy as np
import psutil
import pytest
from qpi_live.service.client import PhaseClient, ServiceError

from tests.fakes import fringes
from tests.service.stations import PATIENCE_S, until

COMMAND = [sys.executable, "-c", "from qpi_live.service.cli.entry import main; main()", "serve", "--port", "0"]
LONGEST_S = 3.0
QUICK = ("--engine", "goldstein", "--size", "128", "--fps", "5", "--baseline-fraction", "0")

Run = Callable[..., "Service"]


class Service:
    """A running `qpi serve`."""

    def __init__(self, environment: dict[str, str], options: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._children: list[psutil.Process] = []

    def url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, line
        return found[0]

    def note_children(self) -> list[psutil.Process]:
        self._children = psutil.Process(self.process.pid).children(recursive=True)
        return self._children

    def tell(self, *signals: signal.Signals) -> str:
        """Send the signals; what it wrote to stderr, once it and its children are gone in time."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self._children.append(child)
        began = monotonic()
        for one in signals:
            self.process.send_signal(one)
            sleep(0.05)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        assert monotonic() - began < LONGEST_S
        psutil.wait_procs(self._children, 2)
        assert not [child for child in self._children if child.is_running() and child.status() != "zombie"]
        assert "Traceback" not in said, said
        return said


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    services: list[Service] = []

    def start(*options: str, **variables: str) -> Service:
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "QPI_LOG_LEVEL": "warning", **variables}
        services.append(Service(environment, options))
        return services[-1]

    yield start
    for service in services:
        service.process.kill()
        service.process.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("after_s", [0.15, 0.6, 1.2, 2.5])
def test_ctrl_c_during_the_start_ends_it_quietly(run: Run, after_s: float) -> None:
    service = run("--camera", "simulated", "--size", "256")
    sleep(after_s)
    service.tell(signal.SIGINT)
    assert service.process.returncode in (0, 130)


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_stop_with_a_frame_at_hand_leaves_nothing(run: Run, signals: tuple[signal.Signals, ...]) -> None:
    service = run(*QUICK)
    url = service.url()
    Thread(target=send, args=(url,), daemon=True).start()
    until(lambda: len(service.note_children()) == 1)
    sleep(1.5)
    service.tell(*signals)
    assert service.process.returncode in (0, 130)


def send(url: str) -> None:
    file = BytesIO()
    np.save(file, fringes((3000, 3000), 0))
    request = urllib.request.Request(f"{url}/api/v1/phase", file.getvalue())
    with suppress(OSError):
        urllib.request.urlopen(request, timeout=60).read()


def test_kill_of_the_service_takes_its_worker_along(run: Run) -> None:
    service = run(*QUICK)
    Thread(target=send, args=(service.url(),), daemon=True).start()
    until(lambda: len(service.note_children()) == 1)
    service.tell(signal.SIGKILL)


def test_engine_that_cannot_take_the_cameras_frames_ends_the_service_with_a_sentence(run: Run) -> None:
    service = run("--engine", "nasprnet", "--size", "70")
    _, said = service.process.communicate(timeout=60)
    assert service.process.returncode == 2
    assert "Cannot serve: expected frames" in said
    assert "Traceback" not in said


def test_service_for_other_machines_asks_for_the_token_in_its_link(run: Run) -> None:
    link = run(*QUICK, "--host", "0.0.0.0").url()
    address, _, token = link.partition("/?token=")
    assert len(token) > 20
    assert "0.0.0.0" not in address
    with PhaseClient(address) as stranger, pytest.raises(ServiceError, match="expected the token"):
        stranger.stats()
    with PhaseClient(link) as client:
        assert client.stats().engine.name == "goldstein"


def test_service_for_other_machines_without_a_token_says_what_that_means(run: Run) -> None:
    service = run(*QUICK, "--host", "0.0.0.0", "--no-token")
    url = service.url()
    assert "token" not in url
    with PhaseClient(url) as client:
        client.stats()
    assert "Warning: whoever reaches this machine" in service.tell(signal.SIGTERM)


def test_service_on_localhost_listens_on_both_of_its_addresses(run: Run) -> None:
    url = run(*QUICK, "--host", "localhost").url()
    port = url.rpartition(":")[2]
    assert url.startswith("http://localhost:")
    for host in ("127.0.0.1", "[::1]"):
        with PhaseClient(f"http://{host}:{port}") as client:
            client.stats()


def test_empty_variables_are_unset_and_unknown_ones_are_told(run: Run) -> None:
    service = run(*QUICK, QPI_HOST="", QPI_ENGINE="", QPI_TOKEN="", QPI_CAMRA="x", QPI_BIND="0.0.0.0")
    assert service.url().startswith("http://127.0.0.1:")
    said = service.tell(signal.SIGTERM)
    assert "QPI_CAMRA, which is passed over; did you mean camera?" in said
    assert "QPI_BIND" not in said


@pytest.mark.parametrize("module", ["typing", "pathlib", "typer", "numpy", "qpi_live.service.cli.main"])
def test_ctrl_c_while_the_command_still_imports_ends_it_with_one_word(module: str) -> None:
    """Without `site`, which may have imported much before: a wheel's start, not an editable installation's."""
    paths = [str(Path(__file__).parents[3]), *(path for path in sys.path if path.endswith("site-packages"))]
    code = (
        f"import os, signal, sys; sys.path[:0] = {paths!r}\n"
        "def look(event, args):\n"
        f"    if event == 'import' and args[0] == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(look)\n"
        "from qpi_live.service.cli.entry import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-S", "-c", code, "info"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Stopped.\n")
