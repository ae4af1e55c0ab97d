"""Opening a camera: the one that was asked for, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.camera.errors import (
    CameraError,
    CameraLost,
    CameraUnavailable,
    FeatureMissing,
    FeatureRefused,
)
from qpi_live.camera.features import ConfigurableCamera
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.source import CameraOptions, open_camera

from tests.camera.genicam.reading import SHAPE, OpenVirtual, read


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


def test_errors_of_every_kind_are_camera_errors() -> None:
    assert all(issubclass(error, CameraError) for error in (FeatureMissing, FeatureRefused, CameraLost))
