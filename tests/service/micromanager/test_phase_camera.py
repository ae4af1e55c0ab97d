"""Phase as a camera of pymmcore-plus: snaps, sequences, and an acquisition over a stage, all with the real core."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
import pytest

from qpi_live import PhaseClient
from tests.camera.micromanager.configuration import PYTHON_DEVICE
from tests.service.served import Service, free_port

pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus: pip install 'qpi-live[micromanager]'")
import useq
from pymmcore_plus import find_micromanager
from pymmcore_plus.experimental.unicore import UniMMCore, XYStageDevice
from qpi_live.service.client import ServiceError
from qpi_live.service.micromanager.phase_camera import PhaseCamera

PATIENCE_S = 60.0
SIZE = 256
# Ends while the stage's events are on their way and a sequence runs, as one does on a busy machine.
ENDS_AT_ONCE = """
import sys, time
from pymmcore_plus.experimental.unicore import UniMMCore
from qpi_live import PhaseClient
from qpi_live.service.micromanager.phase_camera import PhaseCamera

core = UniMMCore()
core.loadSystemConfiguration("MMConfig_demo.cfg")
core.loadPyDevice("Phase", PhaseCamera(PhaseClient(sys.argv[1])))
core.initializeDevice("Phase")
core.setCameraDevice("Phase")
core.startContinuousSequenceAcquisition(0)
core.events.XYStagePositionChanged.connect(lambda *_: time.sleep(0.05))
for step in range(20):
    core.setXYPosition(step, step)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", str(SIZE), "--fps", "20")
    service = Service(free_port(), options, Path(tmp_path_factory.mktemp("state")))
    service.start()
    yield service
    service.stop()


class Stage(XYStageDevice):
    """A stage that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self._at = (0.0, 0.0)

    def set_position_um(self, x: float, y: float) -> None:
        sleep(0.08)  # it moves
        self._at = (x, y)

    def get_position_um(self) -> tuple[float, float]:
        return self._at

    def set_origin_x(self) -> None: ...

    def set_origin_y(self) -> None: ...

    def set_origin(self) -> None: ...

    def stop(self) -> None: ...

    def home(self) -> None: ...

    def busy(self) -> bool:
        return False


@pytest.fixture
def core(service: Service) -> Iterator[Any]:
    core = UniMMCore()
    with PhaseClient(service.url) as client:
        core.loadPyDevice("Phase", PhaseCamera(client))
        core.initializeDevice("Phase")
        core.setCameraDevice("Phase")
        yield core
        core.unloadAllDevices()


def test_snap_is_phase_in_rad_of_light_that_fell_later(core: Any) -> None:
    image = core.snap()
    assert (image.shape, image.dtype) == ((SIZE, SIZE), np.float32)
    assert (core.getImageHeight(), core.getImageWidth(), core.getBytesPerPixel()) == (SIZE, SIZE, 4)
    assert np.isfinite(image).all()
    assert 0.1 < np.ptp(image) < 100


def test_image_is_of_light_that_fell_after_it_was_asked_for(service: Service) -> None:
    with PhaseClient(service.url) as client:
        camera = PhaseCamera(client)
        for _ in range(5):
            asked_ns = time_ns()
            (metadata,) = camera.start_sequence(1, np.empty)
            late_ns = metadata["captured_ns"] - asked_ns
            assert 50e6 < late_ns < 5e9, "the frame that was exposed just then was taken"


def test_layer_property_sends_another_layer(core: Any) -> None:
    core.setProperty("Phase", "Layer", "interferogram")
    image = core.snap()
    assert image.dtype == np.uint8
    with pytest.raises(ValueError, match="not allowed"):
        core.setProperty("Phase", "Layer", "holograms")
    core.setProperty("Phase", "Layer", "network")  # which runs beside the line, and does not here
    with pytest.raises(ServiceError):
        core.snap()


def test_sequence_sends_as_many_frames_as_asked_each_newer_than_the_one_before(core: Any) -> None:
    core.startSequenceAcquisition(6, 0, True)
    sequences: list[int] = []
    give_up = monotonic() + PATIENCE_S
    while len(sequences) < 6:
        assert monotonic() < give_up
        if core.getRemainingImageCount():
            image, metadata = core.popNextImageAndMD()
            assert image.shape == (SIZE, SIZE)
            assert metadata["unit"] == "rad"
            assert float(metadata["object_pixel_m"]) > 0
            sequences.append(int(metadata["sequence"]))
        else:
            sleep(0.005)  # until the next image
    assert sequences == sorted(set(sequences))


def test_camera_that_is_unloaded_ends_its_sequence_and_can_be_loaded_again(service: Service) -> None:
    with PhaseClient(service.url) as client:
        camera = PhaseCamera(client)
        images = camera.start_sequence(None, np.empty)
        next(images)
        taking = Thread(target=lambda: list(images), daemon=True)
        taking.start()
        camera.shutdown()
        taking.join(PATIENCE_S / 6)
        assert not taking.is_alive()
        camera.initialize()
        assert len(list(camera.start_sequence(2, np.empty))) == 2


def test_program_that_ends_while_events_are_on_their_way_ends_without_a_fault(service: Service) -> None:
    if find_micromanager() is None:
        pytest.skip("needs Micro-Manager's drivers: pip install mm-test-adapters")
    command = [sys.executable, "-c", ENDS_AT_ONCE, service.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_exposure_of_a_camera_without_one_is_kept_as_a_number(core: Any) -> None:
    core.setExposure(12.5)
    assert core.getExposure() == 12.5


def test_camera_of_a_service_that_is_not_there_says_so() -> None:
    with pytest.raises(ServiceError):
        PhaseCamera(PhaseClient(f"http://127.0.0.1:{free_port()}", timeout_s=1.0))


def test_acquisition_over_a_stage_records_phase_after_each_move(core: Any) -> None:
    stage = Stage()
    core.loadPyDevice("XY", stage)
    core.initializeDevice("XY")
    core.setXYStageDevice("XY")
    core.setAutoShutter(False)  # there is none
    images: list[tuple[np.ndarray, useq.MDAEvent]] = []
    finished = Event()
    core.mda.events.frameReady.connect(lambda image, event, _: images.append((image, event)))
    core.mda.events.sequenceFinished.connect(lambda _: finished.set())
    plan = useq.MDASequence(
        stage_positions=[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], time_plan={"interval": 0, "loops": 2}
    )
    core.mda.run(plan)
    assert finished.wait(PATIENCE_S)
    assert len(images) == 6
    assert all(image.dtype == np.float32 and np.ptp(image) > 0.1 for image, _ in images)
    moves = [event.x_pos for _, event in images]
    assert moves == [0.0, 10.0, 10.0] * 2


def test_service_on_a_camera_of_micro_manager_makes_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # where the device in Python is found
    configuration = tmp_path / "python.cfg"
    configuration.write_text(PYTHON_DEVICE)
    options = ("--camera", f"mmcore:{configuration}", "--engine", "goldstein", "--wavelength-nm", "532")
    service = Service(free_port(), options, tmp_path)
    service.start()
    try:
        with PhaseClient(service.url) as client:
            frame = client.latest()
            assert frame.values.shape == (SIZE, SIZE)
            assert frame.header.warning is None
            assert frame.header.camera_settings["ExposureTime"] == 20_000
            exposed = PhaseCamera(client)
            exposed.set_exposure(40.0)
            assert exposed.get_exposure() == 40.0
            assert client.camera.feature("ExposureTime")["value"] == 40_000
    finally:
        service.stop()
