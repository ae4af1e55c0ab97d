"""GenICam cameras: the virtual one with its faults, and a third party's."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.errors import (
    CameraError,
    CameraLost,
    CameraTimeout,
    CameraUnavailable,
    FeatureMissing,
    FeatureRefused,
)
from qpi_live.camera.features import ConfigurableCamera, read_settings
from qpi_live.camera.frame import Frame
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.genicam.capture_link import CaptureLink
from qpi_live.camera.genicam.frame_ids import GAP, INCOMPLETE, LATE, UNDERRUN
from qpi_live.camera.source import CameraOptions, open_camera

SHAPE = (48, 64)
PATIENCE_S = 30.0  # a bound for a machine that is busy; nothing waits for it to pass
OpenVirtual = Callable[..., GenicamCamera]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bus of virtual cameras that all processes of this test share."""
    monkeypatch.setenv("VIRTUAL_GENTL_BUS", str(tmp_path))
    return tmp_path


@pytest.fixture
def open_virtual(virtual_producer: Path, bus: Path) -> Iterator[OpenVirtual]:
    """Opens virtual cameras that stamp each frame with its id, and stops them afterwards."""
    opened: list[GenicamCamera] = []

    def open_one(serial: str = "VC0000", rate_hz: float = 500.0, **options: object) -> GenicamCamera:
        asked = CameraOptions(shape=SHAPE, frame_rate_hz=rate_hz, **options)  # type: ignore[arg-type]
        camera = GenicamCamera.open(f"{virtual_producer}#{serial}", asked)
        opened.append(camera)
        camera.set_feature("VirtualStampId", 1)
        return camera

    yield open_one
    for camera in opened:
        camera.stop()


def read(camera: GenicamCamera) -> Frame:
    frame = camera.read(PATIENCE_S)
    assert frame is not None
    return frame


def stamp_of(frame: Frame) -> int:
    """The id that the virtual camera wrote into the picture itself."""
    return int(frame.pixels.reshape(-1)[:8].copy().view(np.uint64)[0])


def read_until(camera: GenicamCamera, happened: Callable[[], bool]) -> None:
    """Read frames until something is true."""
    end = monotonic() + PATIENCE_S
    while not happened():
        assert monotonic() < end, "it did not happen"
        read(camera)


def read_on(camera: GenicamCamera) -> None:
    """Read frames, and wait for them, until the camera is lost."""
    end = monotonic() + PATIENCE_S
    while monotonic() < end:
        with suppress(CameraTimeout):
            camera.read(0.1)


def read_without_patience(camera: GenicamCamera) -> None:
    """Read frames until one is late."""
    end = monotonic() + PATIENCE_S
    while monotonic() < end:
        camera.read(0.5)


def drain(camera: GenicamCamera) -> list[Frame]:
    """The frames that were under way when the camera was paused."""
    frames = []
    while True:
        try:
            frame = camera.read(0.2)
        except CameraTimeout:
            return frames
        assert frame is not None, "a camera's stream has no end"
        frames.append(frame)


def losses_after(camera: GenicamCamera, frames: int) -> tuple[list[Frame], Counter[str]]:
    """`frames` frames, and what was lost by the end of the stream."""
    camera.start()
    seen = [read(camera) for _ in range(frames)]
    camera.stop()
    return seen, Counter(camera.take_losses())


def test_open_by_serial_takes_that_camera(open_virtual: OpenVirtual) -> None:
    camera = open_virtual("VC0001")
    assert camera.identity.serial == "VC0001"
    assert camera.identity.source.startswith("gentl:")
    assert isinstance(camera, ConfigurableCamera)


def test_open_of_a_serial_that_is_not_there_names_those_that_are(virtual_producer: Path) -> None:
    with pytest.raises(CameraUnavailable, match=r"serial number nope .* VC0000"):
        open_camera(f"gentl:{virtual_producer}#nope", CameraOptions())


def test_open_of_a_producer_that_is_not_there_says_so() -> None:
    with pytest.raises(CameraUnavailable, match="expected a GenTL producer"):
        open_camera("gentl:/no/such/producer.cti", CameraOptions())


def test_open_of_what_is_no_producer_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.cti").write_bytes(b"not a library")
    with pytest.raises(CameraUnavailable, match=r"broken\.cti cannot be loaded: "):
        open_camera(f"gentl:{tmp_path / 'broken.cti'}", CameraOptions())


def test_open_of_a_camera_in_use_says_so(open_virtual: OpenVirtual) -> None:
    open_virtual()
    with pytest.raises(CameraUnavailable, match="another program holds it"):
        open_virtual()


def test_open_without_serial_takes_a_free_camera(open_virtual: OpenVirtual, virtual_producer: Path) -> None:
    open_virtual("VC0000")
    other = GenicamCamera.open(str(virtual_producer), CameraOptions(shape=SHAPE))
    assert other.identity.serial == "VC0001"
    other.stop()


