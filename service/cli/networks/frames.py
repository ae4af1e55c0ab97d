"""Frames that the commands look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qpi_live.camera.frame import Frame
    from qpi_live.camera.optics import Optics


def read_frames(recording: str, count: int, size: int | None, channel: str = "") -> tuple[list[Frame], Optics | None]:
    """The first frames of a camera, and its optics.

    Args:
        recording: the camera, as for `qpi serve --camera`.
        count: how many, at most.
        size: edge of the frames; None takes them whole.
        channel: of a recording with several.
    """
    from qpi_live.camera.source import CameraOptions, open_camera

    shape = None if size is None else (size, size)
    camera = open_camera(recording, CameraOptions(shape=shape, frame_rate_hz=0, loop=False, channel=channel))
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
    return read, camera.identity.optics
