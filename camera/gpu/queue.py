"""The frame queue of an engine that works on a device: frames are on their way there before the engine asks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.device import Device, DeviceError, DeviceLost, DeviceUnavailable
from qpi_live.camera.frame import Frame, OnDevice
from qpi_live.camera.gpu.ring import CameraMemory, DeviceRing
from qpi_live.camera.queue import HostFrameQueue

# Beside the frames that wait: the one put while the queue is full, the one the engine works on, the one it takes before
# it lets go of that, and a dropped one whose upload still runs.
_SPARE_SLOTS = 4
_ALL_IN_USE = "no free slot"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Uploads:
    """How many frames were put on the device, and how many stayed in host memory alone, by reason."""

    on_device: int
    through_host: dict[str, int]


class GpuFrameQueue:
    """`FrameQueue` that has each frame's upload under way when the engine gets it, as `Frame.on_device`.

    Without a device, as for an engine on the CPU, it is a `HostFrameQueue`.

    `put` never waits. It copies the pixels into page-locked staging, or leaves them where they are if the camera's
    memory is page-locked. It enqueues the upload on a stream of its own, which overlaps with the engine's work on the
    frame before. Grey values go up as they are. Which frames wait, which must make room, and how each is counted is
    `HostFrameQueue`'s business.

    A frame that cannot be put on the device is not lost. It passes with its pixels on the host alone, for the engine to
    upload or to fail on. It is counted in `uploads`. After a device was lost, it is opened again.

    Args:
        open_device: the engine's device (`DeviceEngine.open_device`), asked for at the first frame and after a loss;
            None: frames wait in host memory. See `use_device`.
        account: where each frame's fate is counted.
        capacity: frames that may wait.
        camera_memory: see `DeviceRing`.
        retry_s: how long to leave a device alone that was lost, in s.
    """

    def __init__(
        self,
        open_device: Callable[[], Device] | None,
        account: FrameAccount,
        capacity: int = 2,
        camera_memory: CameraMemory | None = None,
        retry_s: float = 1.0,
    ) -> None:
        self._waiting = HostFrameQueue(account, capacity)
        self._open_device = open_device
        self._most_slots = capacity + _SPARE_SLOTS
        self._camera_memory = camera_memory
        self._retry_s = retry_s
        self._lock = Lock()
        self._ring: DeviceRing | None = None
        self._closed = False
        self._next_try = -float("inf")
        self._fault = ""  # what the device cannot at present; empty while it can
        self._on_device = 0
        self._through_host: Counter[str] = Counter()

    @property
    def uploads(self) -> Uploads | None:
        """What became of the frames' uploads so far; None while there is no device."""
        with self._lock:
            return Uploads(self._on_device, dict(self._through_host)) if self._open_device else None

    def use_device(self, open_device: Callable[[], Device] | None) -> None:
        """Put further frames on another engine's device, or on none. Those that wait stay where they are."""
        with self._lock:
            self._close_ring()
            self._open_device = open_device
            self._fault, self._next_try = "", -float("inf")

    def put(self, frame: Frame) -> None:
        """See `FrameQueue.put`."""
        on_device = self._upload(frame)
        self._waiting.put(frame if on_device is None else replace(frame, on_device=on_device))

    def get(self, timeout_s: float) -> Frame | None:
        """See `FrameQueue.get`. The pixels stay on the device as long as somebody holds the frame's `on_device`."""
        return self._waiting.get(timeout_s)

    def wait_for_room(self, timeout_s: float) -> bool:
        """See `FrameQueue.wait_for_room`."""
        return self._waiting.wait_for_room(timeout_s)

    def close(self) -> None:
        """See `FrameQueue.close`."""
        self._waiting.close()
        with self._lock:
            self._closed = True
            self._close_ring()

    def _upload(self, frame: Frame) -> OnDevice | None:
        with self._lock:
            if self._closed or self._open_device is None:
                return None
            on_device, reason = self._try_upload(frame, self._open_device)
            if on_device is None:
                self._through_host[reason] += 1
            else:
                self._on_device += 1
            return on_device

    def _try_upload(self, frame: Frame, open_device: Callable[[], Device]) -> tuple[OnDevice | None, str]:
        """The frame on the device, or None and why not."""
        if self._ring is None and monotonic() < self._next_try:
            return None, self._fault
        try:
            if self._ring is None:
                self._ring = DeviceRing(open_device(), self._most_slots, self._camera_memory)
            on_device = self._ring.upload(frame.pixels)
        except DeviceError as error:
            if isinstance(error, DeviceLost | DeviceUnavailable):
                self._next_try = monotonic() + self._retry_s
                self._close_ring()
            if error.reason != self._fault:
                _log.warning("frames go through host memory: %s", error)
            self._fault = error.reason
            return None, error.reason
        if self._fault:
            _log.warning("frames go to the device again")
        self._fault = ""
        return on_device, _ALL_IN_USE

    def _close_ring(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