@pytest.mark.parametrize(
    ("pixel_format", "bit_depth"),
    [
        ("Mono8", 8),
        ("Mono10", 10),
        ("Mono12", 12),
        ("Mono16", 16),
        ("Mono10p", 10),
        ("Mono12p", 12),
        ("Mono10Packed", 10),
        ("Mono12Packed", 12),
    ],
)
def test_frames_of_every_format_are_the_recordings_pixels(
    open_virtual: OpenVirtual, tmp_path: Path, pixel_format: str, bit_depth: int
) -> None:
    recording = (
        np.random.default_rng(0)
        .integers(0, 2**bit_depth, (3, *SHAPE))
        .astype(np.uint8 if bit_depth == 8 else np.uint16)
    )
    recording[:, 0, 0] = 2**bit_depth - 1  # so that the depth can be told from the file
    np.save(tmp_path / "recording.npy", recording)
    camera = open_virtual()
    camera.set_feature("VirtualStampId", 0)
    camera.set_feature("VirtualSource", str(tmp_path / "recording.npy"))
    camera.pause()
    camera.set_feature("PixelFormat", pixel_format)
    camera.start()
    camera.resume()
    for _ in range(4):
        frame = read(camera)
        assert frame.bit_depth == bit_depth == camera.identity.bit_depth
        assert frame.device_id is not None
        np.testing.assert_array_equal(frame.pixels, recording[frame.device_id % 3])


def test_frames_carry_the_cameras_ids_and_times(open_virtual: OpenVirtual) -> None:
    frames, losses = losses_after(open_virtual(), 50)
    assert [frame.sequence for frame in frames] == list(range(50))
    assert [frame.device_id for frame in frames] == [stamp_of(frame) for frame in frames]
    device_ns = [frame.device_timestamp_ns or 0 for frame in frames]
    assert device_ns == sorted(device_ns)
    assert frames[-1].device_id == 49 + sum(losses[reason] for reason in (GAP, INCOMPLETE, UNDERRUN, LATE))


