"""The camera over REST, on the real virtual camera and through the real line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.source import CameraOptions
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.service.api.app import build_app
from qpi_live.service.api.rendering import frame_answer
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.station import Station
from qpi_live.service.view import View
from qpi_live.service.viewing.layers import message
from qpi_live.service.wire import unpack
from tifffile import TiffFile

from tests.fakes import FakeEngine

PATIENCE_S = 30.0
CAMERA = "/api/v1/camera"


class Line:
    """A running station on a virtual camera, and a client of it."""

    def __init__(self, station: Station, camera: GenicamCamera, client: TestClient) -> None:
        self.station = station
        self.camera = camera
        self.client = client
        self._mailbox = station.hub.subscribe("test")

    def frame(self) -> LiveFrame:
        """The next frame that is published."""
        live = self._mailbox.wait(PATIENCE_S)
        assert live is not None
        self._mailbox.account.delivered()
        return live

    def frame_when(self, is_so: Callable[[LiveFrame], bool]) -> LiveFrame:
        """The first frame that is as wanted."""
        for _ in range(10_000):
            live = self.frame()
            if is_so(live):
                return live
        pytest.fail("no such frame came")

    def set(self, name: str, value: Any) -> Any:
        """PUT a feature; the answer's status and JSON."""
        answer = self.client.put(f"{CAMERA}/features/{name}", json={"value": value})
        return answer.status_code, answer.json()

    def until_state(self, name: str) -> None:
        """Take frames until the line is in this state."""
        for _ in range(3000):
            if self.station.pipeline.state.name == name:
                return
            if self._mailbox.wait(0.01) is not None:
                self._mailbox.account.delivered()
        pytest.fail(f"the line never was {name}; it is {self.station.pipeline.state}")

    def assert_exact(self) -> None:
        assert self.station.pipeline.account.snapshot().is_exact


@pytest.fixture
def line(
    virtual_producer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_station: Callable[..., Station],
    request: pytest.FixtureRequest,
) -> Iterator[Line]:
    monkeypatch.setenv("VIRTUAL_GENTL_BUS", str(tmp_path))
    camera = GenicamCamera.open(f"{virtual_producer}#VC0000", CameraOptions(shape=(96, 128), frame_rate_hz=100))
    engine = getattr(request, "param", FakeEngine)()
    station = make_station(camera, engine)
    with TestClient(build_app(station), base_url="http://127.0.0.1") as client:
        yield Line(station, camera, client)


def test_camera_says_that_it_can_be_set(line: Line) -> None:
    answer = line.client.get(CAMERA).json()
    assert answer["configurable"]
    assert not answer["paused"]
    assert answer["camera"]["serial"] == "VC0000"
    assert answer["camera"]["settings"]["ExposureTime"] == 1000.0


def test_features_are_listed_with_type_unit_range_and_access(line: Line) -> None:
    features = {feature["name"]: feature for feature in line.client.get(f"{CAMERA}/features").json()}
    exposure, trigger = features["ExposureTime"], features["TriggerMode"]
    assert (exposure["kind"], exposure["unit"], exposure["minimum"], exposure["maximum"]) == ("float", "us", 10.0, 1e6)
    assert exposure["writable"]
    assert (trigger["kind"], trigger["choices"]) == ("enumeration", ["Off", "On"])
    assert not features["DeviceTemperature"]["writable"]
    assert features["TriggerSoftware"]["kind"] == "command"


def test_feature_that_is_set_is_read_back_and_travels_with_the_frames(line: Line) -> None:
    status, answer = line.set("ExposureTime", 750)
    assert (status, answer["value"]) == (200, 750.0)
    assert line.client.get(f"{CAMERA}/features/ExposureTime").json()["value"] == 750.0
    assert line.client.get("/api/v1/stats").json()["camera"]["settings"]["ExposureTime"] == 750.0
    live = line.frame_when(lambda live: live.camera.settings["ExposureTime"] == 750.0)
    assert live.frame.device_id is not None
    header = line.client.get("/api/v1/frames/latest").headers["QPI-Frame"]
    assert '"ExposureTime":750.0' in header


