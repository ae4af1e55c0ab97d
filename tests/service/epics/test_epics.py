"""The service as process variables, read by p4p's own client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from qpi_live import PhaseClient
from tests.service.served import Service, free_port

pytest.importorskip("p4p", reason="needs p4p: pip install 'qpi-live[epics]'")

PATIENCE_S = 60.0
SIZE = 256


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", str(SIZE), "--fps", "20")
    service = Service(free_port(), options, Path(tmp_path_factory.mktemp("state")))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def context(service: Service) -> Iterator[Any]:
    """A client of EPICS beside a server for the service."""
    from p4p.client.thread import Context
    from qpi_live.service.epics.server import EpicsServer

    with (
        PhaseClient(service.url) as client,
        EpicsServer(client, "T:", interval_s=0.1, isolate=True) as server,
        Context("pva", conf=server.conf(), useenv=False, nt=False) as context,
    ):
        yield context


def read(context: Any, name: str) -> Any:
    return context.get(name, timeout=PATIENCE_S)


def until(condition: Any, what: str) -> None:
    give_up = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < give_up, what
        sleep(0.05)  # between questions; what counts is the answer


def test_phase_is_an_image_in_rad_with_its_frame_s_number_and_time(context: Any, service: Service) -> None:
    from p4p.nt import NTNDArray

    with PhaseClient(service.url) as client:
        before = client.latest().header
        value = read(context, "T:PHASE")
        after = client.latest().header
    assert value.getID().startswith("epics:nt/NTNDArray:1")
    image = np.asarray(NTNDArray().unwrap(value))
    assert image.shape == (SIZE, SIZE)
    assert image.dtype == np.float32
    assert before.sequence <= value["uniqueId"] <= after.sequence
    taken_ns = value["dataTimeStamp.secondsPastEpoch"] * 10**9 + value["dataTimeStamp.nanoseconds"]
    assert before.captured_ns <= taken_ns <= after.captured_ns
    attributes = {each["name"]: each["value"] for each in value["attribute"]}
    assert attributes["unit"] == "rad"
    assert attributes["object_pixel_m"] == before.object_pixel_m
    assert [dimension["size"] for dimension in value["dimension"]] == [SIZE, SIZE]


def test_image_is_that_of_rest_pixel_by_pixel(context: Any, service: Service) -> None:
    from p4p.nt import NTNDArray

    with PhaseClient(service.url) as client:
        given: dict[int, Any] = {}  # a server that asks for frames at intervals shows each a little later
        for _ in range(50):
            frame = client.latest("interferogram")
            given[frame.sequence] = frame.values
            value = read(context, "T:INTERFEROGRAM")
            if value["uniqueId"] in given:
                assert np.array_equal(np.asarray(NTNDArray().unwrap(value)), given[value["uniqueId"]])
                return
    pytest.fail("EPICS showed no frame that REST gave")


def test_monitor_of_the_phase_gets_newer_frames_until_it_ends(context: Any, service: Service) -> None:
    got: Queue[Any] = Queue()
    subscription = context.monitor("T:PHASE", got.put, request="field(uniqueId)")
    numbers = [got.get(timeout=PATIENCE_S)["uniqueId"] for _ in range(5)]
    assert numbers == sorted(set(numbers))
    subscription.close()
    context.disconnect("T:PHASE")
    with PhaseClient(service.url) as client:
        until(lambda: not client.stats().subscribers, "the stream to be let go of, since nobody reads it")


def test_statistics_are_those_of_the_service(context: Any, service: Service) -> None:
    until(lambda: read(context, "T:STATE")["value"] == "live", "the line to be live")
    with PhaseClient(service.url) as client:
        stats = client.stats()
    assert read(context, "T:READY")["value"] is True
    assert read(context, "T:ENGINE")["value"] == "goldstein"
    assert stats.camera.optics is not None
    assert stats.camera.optics.object_pixel_m is not None
    pixel = read(context, "T:PIXEL_UM")
    assert pixel["value"] == pytest.approx(stats.camera.optics.object_pixel_m * 1e6)
    assert pixel["display.units"] == "um"
    assert 0 < read(context, "T:CONTRAST")["value"] <= 1
    assert 0 < read(context, "T:DELIVERED")["value"] <= read(context, "T:CAPTURED")["value"]  # which is read later


def test_service_that_went_away_is_an_alarm_and_comes_back(tmp_path: Path) -> None:
    from p4p.client.thread import Context
    from qpi_live.service.epics.server import EpicsServer

    options = ("--camera", "simulated", "--engine", "goldstein", "--size", str(SIZE), "--fps", "20")
    service = Service(free_port(), options, tmp_path)
    service.start()
    with (
        PhaseClient(service.url, timeout_s=5) as client,
        EpicsServer(client, "T:", interval_s=0.1, isolate=True) as server,
        Context("pva", conf=server.conf(), useenv=False, nt=False) as context,
    ):
        until(lambda: read(context, "T:STATE")["value"] == "live", "the line to be live")
        service.stop()
        until(lambda: read(context, "T:STATE")["alarm.severity"] == 3, "an alarm")
        assert service.url in read(context, "T:STATE")["alarm.message"]
        service.start()
        until(lambda: read(context, "T:STATE")["alarm.severity"] == 0, "no alarm")
        assert read(context, "T:PHASE")["uniqueId"] >= 0
        service.stop()


def test_command_lists_its_variables_and_ends_on_ctrl_c(service: Service) -> None:
    program = "from qpi_live.service.cli.main import main; main()"
    environment = {**os.environ, "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVAS_SERVER_PORT": "0"}
    command = [sys.executable, "-u", "-c", program, "epics", "--prefix", "LAB:", "--url", service.url]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "LAB:PHASE\n"
        process.send_signal(2)
        assert process.wait(PATIENCE_S) in (130, -2)


def test_program_of_the_documentation_reads_what_the_command_serves(service: Service, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "programs.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(from p4p.*?)```", page, flags=re.DOTALL)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    # The page's own names, among other servers on this machine.
    here, port = "127.0.0.1", str(free_port())
    served = {"EPICS_PVAS_INTF_ADDR_LIST": here, "EPICS_PVAS_SERVER_PORT": "0", "EPICS_PVAS_BROADCAST_PORT": port}
    asked = {"EPICS_PVA_ADDR_LIST": here, "EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_BROADCAST_PORT": port}
    environment = {**os.environ, **served, **asked}
    command = "from qpi_live.service.cli.main import main; main()"
    server = [sys.executable, "-u", "-c", command, "epics", "--url", service.url]
    with subprocess.Popen(server, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "QPI:PHASE\n"
        client = [sys.executable, str(tmp_path / "program.py")]
        done = subprocess.run(client, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        process.terminate()
    assert done.returncode == 0, done.stderr
    assert re.match(rf"\({SIZE}, {SIZE}\) \S+ rad\n", done.stdout), done.stdout


def test_command_without_a_service_says_so() -> None:
    program = "from qpi_live.service.cli.main import main; main()"
    command = [sys.executable, "-c", program, "epics", "--url", f"http://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "expected a service at" in done.stderr
