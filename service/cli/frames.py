"""Frames that the commands look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qpi_live.camera.frame import Frame
    from qpi_live.camera.optics import Optics


def read_frames(
    recording: str, count: int, size: int | None, optics: Optics | None
) -> tuple[list[Frame], Optics | None]:
    """The first frames of a camera, and its optics unless others are given."""
    from qpi_live.camera.source import CameraOptions, open_camera

    shape = None if size is None else (size, size)
    camera = open_camera(recording, CameraOptions(shape=shape, frame_rate_hz=0, loop=False))
    camera.start()
    try:
        read: list[Frame] = []
        while len(read) < count:
            frame = camera.read(10.0)
            if frame is None:
                break
            read.append(frame)
    finally:
        camera.stop()
    return read, optics or camera.identity.optics
