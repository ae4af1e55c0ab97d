"""Settings of a camera: what it takes, what frames say of them, what comes back with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.errors import (
    CameraLost,
    CameraTimeout,
    CameraUnavailable,
    FeatureMissing,
    FeatureRefused,
)
from qpi_live.camera.features import read_settings
from qpi_live.camera.genicam.capture_link import CaptureLink
from qpi_live.camera.source import CameraOptions

from tests.camera.genicam.reading import SHAPE, OpenVirtual, drain, exposure_of, read, read_until


def test_trigger_by_software_gives_one_frame_each(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("TriggerMode", "On")
    camera.start()
    with pytest.raises(CameraTimeout, match=r"waits for a trigger \(Software\)"):
        camera.read(0.05)
    for expected in range(3):
        camera.set_feature("TriggerSoftware", True)
        assert read(camera).device_id == expected
    with pytest.raises(CameraTimeout):
        camera.read(0.05)
    assert camera.identity.frame_rate_hz is None


def test_trigger_by_the_line_ignores_software(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("TriggerSource", "Line1")
    camera.set_feature("TriggerMode", "On")
    camera.start()
    camera.set_feature("TriggerSoftware", True)
    camera.set_feature("VirtualLinePulse", True)
    assert read(camera).device_id == 0
    with pytest.raises(CameraTimeout):
        camera.read(0.05)


def test_set_feature_reads_back_and_shows_in_the_picture(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("VirtualStampId", 0)
    camera.start()
    before = read(camera).pixels.mean()
    assert camera.set_feature("ExposureTime", 500.0).value == 500.0
    assert camera.identity.settings["ExposureTime"] == 500.0
    read_until(camera, lambda: bool(read(camera).pixels.mean() < 0.6 * before))


def test_frames_carry_the_settings_that_were_in_force_for_each(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("VirtualStampId", 0)
    camera.set_feature("TriggerMode", "On")
    camera.set_feature("ExposureTime", 1000.0)
    camera.start()
    taken = []
    for exposure_us in (1000.0, 500.0, 250.0, 1000.0):
        camera.set_feature("ExposureTime", exposure_us)
        for _ in range(8):  # the built-in picture repeats after 8
            camera.set_feature("TriggerSoftware", True)
            taken.append(read(camera))
    assert [exposure_of(frame) for frame in taken] == [1000.0] * 8 + [500.0] * 8 + [250.0] * 8 + [1000.0] * 8
    means = [frame.pixels.mean() for frame in taken]
    for frame, mean, full in zip(taken, means, means[:8] * 4, strict=True):
        assert mean / full == pytest.approx(exposure_of(frame) / 1000.0, rel=0.02)


def test_frames_that_wait_in_the_driver_while_a_setting_changes_carry_the_old_one(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=100)
    camera.set_feature("VirtualStampId", 0)
    camera.start()
    bright = float(np.mean([read(camera).pixels.mean() for _ in range(8)]))
    camera.set_feature("FaultHangMs", 300)  # about 30 frames fill the driver's buffers meanwhile
    camera.set_feature("ExposureTime", 250.0)
    after = [read(camera) for _ in range(80)]
    exposures = [exposure_of(frame) for frame in after]
    assert exposures == sorted(exposures, reverse=True)  # never mixed
    assert set(exposures) == {1000.0, 250.0}
    assert exposures.count(1000.0) > 10
    looks = [1000.0 if frame.pixels.mean() > 0.6 * bright else 250.0 for frame in after]
    assert sum(said != looked for said, looked in zip(exposures, looks, strict=True)) <= 1  # the one being exposed


def test_frames_carry_whatever_else_was_set(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("AcquisitionMode", "MultiFrame")
    camera.set_feature("AcquisitionFrameCount", 3)
    camera.start()
    settings = read(camera).settings or {}
    assert (settings["AcquisitionMode"], settings["AcquisitionFrameCount"]) == ("MultiFrame", 3)
    assert not [name for name in settings if name.startswith("Fault")]
    with pytest.raises(CameraLost):
        camera.set_feature("FaultCrash", True)
    camera.stop()
    camera.start()
    assert read(camera).settings == settings


def test_frames_after_a_pause_and_a_reconnect_carry_the_settings_of_their_stream(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    assert exposure_of(read(camera)) == 1000.0
    camera.pause()
    camera.set_feature("ExposureTime", 700.0)
    assert {exposure_of(frame) for frame in drain(camera)} <= {1000.0}
    camera.resume()
    assert exposure_of(read(camera)) == 700.0
    camera.stop()
    camera.start()
    assert exposure_of(read(camera)) == 700.0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ExposureTime", 5.0, r"expected ExposureTime between 10\.0 and 1000000\.0 us, got 5\.0"),
        ("ExposureTime", "long", "expected ExposureTime between"),
        ("ExposureTime", float("nan"), "expected ExposureTime between"),
        ("Width", 63, r"expected Width between 16 and 1024 px in steps of 4, got 63"),
        ("Width", 64.5, "expected Width between"),
        ("Width", float("inf"), "expected Width between"),
        ("ExposureTime", 10**400, "expected ExposureTime between"),
        ("PixelFormat", "RGB8", "expected PixelFormat among Mono8, .*, got 'RGB8'"),
        ("DeviceTemperature", 20.0, "DeviceTemperature can only be read"),
    ],
)
def test_set_feature_to_what_it_does_not_take_says_what_it_takes(
    open_virtual: OpenVirtual, name: str, value: float | str, sentence: str
) -> None:
    camera = open_virtual()
    before = camera.feature(name)
    with pytest.raises(FeatureRefused, match=sentence):
        camera.set_feature(name, value)
    if name != "DeviceTemperature":
        assert camera.feature(name) == before


@pytest.mark.parametrize("name", ["Width", "Std::Width"])
def test_set_feature_that_decides_the_layout_is_refused_while_streaming(open_virtual: OpenVirtual, name: str) -> None:
    camera = open_virtual()
    camera.start()
    camera.set_feature("TLParamsLocked", 0)  # so that nothing but the device itself holds it
    with pytest.raises(FeatureRefused, match=f"{name} cannot be set while the camera streams; stop the camera first"):
        camera.set_feature(name, 32)
    read(camera)


@pytest.mark.parametrize(("name", "value"), [("OffsetX", 8), ("BinningHorizontal", 2)])
def test_set_feature_that_only_the_camera_itself_refuses_is_refused_and_not_lost(
    open_virtual: OpenVirtual, name: str, value: int
) -> None:
    camera = open_virtual()
    camera.set_feature("Width", 32)
    camera.start()
    camera.set_feature("TLParamsLocked", 0)  # its description takes it for unlocked then
    with pytest.raises(FeatureRefused, match=f"{name} cannot be set now: .*locked while the camera acquires"):
        camera.set_feature(name, value)
    read(camera)


def test_set_feature_that_is_missing_says_so(open_virtual: OpenVirtual) -> None:
    with pytest.raises(FeatureMissing, match="'Nonsense'"):
        open_virtual().set_feature("Nonsense", 1)


def test_pause_and_resume_let_the_size_change(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.pause()
    assert camera.is_paused
    camera.set_feature("Width", 32)
    drain(camera)
    with pytest.raises(CameraTimeout, match="The camera is stopped"):
        camera.read(0.05)
    camera.resume()
    assert not camera.is_paused
    assert read(camera).shape == camera.identity.shape == (48, 32)


def test_settings_survive_a_file(open_virtual: OpenVirtual, tmp_path: Path) -> None:
    first = open_virtual("VC0000")
    first.set_feature("Gain", 6.0)
    first.set_feature("ExposureTime", 700.0)
    first.set_feature("PixelFormat", "Mono12p")
    saved = first.save_settings()
    (tmp_path / "settings.json").write_text(json.dumps(saved))
    (tmp_path / "settings.toml").write_text("".join(f"{name} = {json.dumps(saved[name])}\n" for name in saved))
    for name in ("settings.toml", "settings.json"):
        assert read_settings(tmp_path / name) == first.save_settings()
    second = open_virtual("VC0001", settings_file=tmp_path / "settings.toml")
    assert second.save_settings() == first.save_settings()
    assert second.identity.bit_depth == 12


def test_settings_loaded_while_streaming_are_used_at_once(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.load_settings({"OffsetX": 8, "Width": 16, "Gain": 3.0})
    read_until(camera, lambda: read(camera).shape == (48, 16))
    assert [camera.feature(name).value for name in ("OffsetX", "Width", "Gain")] == [8, 16, 3.0]


def test_settings_loaded_while_the_camera_is_away_do_not_stop_it(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    with pytest.raises(CameraLost):
        camera.set_feature("FaultCrash", True)
    with pytest.raises(CameraLost):
        camera.load_settings({"Gain": 3.0})
    camera.stop()
    with pytest.raises(CameraLost):
        camera.load_settings({"Gain": 3.0})
    assert not camera.is_paused
    camera.start()
    read(camera)


def test_settings_that_the_camera_keeps_locked_are_left_when_it_comes_back(virtual_producer: Path, bus: Path) -> None:
    link = CaptureLink()
    try:
        link.ask("open", str(virtual_producer), "VC0000")
        link.ask("set", "TLParamsLocked", 1)
        with pytest.raises(FeatureRefused, match="Width cannot be set"):
            link.ask("load", {"Width": 32, "Gain": 3.0})
        link.ask("load", {"Width": 32, "Gain": 4.0}, True)
        assert [link.ask("feature", name).value for name in ("Width", "Gain")] == [1024, 4.0]
    finally:
        link.close()
        link.drop_connections()


def test_setting_that_the_camera_does_not_take_when_it_comes_back_is_left_and_said(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = open_virtual()
    camera.set_feature("Width", 60)
    camera.set_feature("Gain", 3.0)
    camera.start()
    assert camera.identity.remark == ""
    with pytest.raises(CameraLost):
        camera.set_feature("FaultCrash", True)
    camera.stop()
    monkeypatch.setenv("VIRTUAL_GENTL_SENSOR", "32x48")
    camera.start()
    assert read(camera).shape == (48, 32)
    assert camera.feature("Gain").value == 3.0
    assert "expected Width between 16 and 32 px in steps of 4, got 60" in camera.identity.remark
    camera.pause()
    camera.set_feature("Width", 16)
    assert camera.identity.remark == ""


def test_rate_that_the_camera_does_not_take_when_it_comes_back_is_left_and_said(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = open_virtual()
    camera.start()
    with pytest.raises(CameraLost):
        camera.set_feature("FaultCrash", True)
    camera.stop()
    # As if the limit had come down meanwhile.
    monkeypatch.setattr(camera._reopening.wanted, "_options", CameraOptions(SHAPE, frame_rate_hz=1e6))
    camera.start()
    read(camera)
    assert "expected AcquisitionFrameRate between" in camera.identity.remark


def test_settings_file_that_the_camera_refuses_says_which(open_virtual: OpenVirtual, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("Gain = 99.0\n")
    with pytest.raises(CameraUnavailable, match=r"expected Gain between 0\.0 and 24\.0 dB, got 99\.0"):
        open_virtual(settings_file=tmp_path / "settings.toml")


@pytest.mark.parametrize("text", ["Gain = [1]\n", "Gain =\n", '{"Gain": 1}'])
def test_settings_file_that_is_none_says_what_was_expected(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(CameraUnavailable, match=r"expected .*settings\.toml"):
        read_settings(tmp_path / "settings.toml")


def test_window_that_was_set_comes_back_whole(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.set_feature("Width", 32)
    window = {name: camera.feature(name).value for name in ("Width", "Height", "OffsetX", "OffsetY")}
    camera.start()
    with pytest.raises(CameraLost):
        camera.set_feature("FaultCrash", True)
    camera.stop()
    camera.start()
    assert {name: camera.feature(name).value for name in window} == window
    assert read(camera).shape == (SHAPE[0], 32)