def test_frame_states_its_own_settings_however_late_it_is_looked_at(line: Line) -> None:
    before = line.frame()
    line.set("ExposureTime", 750)
    after = line.frame_when(lambda live: live.camera.settings["ExposureTime"] == 750.0)
    for live, exposure_us in ((before, 1000.0), (after, 750.0)):
        streamed = unpack(message(live, live.phase, View(), line.station.pipeline.latencies)).header
        file = frame_answer(live, View(), "tiff")
        with TiffFile(BytesIO(file.body)) as tiff:
            saved = json.loads((tiff.imagej_metadata or {})["Info"])
        assert streamed.camera_settings["ExposureTime"] == saved["camera_settings"]["ExposureTime"] == exposure_us


@pytest.mark.parametrize(
    ("name", "value", "status", "sentence"),
    [
        ("Gain", 30.0, 422, "expected Gain between 0.0 and 24.0 dB, got 30.0"),
        ("Gain", True, 422, "expected Gain between"),
        ("Gain", 2**63 - 1, 422, "expected Gain between"),
        ("Width", -(2**63), 422, "stop the camera first"),
        ("FaultDropEvery", 2**63 - 1, 422, "expected FaultDropEvery between"),
        ("FaultDropEvery", 2**63, 422, "a number of at most 64 bits"),
        ("FaultDropEvery", -(10**40), 422, "a number of at most 64 bits"),
        ("PixelFormat", "RGB8", 422, "PixelFormat cannot be set while the camera streams; stop the camera first"),
        ("Width", 64, 422, "stop the camera first"),
        ("Nonsense", 1, 404, "expected a feature of this camera, got 'Nonsense'"),
        ("DeviceTemperature", 20.0, 422, "DeviceTemperature can only be read"),
    ],
)
def test_feature_that_is_refused_says_why_and_changes_nothing(
    line: Line, name: str, value: Any, status: int, sentence: str
) -> None:
    line.frame()
    before = line.client.get(f"{CAMERA}/settings").json()
    got, answer = line.set(name, value)
    assert got == status
    assert sentence in answer["detail"]
    assert line.client.get(f"{CAMERA}/settings").json() == before
    line.frame()
    line.assert_exact()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_feature_set_to_what_is_no_number_is_refused_and_later_answers_are_read(line: Line, number: str) -> None:
    line.frame()
    put = line.client.put(
        f"{CAMERA}/features/Gain", content=f'{{"value": {number}}}', headers={"content-type": "application/json"}
    )
    assert put.status_code == 422
    assert line.client.get(f"{CAMERA}/features/Gain").json()["value"] == 0.0
    assert line.frame().camera.settings["Gain"] == 0.0


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": [1]}, {"value": 1, "other": 2}])
def test_feature_set_by_a_malformed_body_is_refused(line: Line, body: dict[str, Any]) -> None:
    assert line.client.put(f"{CAMERA}/features/Gain", json=body).status_code == 422


def test_camera_that_is_stopped_says_so_and_starts_again(line: Line) -> None:
    line.frame()
    assert line.client.post(f"{CAMERA}/stop").json()["paused"]
    line.until_state("waiting")
    ready = line.client.get("/health/ready")
    assert (ready.status_code, ready.json()["sentence"]) == (200, "The camera is stopped; start it to go on.")
    sequence = line.station.hub.latest.frame.sequence if line.station.hub.latest else -1
    assert not line.client.post(f"{CAMERA}/start").json()["paused"]
    assert line.frame_when(lambda live: live.frame.sequence > sequence).frame.sequence == sequence + 1
    line.assert_exact()


@pytest.mark.parametrize("line", [lambda: ClassicalEngine(EngineOptions())], indirect=True)
def test_camera_of_another_size_is_followed_by_the_engine(line: Line) -> None:
    line.frame()
    line.client.post(f"{CAMERA}/stop")
    assert line.set("Width", 64)[0] == 200
    assert line.client.post(f"{CAMERA}/start").json()["camera"]["shape"] == [96, 64]
    line.frame_when(lambda live: live.frame.shape == (96, 64))


