"""A camera in Python that replays a hologram, as a Micro-Manager configuration names one."""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep

import numpy as np
from pymmcore_plus.experimental.unicore import SimpleCameraDevice
from qpi_live.camera.source import CameraOptions, open_camera

SHAPE = (256, 256)


class HologramCamera(SimpleCameraDevice):
    def __init__(self) -> None:
        super().__init__()
        self._exposure_ms = 20.0
        self._source = open_camera("simulated", CameraOptions(shape=SHAPE, frame_rate_hz=0))
        self._source.start()

    def get_exposure(self) -> float:
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        self._exposure_ms = exposure

    def sensor_shape(self) -> tuple[int, int]:
        return SHAPE

    def dtype(self) -> type[np.uint8]:
        return np.uint8

    def snap(self, buffer: np.ndarray) -> Mapping:
        sleep(self._exposure_ms / 1000)  # the exposure
        frame = self._source.read(10.0)
        assert frame is not None
        buffer[:] = frame.pixels
        return {}
