"""Whatever goes wrong at either end: the line goes on where it can, says what is wrong, and the account is exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event
from time import monotonic

import numpy as np
import pytest
from qpi_live.camera.errors import CameraLost, CameraUnavailable
from qpi_live.camera.frame import Frame
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import FringeState, PhaseFrame
from qpi_live.service.line import failed_frames, pipeline

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import PATIENCE_S, Bench, until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(pipeline, "_POLL_S", 0.02)


def ended(bench: Bench) -> int:
    account = bench.station.pipeline.account.snapshot()
    assert account.is_exact
    return account.captured - account.in_flight


def test_line_with_an_engine_that_refuses_a_frame_counts_it_by_reason_and_goes_on(bench: Bench) -> None:
    bench.engine.failures[1] = InferenceError("no carrier", "expected a carrier, found none")
    bench.engine.failures[2] = ZeroDivisionError("oops")
    bench.frames()
    bench.camera.send()
    until(lambda: ended(bench) == 2)
    bench.camera.send()
    until(lambda: ended(bench) == 3)
    bench.frames()
    account = bench.station.pipeline.account.snapshot()
    assert account.failed == {"no carrier": 1, "internal error": 1}
    assert (account.captured, account.delivered) == (4, 2)
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["last_failure"] == "ZeroDivisionError('oops')"
    assert stats["ready"] is True
    bench.assert_exact()


def test_line_whose_every_frame_fails_is_not_ready_until_one_succeeds(bench: Bench) -> None:
    bench.engine.failures |= {n: InferenceError("no carrier", "expected fringes, got none") for n in range(1, 11)}
    bench.frames()
    for sent in range(1, 11):
        bench.camera.send()
        until(lambda: ended(bench) == 1 + sent)  # noqa: B023
    ready = bench.client.get("/health/ready")
    assert (ready.status_code, ready.json()["state"]) == (503, "failing")
    assert "expected fringes, got none" in ready.json()["sentence"]
    bench.frames()
    assert bench.client.get("/health/ready").status_code == 200
    bench.assert_exact()


@pytest.mark.parametrize("state", [state for state in FringeState if not state.is_usable])
def test_line_whose_fringes_show_no_phase_is_failing_within_a_second_at_any_rate(
    bench: Bench, state: FringeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.station.pipeline, "_patience_s", lambda: PATIENCE_S)  # a slow camera, and not silent
    bench.engine.failures |= {n: InferenceError(state, f"expected fringes, got {state}") for n in (1, 2)}
    bench.frames()
    sent = monotonic()
    bench.camera.send()  # at one frame a second, no other one comes
    until(lambda: bench.client.get("/health/ready").json()["state"] == "failing")
    assert monotonic() - sent > failed_frames._UNUSABLE_S  # not for a single dark frame
    assert str(state) in bench.client.get("/health/ready").json()["sentence"]
    bench.camera.send()
    until(lambda: ended(bench) == 3)
    bench.frames()
    assert bench.client.get("/health/ready").status_code == 200
    bench.assert_exact()


def test_unusable_fringes_are_said_within_a_second() -> None:
    assert failed_frames._UNUSABLE_S < 1.0


def test_line_whose_camera_is_lost_says_so_and_comes_back(bench: Bench) -> None:
    bench.frames(2)
    bench.camera.refusals = [CameraUnavailable("expected the camera, it is unplugged.")] * 2
    bench.camera.lose("camera gap", 3)
    bench.camera.fail(CameraLost("expected a frame, the camera is gone."))
    until(lambda: bench.camera.starts >= 3)
    bench.frames(2)
    account = bench.station.pipeline.account.snapshot()
    assert (account.captured, account.delivered, account.dropped) == (7, 4, {"camera gap": 3})
    assert bench.station.pipeline.state.name == "live"
    bench.assert_exact()


def test_line_with_a_camera_that_is_away_is_not_ready(make_bench: Callable[..., Bench]) -> None:
    camera = FakeCamera()
    camera.refusals = [CameraUnavailable("expected the camera, it is unplugged.")] * 10_000
    bench = make_bench(camera=camera)
    until(lambda: bench.station.pipeline.state.name == "reconnecting")
    answer = bench.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["sentence"].startswith("expected the camera, it is unplugged. Trying again in")


def test_line_with_a_camera_that_breaks_in_an_unknown_way_comes_back(bench: Bench) -> None:
    bench.frames()
    bench.camera.fail(RuntimeError("driver says 0xdead"))
    until(lambda: bench.camera.starts == 2)
    bench.frames()
    assert bench.station.pipeline.account.snapshot().delivered == 2


def test_line_without_frames_for_a_while_is_waiting_and_ready(bench: Bench) -> None:
    bench.frames()
    until(lambda: bench.station.pipeline.state.name == "waiting")
    assert bench.client.get("/health/ready").status_code == 200
    bench.frames()
    assert bench.station.pipeline.account.snapshot().delivered == 2


def test_line_whose_camera_was_slowed_down_waits_for_as_long_as_its_frames_take_now(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_PATIENCE_S", 0.1)
    bench.frames()
    bench.camera.identity = replace(bench.camera.identity, frame_rate_hz=0.1)
    bench.frames()
    states = []
    began = monotonic()
    while monotonic() < began + 0.5:
        states.append(bench.station.pipeline.state.name)
        Event().wait(0.01)
    assert set(states) == {"live"}
    bench.camera.identity = replace(bench.camera.identity, frame_rate_hz=1000.0)
    until(lambda: bench.station.pipeline.state.name == "waiting")


def test_line_at_the_end_of_a_recording_says_so_and_keeps_the_last_frame(bench: Bench) -> None:
    (live,) = bench.frames()
    bench.camera.end()
    until(lambda: bench.station.pipeline.state.name == "ended")
    assert bench.client.get("/health/ready").status_code == 200
    assert bench.client.get("/api/v1/stats").json()["state"]["sentence"] == "The recording is over."
    assert str(live.frame.sequence) in bench.client.get("/api/v1/frames/latest").headers["QPI-Frame"]


def test_line_under_more_frames_than_the_engine_takes_drops_and_counts_them(bench: Bench) -> None:
    bench.camera.send(200)
    until(lambda: ended(bench) == 200)
    account = bench.station.pipeline.account.snapshot()
    assert account.delivered + account.dropped.get("queue full", 0) == 200
    bench.assert_exact()


def test_line_that_is_stopped_leaves_nothing_in_flight(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.frames(3)
    bench.camera.send(50)
    bench.station.pipeline.stop()
    account = bench.station.pipeline.account.snapshot()
    assert account.is_exact
    assert account.in_flight == 0
    assert bench.engine.closed
    assert bench.station.pipeline.state.name == "stopped"


class HeldEngine(FakeEngine):
    """Does not come back from a frame until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.release = Event()

    def retrieve(self, frame: Frame) -> PhaseFrame:
        assert self.release.wait(PATIENCE_S)
        return super().retrieve(frame)


