"""A virtual camera, opened through its real GenTL producer in the real capture process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.source import CameraOptions

from tests.camera.genicam.reading import SHAPE, OpenVirtual


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
