"""What tests of GenICam cameras read, and how long they wait for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

import numpy as np
from qpi_live.camera.errors import (
    CameraTimeout,
)
from qpi_live.camera.frame import Frame
from qpi_live.camera.genicam.camera import GenicamCamera

SHAPE = (48, 64)
PATIENCE_S = 30.0  # a bound for a machine that is busy; nothing waits for it to pass
OpenVirtual = Callable[..., GenicamCamera]


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


def plug_in(bus: Path, serial: str = "VC0000") -> None:
    """Put the cable back, however long the camera was told to be away."""
    (bus / f"{serial}.unplugged").unlink()


def read_at(camera: GenicamCamera) -> float:
    """When the next frame was captured, in seconds."""
    frame = camera.read(0.1)
    assert frame is not None
    return frame.captured_monotonic_ns / 1e9


def exposure_of(frame: Frame) -> float:
    """The exposure that the frame says it was taken with."""
    assert frame.settings is not None
    return float(frame.settings["ExposureTime"])
