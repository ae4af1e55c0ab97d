"""What the stream says between frames: the line's status, warnings; and that foreign work delays no phase."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from threading import Event, current_thread

import numpy as np
import pytest
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.frame import Frame
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.line import pipeline, status
from qpi_live.service.wire import unpack
from starlette.testclient import WebSocketTestSession

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Bench, until
from tests.service.watching import STREAM, frame_bytes, said

HEADERS = {"host": "127.0.0.1"}


def open_stream(bench: Bench, query: str = "") -> WebSocketTestSession:
    return bench.client.websocket_connect(f"{STREAM}?{query}", headers=HEADERS)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FIRST_RETRY_S", 0.1)
    monkeypatch.setattr(status, "_POLL_S", 0.02)


def test_stream_says_the_status_first_and_whenever_it_changes(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench) as stream:
        first = said(stream, "status")
        assert first == {
            "state": "live", "sentence": "Frames are streaming.", "epoch": 1, "engine": "fake", "camera": "fake"
        }  # fmt: skip
        bench.camera.fail(CameraLost("expected the camera, its cable is out"))
        lost = said(stream, "status")
        assert lost["state"] == "reconnecting"
        assert "its cable is out" in lost["sentence"]
        back = said(stream, "status")
        assert (back["state"], back["epoch"]) == ("live", 2)


def test_stream_says_when_another_engine_makes_the_phase(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench) as stream:
        assert said(stream, "status")["engine"] == "fake"
        bench.engine.identity = replace(bench.engine.identity, name="other")
        assert said(stream, "status") | {"sentence": ""} == {
            "state": "live", "sentence": "", "epoch": 1, "engine": "other", "camera": "fake"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "sentence"), [("true", "expected a simulated frame"), ("baseline", "expected a baseline")]
)
def test_stream_of_a_layer_that_is_not_there_says_so_once_and_shows_another_at_once(
    bench: Bench, layer: str, sentence: str
) -> None:
    bench.frames()
    with open_stream(bench, f"layer={layer}&credit=true") as stream:
        assert said(stream, "warning").startswith(sentence)
        bench.frames(5)
        stream.send_text('{"layer": "phase"}')
        (listener,) = bench.station.audience.present()
        until(lambda: listener.choice.layer == "phase")
        bench.frames()
        message = stream.receive()
        assert "bytes" in message
        assert unpack(message["bytes"]).header.layer == "phase"
        account = listener.mailbox.account.snapshot()
        assert account.dropped["no such layer"] >= 1


def test_stream_with_a_layer_beside_that_is_not_there_sends_neither(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench, "beside=true&credit=true") as stream:
        assert "simulated" in said(stream, "warning")
        stream.send_text('{"beside": null}')
        (listener,) = bench.station.audience.present()
        until(lambda: listener.choice.beside is None)
        bench.frames()
        assert unpack(stream.receive()["bytes"]).header.layer == "phase"


def test_stream_in_blocks_too_large_for_the_next_camera_says_so_without_a_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.frames()
    with open_stream(bench, "downscale=64") as stream:
        frame_bytes(stream)
        bench.camera.identity = replace(bench.camera.identity, shape=(40, 50))
        bench.frames(6)
        assert "downscale of at most 40" in said(stream, "warning")
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot().in_flight == 0)
        assert listener.mailbox.account.snapshot().dropped["downscale too large"] >= 1
        bench.camera.identity = replace(bench.camera.identity, shape=(96, 128))
        bench.frames()
        assert unpack(frame_bytes(stream)).header.downscale == 64
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_stream_whose_rendering_fails_on_every_frame_is_logged_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from qpi_live.service.viewing import layers

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(layers, "render", fail)
    with open_stream(bench) as stream:
        said(stream, "status")
        bench.frames(5)
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot().in_flight == 0)
    assert len([record for record in caplog.records if "could not be sent" in record.message]) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [('{"ready": 1}', "ready: expected true"), ('{"ready": false}', "ready: "), ('{"credit": 3}', "credit: ")],
)
def test_stream_answers_a_bad_ready_with_a_sentence(bench: Bench, text: str, sentence: str) -> None:
    with open_stream(bench) as stream:
        stream.send_text(text)
        assert said(stream, "error").startswith(sentence)


# Layers that take an engine or the simulator.


class HeldEngine(FakeEngine):
    """Takes as long over a frame as the test likes."""

    def __init__(self) -> None:
        super().__init__("goldstein")
        self.entered, self.release = Event(), Event()
        self.threads: set[str] = set()
        self.done: list[int] = []

    def retrieve(self, frame: Frame) -> PhaseFrame:
        self.threads.add(current_thread().name)
        self.entered.set()
        assert self.release.wait(PATIENCE_S)
        self.done.append(frame.sequence)
        return super().retrieve(frame)


class SimulatedFakeCamera(FakeCamera):
    """Knows the truth of each frame, and takes as long to tell it as the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.release = Event()
        self.told: list[int] = []

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        assert frame is not None

        def truth() -> np.ndarray:
            assert self.release.wait(PATIENCE_S)
            self.told.append(frame.sequence)
            return np.ones(frame.shape, np.float32)

        return replace(frame, true_phase_rad=truth)


def test_viewers_of_slow_layers_leave_the_phase_its_pace(make_bench: Callable[..., Bench]) -> None:
    baseline, camera = HeldEngine(), SimulatedFakeCamera()
    bench = make_bench(camera=camera, baseline=baseline, baseline_fraction=0.0)
    with ExitStack() as clients:
        slow = [
            clients.enter_context(open_stream(bench, f"layer={layer}"))
            for layer in ("baseline", "baseline", "true", "true", "true", "true")
        ]
        phase = clients.enter_context(open_stream(bench))
        until(lambda: len(bench.station.audience.present()) == 7)
        for expected in range(8):
            bench.frames()
            assert unpack(frame_bytes(phase)).header.sequence == expected
        assert baseline.entered.is_set()
        baseline.release.set()
        camera.release.set()
        for stream, layer in zip(slow, ("baseline", "baseline", "true", "true", "true", "true"), strict=True):
            first = unpack(frame_bytes(stream)).header
            assert first.layer == layer
            if first.sequence < 7:
                assert unpack(frame_bytes(stream)).header.sequence == 7  # all go on with the same, the newest frame
    assert len(baseline.done) == len(set(baseline.done)) <= 2
    assert len(camera.told) == len(set(camera.told)) <= 2
    assert baseline.threads == {"baseline engine"}


def test_stream_of_a_baseline_that_fails_on_a_frame_says_so_and_goes_on(make_bench: Callable[..., Bench]) -> None:
    engine = FakeEngine("goldstein")
    engine.failures[0] = InferenceError("no carrier", "expected a carrier, found none")
    bench = make_bench(baseline=engine, baseline_fraction=0.0)
    with open_stream(bench, "layer=baseline") as stream:
        bench.frames()
        assert "expected a carrier, found none" in said(stream, "warning")
        bench.frames()
        assert unpack(frame_bytes(stream)).header.engine.name == "goldstein"


def test_truth_over_rest_is_made_once_a_frame(make_bench: Callable[..., Bench]) -> None:
    camera = SimulatedFakeCamera()
    camera.release.set()
    bench = make_bench(camera=camera)
    bench.frames()
    for image_format in ("npy", "tiff", "png"):
        answer = bench.client.get("/api/v1/frames/latest", params={"layer": "true", "format": image_format})
        assert answer.status_code == 200
    assert camera.told == [0]
