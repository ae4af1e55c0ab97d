"""The one crossing between the camera thread and the engine thread."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Protocol

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.frame import Frame


class FrameQueue(Protocol):
    """A bounded queue whose newest frames win: `put` never waits; the oldest frame makes room, counted."""

    def put(self, frame: Frame) -> None:
        """Take a frame in; it counts as captured. A frame that must make room counts as dropped."""

    def get(self, timeout_s: float) -> Frame | None:
        """The oldest frame waiting, or None after `timeout_s` without one or once the queue is closed."""

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether a frame can be put without dropping one, waiting up to `timeout_s` for it."""

    def close(self) -> None:
        """Wake everyone; frames still waiting count as dropped, and so does whatever is put from now on."""


class HostFrameQueue:
    """`FrameQueue` in host memory.

    Args:
        account: where each frame's fate is counted.
        capacity: frames that may wait. 2 keeps the engine fed without showing the user old frames.
    """

    def __init__(self, account: FrameAccount, capacity: int = 2) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least one frame, got {capacity}")
        self._account = account
        self._capacity = capacity
        self._frames: deque[Frame] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, frame: Frame) -> None:
        """See `FrameQueue.put`."""
        with self._changed:
            self._account.captured()
            if self._closed:
                self._account.dropped("queue closed")
                return
            if len(self._frames) == self._capacity:
                self._frames.popleft()
                self._account.dropped("queue full")
            self._frames.append(frame)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> Frame | None:
        """See `FrameQueue.get`."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed, timeout_s)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def wait_for_room(self, timeout_s: float) -> bool:
        """See `FrameQueue.wait_for_room`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames) < self._capacity or self._closed, timeout_s)
            return len(self._frames) < self._capacity

    def close(self) -> None:
        """See `FrameQueue.close`."""
        with self._changed:
            self._closed = True
            while self._frames:
                self._frames.popleft()
                self._account.dropped("queue closed")
            self._changed.notify_all()
