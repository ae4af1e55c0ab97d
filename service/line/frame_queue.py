"""Chooses where frames wait for the engine, and lets that follow the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.gpu.queue import GpuFrameQueue
from qpi_live.camera.source import Camera, PinnableCamera
from qpi_live.models.engine_switch import EngineSwitch

_log = logging.getLogger(__name__)


def queue_for(engine: EngineSwitch, camera: Callable[[], Camera], account: FrameAccount) -> GpuFrameQueue:
    """A queue that puts frames on the engine's device, where it works on one; see `follow`.

    Args:
        engine: what the frames are for.
        camera: the camera that frames come from now.
        account: where each frame's fate is counted.
    """

    def memory() -> NDArray[np.uint8] | None:
        present = camera()
        return present.pinnable if isinstance(present, PinnableCamera) else None

    queue = GpuFrameQueue(None, account, camera_memory=memory)
    follow(queue, engine)
    return queue


def follow(queue: GpuFrameQueue, engine: EngineSwitch) -> None:
    """Let further frames wait where the present engine works; the log says where that is."""
    open_device = engine.open_device
    where = "there" if open_device else "in host memory"
    _log.info("the engine works on %s; frames wait %s", engine.identity.device, where)
    queue.use_device(open_device)