def test_frames_that_are_kept_never_change_and_never_starve_the_stream(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    kept = [read(camera) for _ in range(200)]  # more than there are slots
    assert [stamp_of(frame) for frame in kept] == [frame.device_id for frame in kept]
    assert camera.pinnable is not None


def test_frame_before_start_is_refused(open_virtual: OpenVirtual) -> None:
    with pytest.raises(CameraLost, match="not started"):
        open_virtual().read(0.0)


def test_read_after_the_camera_has_been_stopped_and_started_goes_on(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    for expected in range(3):
        camera.start()
        assert read(camera).sequence == expected
        camera.stop()
        camera.stop()


@pytest.mark.parametrize(
    ("fault", "reason"), [("FaultDropEvery", GAP), ("FaultIncompleteEvery", INCOMPLETE), ("FaultLateEvery", LATE)]
)
def test_losses_on_demand_are_counted_by_their_reason(open_virtual: OpenVirtual, fault: str, reason: str) -> None:
    camera = open_virtual(rate_hz=200)
    camera.set_feature(fault, 10)
    frames, losses = losses_after(camera, 100)
    ids = [frame.device_id or 0 for frame in frames]
    assert ids == sorted(ids)
    assert all(device_id % 10 != 9 for device_id in ids)
    # The last fault may still have been under way when the stream was stopped.
    assert losses[reason] >= len([device_id for device_id in range(ids[-1] - 1) if device_id % 10 == 9])
    assert sum(losses[other] for other in {GAP, INCOMPLETE, LATE} - {reason}) <= 1
    assert ids[-1] + 1 <= len(frames) + sum(losses.values()) - losses["stream stopped"]


def test_ids_of_16_bits_wrap_without_a_loss(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=100)
    camera.set_feature("FaultIdBits", "Bits16")
    camera.set_feature("FaultIdStart", 65530)
    frames, losses = losses_after(camera, 12)
    assert [frame.device_id for frame in frames] == [*range(65530, 65536), *range(1, 7)]
    assert GAP not in losses


def test_camera_that_stalls_times_out_and_goes_on(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    read(camera)
    camera.set_feature("FaultStallMs", 1000)
    with pytest.raises(CameraTimeout, match="No frame comes"):
        read_without_patience(camera)
    read(camera)


def test_underruns_are_not_counted_again_after_a_pause(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=2000.0)
    camera.start()
    read(camera)
    losses = Counter(camera.take_losses())
    process = camera._link._process.pid  # type: ignore[union-attr]
    end = monotonic() + 10
    while not losses[UNDERRUN]:
        if monotonic() > end:
            pytest.skip("no buffer was ever missing: this machine reads faster than the camera can send")
        os.kill(process, signal.SIGSTOP)
        sleep(0.3)  # frames pile up, which the camera then sends in a burst
        os.kill(process, signal.SIGCONT)
        for _ in range(100):
            read(camera)
        losses += Counter(camera.take_losses())
    camera.pause()
    drain(camera)
    camera.take_losses()
    camera.set_feature("AcquisitionFrameRate", 50.0)
    camera.resume()
    frames = [read(camera) for _ in range(20)]
    camera.stop()
    losses = Counter(camera.take_losses())
    missing = (frames[-1].device_id or 0) + 1 - len(frames)
    assert losses[UNDERRUN] <= missing


def plug_in(bus: Path, serial: str = "VC0000") -> None:
    """Put the cable back, however long the camera was told to be away."""
    (bus / f"{serial}.unplugged").unlink()


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
    monkeypatch.setattr("qpi_live.camera.genicam.camera._HUNG_NS", 700_000_000)
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


def read_at(camera: GenicamCamera) -> float:
    """When the next frame was captured, in seconds."""
    frame = camera.read(0.1)
    assert frame is not None
    return frame.captured_monotonic_ns / 1e9


def test_request_that_takes_longer_than_any_frame_may_is_waited_for(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.genicam.camera._HUNG_NS", 300_000_000)
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


def exposure_of(frame: Frame) -> float:
    """The exposure that the frame says it was taken with."""
    assert frame.settings is not None
    return float(frame.settings["ExposureTime"])


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


def test_set_feature_that_decides_the_layout_is_refused_while_streaming(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    with pytest.raises(FeatureRefused, match="stop the camera first"):
        camera.set_feature("Width", 32)
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


def test_resume_after_a_pause_longer_than_patience_is_no_hang(
    open_virtual: OpenVirtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.genicam.camera._HUNG_NS", 1)  # any sign of life is too old
    camera = open_virtual()
    camera.start()
    camera.pause()
    drain(camera)
    monkeypatch.setattr(camera, "_paused", False)  # as another thread sees it while it is being resumed
    with pytest.raises(CameraTimeout):
        camera.read(0.0)


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
    monkeypatch.setattr(camera._wanted, "_options", CameraOptions(SHAPE, frame_rate_hz=1e6))
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


def test_open_at_a_rate_beyond_the_camera_says_its_range(open_virtual: OpenVirtual) -> None:
    with pytest.raises(CameraUnavailable, match=r"expected a frame rate .* between 0\.1 and 5000\.0 Hz"):
        open_virtual(rate_hz=1e6)


def test_open_of_a_larger_sensor_reads_its_middle(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    assert camera.identity.shape == SHAPE
    assert camera.identity.settings["OffsetX"] == (1024 - SHAPE[1]) // 2
    assert camera.identity.settings["OffsetY"] == (1024 - SHAPE[0]) // 2


def test_third_partys_camera_streams_grey_and_restarts(viky_producer: Path) -> None:
    camera = GenicamCamera.open(f"{viky_producer}#1", CameraOptions(shape=(800, 800), frame_rate_hz=100))
    assert camera.identity.shape == (800, 800)
    assert camera.identity.bit_depth == 8
    for _ in range(2):
        camera.start()
        shapes = {read(camera).shape for _ in range(20)}
        assert shapes == {(800, 800)}
        camera.stop()
    camera.start()
    assert camera.set_feature("BouncingBallSize", 30).value == 30
    with pytest.raises(FeatureRefused, match="expected BouncingBallSize between 1 and 40, got 90"):
        camera.set_feature("BouncingBallSize", 90)
    camera.stop()


def test_account_of_frames_read_and_lost_is_exact_and_complete(open_virtual: OpenVirtual) -> None:
    """Every id that the camera used up is accounted for, however it was lost."""
    camera = open_virtual(rate_hz=1000)
    for fault, every in (("FaultDropEvery", 7), ("FaultIncompleteEvery", 11), ("FaultLateEvery", 13)):
        camera.set_feature(fault, every)
    account, newest = FrameAccount(), 0
    camera.start()
    for _ in range(800):
        frame = read(camera)
        newest = frame.device_id or 0
        account.captured()
        account.delivered()
        for reason, frames in camera.take_losses().items():
            account.never_arrived(reason, frames)
        assert account.snapshot().is_exact
    camera.pause()
    for frame in drain(camera):
        newest = frame.device_id or 0
        account.captured()
        account.delivered()
    camera.stop()
    for reason, frames in camera.take_losses().items():
        account.never_arrived(reason, frames)
    snapshot = account.snapshot()
    assert snapshot.is_exact
    assert {GAP, INCOMPLETE, LATE} <= set(snapshot.dropped)
    assert snapshot.captured >= newest


def test_losses_are_not_told_again_after_a_pause(open_virtual: OpenVirtual) -> None:
    camera = open_virtual(rate_hz=200)
    camera.set_feature("FaultDropEvery", 5)
    camera.start()
    read_until(camera, lambda: (read(camera).device_id or 0) > 55)
    camera.pause()
    drain(camera)
    told = Counter(camera.take_losses())
    assert told[GAP] >= 10
    camera.set_feature("FaultDropEvery", 0)
    camera.resume()
    assert not camera.take_losses().get(GAP)
    for _ in range(5):
        read(camera)
    assert not camera.take_losses().get(GAP)


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
    monkeypatch.setattr("qpi_live.camera.genicam.camera._STOP_S", 0.1)
    monkeypatch.setattr("qpi_live.camera.genicam.capture_link._ANSWER_S", 3600.0)
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


def test_errors_of_every_kind_are_camera_errors() -> None:
    assert all(issubclass(error, CameraError) for error in (FeatureMissing, FeatureRefused, CameraLost))