def test_line_whose_engine_hangs_is_failing_and_not_ready_until_it_comes_back(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_HUNG_S", 0.05)
    bench = make_bench(HeldEngine())
    bench.camera.send()
    until(lambda: bench.client.get("/health/ready").json()["state"] == "failing")
    answer = bench.client.get("/health/ready")
    assert answer.status_code == 503
    assert "may hang" in answer.json()["sentence"]
    bench.engine.release.set()
    until(lambda: bench.client.get("/health/ready").status_code == 200)
    bench.assert_exact()


class BrokenCamera(FakeCamera):
    """Its driver fails where nothing may fail."""

    stops = losses = False

    def stop(self) -> None:
        if self.stops:
            raise OSError("the driver fails in stop")

    def take_losses(self) -> Mapping[str, int]:
        if self.losses:
            raise OSError("the driver cannot say what it lost")
        return super().take_losses()


@pytest.mark.parametrize("fault", ["stops", "losses"])
def test_line_whose_camera_fails_while_it_is_let_go_of_goes_on(make_bench: Callable[..., Bench], fault: str) -> None:
    bench = make_bench(camera=BrokenCamera())
    bench.frames()
    setattr(bench.camera, fault, True)
    bench.camera.fail(CameraLost("expected a frame, the camera is gone."))
    until(lambda: bench.station.pipeline.state.name == "reconnecting")
    setattr(bench.camera, fault, False)
    bench.frames()
    assert bench.station.pipeline.state.name == "live"
    bench.assert_exact()


@pytest.mark.parametrize("thread", ["camera", "engine"])
def test_line_whose_thread_ends_has_failed_and_says_so(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    bench = make_bench()
    bench.frames()

    def end(*_: object) -> None:
        raise SystemError("unforeseen")

    monkeypatch.setattr(bench.station.pipeline, {"camera": "_patience_s", "engine": "_retrieve_one"}[thread], end)
    if thread == "camera":
        monkeypatch.setattr(bench.station.pipeline, "_enter", end)
    bench.camera.send()
    until(lambda: bench.client.get("/health/ready").status_code == 503)
    ready = bench.client.get("/health/ready").json()
    assert ready["state"] == "failed"
    assert f"The {thread} thread has ended unexpectedly: SystemError('unforeseen')" in ready["sentence"]


def test_line_at_the_end_of_a_recording_starts_it_again_when_it_is_chosen_again(bench: Bench) -> None:
    bench.frames()
    bench.camera.end()
    until(lambda: bench.station.pipeline.state.name == "ended")
    assert bench.client.put("/api/v1/camera/source", json={"source": "fake"}).status_code == 200
    (live,) = bench.frames()
    assert (live.frame.sequence, live.frame.epoch) == (1, 2)
    assert bench.station.pipeline.state.name == "live"
    assert bench.station.pipeline.reconnects == 0


def test_line_that_reconnects_counts_it_and_begins_another_epoch(bench: Bench) -> None:
    assert bench.frames()[0].frame.epoch == 1
    bench.camera.refusals = [CameraUnavailable("expected the camera, it is unplugged.")] * 2
    bench.camera.fail(CameraLost("expected a frame, the camera is gone."))
    assert bench.frames()[0].frame.epoch == 2
    stats = bench.client.get("/api/v1/stats").json()
    assert (stats["reconnects"], stats["epoch"]) == (1, 2)
    assert '"epoch":2' in bench.client.get("/api/v1/frames/latest").headers["QPI-Frame"].replace(" ", "")
    assert "qpi_camera_reconnects_total 1.0" in bench.client.get("/metrics").text


def test_line_whose_engine_cannot_start_goes_on_with_another(make_bench: Callable[..., Bench]) -> None:
    engine = FakeEngine()
    engine.refusal = EngineUnavailable("expected frames of another size")
    bench = make_bench(engine)
    until(lambda: bench.station.pipeline.state.name == "failed")
    assert bench.client.put("/api/v1/engine", json={"engine": "goldstein"}).status_code == 200
    assert bench.frames()[0].phase.engine.name == "goldstein"
    assert bench.client.get("/health/ready").status_code == 200


def test_failure_of_every_frame_is_logged_once_and_counted(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.engine.failures |= {n: ZeroDivisionError("oops") for n in range(20)}
    for sent in range(1, 21):
        bench.camera.send()
        until(lambda: ended(bench) == sent)  # noqa: B023
    assert bench.station.pipeline.account.snapshot().failed == {"internal error": 20}
    assert len([record for record in caplog.records if record.exc_info]) == 1


class NanEngine(FakeEngine):
    """Makes a phase with one NaN in it, as a broken network does."""

    def retrieve(self, frame: Frame) -> PhaseFrame:
        phase_rad = np.zeros(frame.shape, np.float32)
        phase_rad[1, 2] = np.nan
        return PhaseFrame(phase_rad, frame, self.identity, {})


def test_line_whose_engine_makes_nan_counts_it_as_failed_and_is_not_ready(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(NanEngine())
    for sent in range(1, 12):
        bench.camera.send()
        until(lambda: ended(bench) == sent)  # noqa: B023
    assert bench.station.pipeline.account.snapshot().failed == {"not finite": 11}
    ready = bench.client.get("/health/ready")
    assert (ready.status_code, ready.json()["state"]) == (503, "failing")
    assert "NaN or infinity" in ready.json()["sentence"]
