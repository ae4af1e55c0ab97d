"""The clients on the stream's page run as they are printed, and the page names all that there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest
from playwright.sync_api import Browser
from qpi_live.service.http import allowance, server
from qpi_live.service.line.state import State
from qpi_live.service.view import Layer
from qpi_live.service.viewing.audience import Choice
from qpi_live.service.wire import StreamStatus

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Serving

PAGE = (Path(__file__).parents[2] / "docs" / "stream.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found


@pytest.fixture
def url(make_station: Callable, serve: Serving) -> Iterator[str]:
    """A service whose camera goes on sending."""
    camera = FakeCamera((64, 80))
    address = serve(make_station(camera, FakeEngine()))
    timers: list[Timer] = []

    def expose() -> None:
        camera.send()
        timers.append(Timer(0.05, expose))
        timers[-1].start()

    expose()
    yield address.removeprefix("http://")
    while not timers[-1].finished.is_set():
        timers[-1].cancel()


def first_frames(command: list[str]) -> list[str]:
    """The first three lines on frames that the program prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watchdog = Timer(PATIENCE_S, process.kill)
        watchdog.start()
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("frame"):
                lines.append(line)
            if len(lines) == 3:
                break
        process.kill()
        watchdog.cancel()
    return lines


@pytest.mark.parametrize("program", examples("python"))
def test_python_client_of_the_page_prints_frames_as_it_stands(program: str, url: str) -> None:
    lines = first_frames([sys.executable, "-u", "-c", program.replace("127.0.0.1:8000", url)])
    sequences = [int(line.split()[1]) for line in lines]
    assert len(sequences) == 3
    assert sequences == sorted(set(sequences))


def test_javascript_client_of_the_page_prints_frames_as_it_stands(url: str, tmp_path: Path) -> None:
    (program,) = examples("javascript")
    node = [shutil.which("node") or "false", "--experimental-websocket"]  # the default from version 22 on
    asked = subprocess.run([*node, "-p", "typeof WebSocket"], capture_output=True, text=True, check=False)
    if "function" not in asked.stdout:
        pytest.skip("no Node.js with WebSocket (version 20.10 or newer) is on the PATH")
    file = tmp_path / "client.mjs"
    file.write_text(program.replace("127.0.0.1:8000", url))
    lines = first_frames([*node, str(file)])
    assert [line.split()[2:4] for line in lines] == [["64", "80"]] * 3


@pytest.mark.browser
def test_javascript_client_of_the_page_runs_in_a_browser(url: str, browser: Browser) -> None:
    (program,) = examples("javascript")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"http://{url}/health/live")  # of the same origin
    page.evaluate(f"() => {{ {program.replace('127.0.0.1:8000', url)} }}")
    while len([text for text in said if text.startswith("frame")]) < 3:
        page.wait_for_event("console", timeout=PATIENCE_S * 1e3)
    assert any("status" in text for text in said)
    page.close()


@pytest.mark.parametrize("language", ["python", "javascript", "matlab"])
def test_clients_of_the_page_are_short(language: str) -> None:
    assert all(len(program.strip().splitlines()) <= 18 for program in examples(language))


def test_page_names_every_parameter_layer_state_and_limit() -> None:
    for word in (*Choice.model_fields, *Layer, *State, *StreamStatus.model_fields):
        assert f"`{word}`" in PAGE, word
    assert f"{server._LONGEST_MESSAGE} bytes" in PAGE
    assert f"{allowance._BYTES_PER_S // 1024} KiB a second" in PAGE
