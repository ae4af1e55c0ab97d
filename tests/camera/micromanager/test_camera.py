"""Cameras of Micro-Manager, with its own demonstration drivers and a device in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from qpi_live.camera.errors import CameraError, CameraLost, CameraUnavailable, FeatureMissing, FeatureRefused
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import CameraOptions, open_camera
from qpi_live.camera.window import WindowChange

from tests.camera.micromanager.configuration import PYTHON_DEVICE

pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus: pip install 'qpi-live[micromanager]'")
from pymmcore_plus import find_micromanager
from qpi_live.camera.capture.slots import SlotLayout, create_slots
from qpi_live.camera.micromanager.camera import MicroManagerCamera
from qpi_live.camera.micromanager.link import OVERFLOW, REASONS

PATIENCE_S = 30.0
SHAPE = (72, 96)
Opened = Callable[..., MicroManagerCamera]

if find_micromanager() is None:
    pytest.skip("needs Micro-Manager's drivers: pip install mm-test-adapters", allow_module_level=True)


@pytest.fixture
def opened() -> Iterator[Opened]:
    cameras: list[MicroManagerCamera] = []

    def open_one(address: str = "", **options: object) -> MicroManagerCamera:
        cameras.append(MicroManagerCamera.open(address, CameraOptions(**options)))
        return cameras[-1]

    yield open_one
    for camera in cameras:
        camera.stop()


def read(camera: MicroManagerCamera) -> Frame:
    frame = camera.read(PATIENCE_S)
    assert frame is not None
    return frame


def read_until(camera: MicroManagerCamera, wanted: Callable[[Frame], bool]) -> Frame:
    give_up = monotonic() + PATIENCE_S
    while not wanted(frame := read(camera)):
        assert monotonic() < give_up
    return frame


def test_demonstration_camera_sends_frames_with_its_own_numbers_and_settings(opened: Opened) -> None:
    camera = opened()
    camera.start()
    frames = [read(camera) for _ in range(5)]
    assert camera.identity.vendor == "DemoCamera"
    assert {frame.shape for frame in frames} == {camera.identity.shape} == {(512, 512)}
    assert [frame.device_id for frame in frames] == list(range(5))
    assert frames[0].bit_depth == camera.identity.bit_depth == 16
    assert frames[0].settings is not None
    assert frames[0].settings["ExposureTime"] == 10_000
    assert np.ptp(frames[0].pixels) > 0


def test_pixel_size_of_the_configuration_is_the_objects(opened: Opened) -> None:
    optics = opened().identity.optics
    assert optics is not None
    assert optics.object_pixel_m == 1e-6  # of the demonstration's 10× objective
    stated = opened(optics=StatedOptics(pixel_um=6.5, magnification=65.0, wavelength_nm=532)).identity.optics
    assert stated is not None
    assert stated.object_pixel_m == pytest.approx(0.1e-6)


def test_exposure_set_while_frames_come_is_told_with_them(opened: Opened) -> None:
    camera = opened()
    camera.start()
    read(camera)
    assert camera.set_feature("ExposureTime", 3000.0).value == 3000.0
    frame = read_until(camera, lambda frame: (frame.settings or {}).get("ExposureTime") == 3000)
    assert frame.device_id is not None
    assert camera.identity.settings["ExposureTime"] == 3000


def test_properties_are_features_under_their_own_names(opened: Opened) -> None:
    camera = opened()
    names = [feature.name for feature in camera.features()]
    assert len(names) == len(set(names))
    assert {"ExposureTime", "Width", "PixelFormat", "BinningVertical", "Gain", "Mode"} <= set(names)
    assert not {"Exposure", "Binning", "PixelType"} & set(names)
    assert camera.set_feature("Mode", "Noise").value == "Noise"
    with pytest.raises(FeatureRefused, match="expected one of Artificial Waves"):
        camera.set_feature("Mode", "Holograms")
    with pytest.raises(FeatureMissing, match="no property 'Holograms'"):
        camera.set_feature("Holograms", 1)
    with pytest.raises(FeatureRefused, match="can only be read"):
        camera.set_feature("CameraName", "mine")


def test_window_and_binning_change_the_frames(opened: Opened) -> None:
    camera = opened(shape=SHAPE)
    camera.start()
    assert read(camera).shape == camera.identity.shape == SHAPE
    window = camera.set_window(WindowChange(binning=2))
    assert (window.height, window.width, window.full_height) == (36, 48, 256)
    frame = read_until(camera, lambda frame: frame.shape == (36, 48))
    assert frame.sensor_window["BinningVertical"] == 2
    assert camera.identity.optics is not None
    assert camera.identity.optics.object_pixel_m == 2e-6
    with pytest.raises(FeatureRefused, match="expected a window inside"):
        camera.set_window(WindowChange(area=(0, 0, 1000, 1000)))
    assert camera.window() == window


@pytest.mark.parametrize("value", ["8bit", "32bitRGB"])
def test_pixel_format_that_streaming_frames_cannot_take_is_refused_and_changes_nothing(
    opened: Opened, value: str
) -> None:
    camera = opened()
    camera.start()
    with pytest.raises(FeatureRefused):
        camera.set_feature("PixelFormat", value)
    assert camera.feature("PixelFormat").value == "16bit"
    assert read(camera).bit_depth == 16


def test_pixel_format_of_eight_bits_by_the_window_changes_the_frames(opened: Opened) -> None:
    camera = opened()
    camera.start()
    camera.set_window(WindowChange(pixel_format="8bit"))
    assert read_until(camera, lambda frame: frame.bit_depth == 8).pixels.dtype == np.uint8


def test_camera_whose_driver_crashes_is_lost_and_comes_back_with_its_settings(opened: Opened) -> None:
    camera = opened()
    camera.start()
    camera.set_feature("ExposureTime", 4000.0)
    read(camera)
    with pytest.raises(CameraLost, match="driver may have crashed"):
        camera.set_feature("SimulateCrash", "Dereference Null Pointer")
    camera.stop()
    camera.start()
    assert read(camera).settings["ExposureTime"] == 4000  # type: ignore[index]


def test_settings_file_sets_properties_by_their_names(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text('ExposureTime = 2000.0\nMode = "Noise"\nBinningHorizontal = "2"\n')
    camera = opened(settings_file=path)
    saved = camera.save_settings()
    assert (saved["ExposureTime"], saved["Mode"], camera.identity.shape) == (2000.0, "Noise", (256, 256))
    path.write_text('Mode = "Holograms"\n')
    with pytest.raises(CameraUnavailable, match="does not take its settings: Mode cannot be set to Holograms"):
        opened(settings_file=path)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/no/such.cfg", "expected a Micro-Manager configuration, got /no/such.cfg"),
        ("#Other", "expected a camera 'Other' in MMConfig_demo.cfg; those in it are Camera"),
    ],
)
def test_camera_that_is_not_there_says_what_was_expected(address: str, said: str) -> None:
    with pytest.raises(CameraError, match=said):
        open_camera(f"mmcore:{address}", CameraOptions())


def test_configuration_that_is_none_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "own.cfg"
    path.write_text("Device,Camera,NoSuchLibrary,NoSuchCamera\n")
    with pytest.raises(CameraUnavailable, match="NoSuchLibrary"):
        open_camera(f"mmcore:{path}", CameraOptions())
    path.write_text("Device,XY,DemoCamera,DXYStage\nProperty,Core,Initialize,1\n")
    with pytest.raises(CameraUnavailable, match="there is none in it"):
        open_camera(f"mmcore:{path}", CameraOptions())


def test_frame_rate_is_refused_with_what_to_set_instead() -> None:
    with pytest.raises(CameraUnavailable, match="has no frame rate: set ExposureTime"):
        open_camera("mmcore:", CameraOptions(frame_rate_hz=25.0))


def test_images_that_the_core_wrote_over_are_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import Pipe

    from qpi_live.camera.micromanager.device import MicroManagerDevice
    from qpi_live.camera.micromanager.stream import MicroManagerStream

    device = MicroManagerDevice("MMConfig_demo.cfg", "")
    device._core.setCircularBufferMemoryFootprint(2)  # four images
    slots, _ = create_slots(SlotLayout((512, 512), "uint16", 8))
    near, far = Pipe()
    stream = MicroManagerStream(device, slots, 1)
    try:
        give_up = monotonic() + PATIENCE_S
        numbers: list[int] = []
        fetch = device.fetch

        def noted(timeout_s: float) -> object:
            image = fetch(timeout_s)
            if image is not None and image.number is not None:
                numbers.append(image.number)
            return image

        monkeypatch.setattr(device, "fetch", noted)
        while slots.losses[REASONS.index(OVERFLOW)] == 0:
            assert monotonic() < give_up
            sleep(0.2)  # the reader falls behind
            stream.pump(far, 0.1)
    finally:
        stream.end()
        device.close()
    assert slots.losses[REASONS.index(OVERFLOW)] + len(numbers) == numbers[-1] + 1
    assert near.poll(0)


def test_device_in_python_is_a_camera_like_any_other(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "python.cfg"
    path.write_text(PYTHON_DEVICE)
    camera = opened(str(path), shape=(128, 128))
    camera.start()
    frame = read(camera)
    assert frame.shape == camera.identity.shape == (128, 128)
    assert frame.bit_depth == 8
    assert camera.set_feature("ExposureTime", 5000.0).value == 5000.0