@pytest.mark.parametrize("line", [lambda: ClassicalEngine(EngineOptions())], indirect=True)
def test_settings_of_another_size_loaded_while_streaming_are_followed_past_the_old_frames(line: Line) -> None:
    line.frame()
    for width in (112, 128, 96, 128):
        assert line.client.put(f"{CAMERA}/settings", json={"Width": width}).status_code == 200
        assert line.frame_when(lambda live: live.frame.shape == (96, width)).phase.phase_rad.shape == (96, width)  # noqa: B023
    line.assert_exact()


def test_settings_that_were_saved_can_be_loaded(line: Line) -> None:
    saved = line.client.get(f"{CAMERA}/settings").json()
    line.set("Gain", 12.0)
    assert line.client.get(f"{CAMERA}/settings").json() != saved
    assert line.client.put(f"{CAMERA}/settings", json=saved).status_code == 200
    assert line.client.get(f"{CAMERA}/settings").json() == saved
    refused = line.client.put(f"{CAMERA}/settings", json={"Gain": 99.0})
    assert (refused.status_code, refused.json()["detail"][:30]) == (422, "expected Gain between 0.0 and ")


def test_camera_without_features_says_which_has_them(bench: Any) -> None:
    assert not bench.client.get(CAMERA).json()["configurable"]
    answer = bench.client.get(f"{CAMERA}/features")
    assert answer.status_code == 409
    assert "expected a camera with features" in answer.json()["detail"]


def test_camera_that_is_unplugged_comes_back_by_itself_with_its_settings(line: Line) -> None:
    line.set("ExposureTime", 640.0)
    line.frame()
    line.client.put(f"{CAMERA}/features/FaultDisconnectMs", json={"value": 1000})
    line.until_state("reconnecting")
    state = line.client.get("/health/ready")
    assert state.status_code == 503
    assert "VC0000" in state.json()["sentence"]
    assert line.client.get(f"{CAMERA}/features").status_code in (200, 503)
    line.until_state("live")
    newest = line.station.hub.latest
    sequence = newest.frame.sequence if newest else -1
    live = line.frame_when(lambda live: live.frame.sequence > sequence)
    assert live.camera.settings["ExposureTime"] == 640.0
    line.assert_exact()


def test_camera_that_comes_back_with_other_limits_streams_and_says_what_it_refused(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.client.post(f"{CAMERA}/stop")
    line.set("Height", 80)
    line.client.post(f"{CAMERA}/start")
    line.frame()
    monkeypatch.setenv("VIRTUAL_GENTL_SENSOR", "128x64")
    line.client.put(f"{CAMERA}/features/FaultCrash", json={"value": True})
    line.until_state("reconnecting")
    live = line.frame_when(lambda live: live.frame.shape == (64, 128))
    assert live.frame.settings is not None
    sentence = line.client.get("/api/v1/stats").json()["state"]["sentence"]
    assert sentence.startswith("Frames are streaming, but")
    assert "expected Height between 16 and 64 px, got 80" in sentence
    assert line.client.get("/health/ready").status_code == 200


def test_account_under_every_fault_stays_exact_and_bounded(line: Line) -> None:
    line.set("AcquisitionFrameRate", 1000.0)
    for fault, every in (("FaultDropEvery", 5), ("FaultIncompleteEvery", 7), ("FaultLateEvery", 9)):
        line.set(fault, every)
    for _ in range(300):
        line.frame()
        line.assert_exact()
    line.set("FaultFormatChange", 1)
    line.until_state("reconnecting")
    line.until_state("live")
    line.client.put(f"{CAMERA}/features/FaultCrash", json={"value": True})
    line.until_state("reconnecting")
    assert "SIGABRT" in line.station.pipeline.state.sentence
    line.until_state("live")
    line.assert_exact()
    dropped = line.station.pipeline.account.snapshot().dropped
    assert {"gap in the camera's ids", "incomplete buffer", "late frame"} <= set(dropped)
