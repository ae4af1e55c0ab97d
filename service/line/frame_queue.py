"""Chooses the queue between the camera and the engine, once, at the start."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.gpu.queue import GpuFrameQueue
from qpi_live.camera.queue import FrameQueue, HostFrameQueue
from qpi_live.camera.source import Camera, PinnableCamera
from qpi_live.models.engine import DeviceEngine, PhaseEngine

_log = logging.getLogger(__name__)


def queue_for(engine: PhaseEngine, camera: Callable[[], Camera], account: FrameAccount) -> FrameQueue:
    """A queue on the engine's device, where it works on one, else in host memory; the log says which.

    Args:
        engine: what the frames are for.
        camera: the camera that frames come from now.
        account: where each frame's fate is counted.
    """
    where = engine.identity.device
    if not isinstance(engine, DeviceEngine):
        _log.info("the engine works on %s; frames wait in host memory", where)
        return HostFrameQueue(account)

    def memory() -> NDArray[np.uint8] | None:
        present = camera()
        return present.pinnable if isinstance(present, PinnableCamera) else None

    _log.info("the engine works on %s; frames go there while they wait", where)
    return GpuFrameQueue(engine.open_device, account, camera_memory=memory)
