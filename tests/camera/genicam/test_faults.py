"""Cameras that are unplugged, changed or hang, and drivers that crash: the program goes on."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.errors import (
    CameraLost,
    CameraTimeout,
    CameraUnavailable,
)
from qpi_live.camera.genicam.capture_link import CaptureLink

from tests.camera.genicam.reading import (
    PATIENCE_S,
    SHAPE,
    OpenVirtual,
    drain,
    plug_in,
    read,
    read_at,
    read_on,
    read_until,
    read_without_patience,
)


def test_camera_that_stalls_times_out_and_goes_on(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("FaultStallMs", 1000)
    with pytest.raises(CameraTimeout, match="No frame comes"):
        read_without_patience(camera)
    read(camera)


def test_camera_that_is_unplugged_is_lost_and_comes_back_as_it_was(open_virtual: OpenVirtual, bus: Path) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("ExposureTime", 2500.0)
    with suppress(CameraLost):  # it is gone before it can be asked what it was set to
        camera.set_feature("FaultDisconnectMs", 600_000)
    with pytest.raises(CameraLost, match="VC0000 no longer answers"):
        read_on(camera)
    camera.stop()
    with pytest.raises(CameraUnavailable, match="VC0000"):
        camera.start()
    camera.stop()
    plug_in(bus)
    camera.start()
    read(camera)
    assert camera.feature("ExposureTime").value == 2500.0
    assert camera.identity.settings["ExposureTime"] == 2500.0
    assert camera.identity.shape == SHAPE


def test_camera_changed_under_way_is_lost_with_both_formats(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("FaultFormatChange", 1)
    with pytest.raises(CameraLost, match=r"expected frames of 48 × 64 Mono8, got 24 × 64 Mono8"):
        read_on(camera)


def test_driver_that_crashes_takes_only_its_own_process_along(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    with pytest.raises(CameraLost, match="SIGABRT"):
        camera.set_feature("FaultCrash", True)
    with pytest.raises(CameraLost, match="SIGABRT"):
        read_on(camera)
    camera.stop()
    camera.start()
    read(camera)


def test_driver_that_hangs_is_given_up(open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qpi_live.camera.capture.camera._HUNG_NS", 700_000_000)
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("FaultHangMs", 600_000)
    with pytest.raises(CameraLost, match="has not returned"):
        read_on(camera)
    camera.stop()
    camera.start()
    read(camera)


def test_frames_go_on_while_a_slow_camera_lists_its_features(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=100.0)
    camera.start()
    camera.set_feature("FaultAnswerMs", 60)
    read(camera)
    arrived = []
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(camera.features)
        while not asked.done():
            with suppress(CameraTimeout):
                arrived.append(read_at(camera))
        took_s = asked.result() and arrived[-1] - arrived[0]
    assert took_s > 1.0
    assert max(np.diff(arrived)) < 0.5 * took_s  # not all at the end
    camera.set_feature("FaultAnswerMs", 0)
    camera.stop()
    assert not camera.take_losses().keys() - {"stream stopped"}


def test_request_that_takes_longer_than_any_frame_may_is_waited_for(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.capture.camera._HUNG_NS", 300_000_000)
    camera = open_virtual(rate_hz=100.0)
    camera.start()
    camera.set_feature("FaultAnswerMs", 900)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(camera.feature, "FaultDropEvery")
        sentences = []
        while not asked.done():
            try:
                camera.read(0.1)
            except CameraTimeout as timeout:
                sentences.append(str(timeout))
    assert asked.result().value == 0
    assert "No frame comes while the camera is busy with reading FaultDropEvery." in sentences
    read(camera)


def test_request_that_does_not_return_says_what_was_waited_for(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera._link._answer_s = 1.0  # type: ignore[union-attr]
    with pytest.raises(CameraLost, match=r"did not return from setting FaultAnswerMs to 20000 within 1 s"):
        camera.set_feature("FaultAnswerMs", 20_000)


def test_resume_after_a_pause_longer_than_patience_is_no_hang(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.capture.camera._HUNG_NS", 1)  # any sign of life is too old
    camera = open_virtual()
    camera.start()
    camera.pause()
    drain(camera)
    monkeypatch.setattr(camera, "_paused", False)  # as another thread sees it while it is being resumed
    with pytest.raises(CameraTimeout):
        camera.read(0.0)


def test_capture_process_ends_when_nobody_listens_any_more(virtual_producer: Path) -> None:
    link = CaptureLink()
    link.ask("open", str(virtual_producer), None)
    link.drop_connections()  # as when the service is killed
    assert link._process.wait(PATIENCE_S) == 0


def test_capture_process_that_streams_ends_and_lets_go_when_nobody_listens_any_more(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=1000)
    camera.start()
    read(camera)
    link = camera._link
    assert link is not None
    link._frames.close()  # first, so that it is in the middle of a frame
    link._control.close()
    assert link._process.wait(PATIENCE_S) == 0


def test_sigint_stays_with_whoever_had_it(open_virtual: OpenVirtual) -> None:
    before = signal.getsignal(signal.SIGINT)
    open_virtual().start()
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_to_all_processes_leave_the_camera_to_the_service(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    assert camera._link is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        camera._link._process.send_signal(number)
    assert camera.set_feature("Gain", 2.0).value == 2.0
    read_until(camera, lambda: (read(camera).device_id or 0) > 200)
    camera.stop()


def test_stop_does_not_wait_for_a_request_that_the_driver_never_answers(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.capture.camera._STOP_S", 0.1)
    monkeypatch.setattr("qpi_live.camera.capture.link._ANSWER_S", 3600.0)
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("FaultHangMs", 600_000)
    link = camera._link
    assert link is not None
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(camera.set_feature, "Gain", 3.0)
        while not link._asking.locked():
            assert not asked.done()
        camera.stop()
        assert isinstance(asked.exception(PATIENCE_S), CameraLost)
    camera.start()
    read(camera)
