"""The last frames before a trigger, held until it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qpi_live.camera.frame import Frame
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.recording.plan import BEFORE

_NO_MEMORY = "no memory before the trigger"


def frame_of(item: Frame | LiveFrame) -> Frame:
    """The frame itself, or the one that a phase was made of."""
    return item if isinstance(item, Frame) else item.frame


class HeldFrames:
    """Frames of the last seconds. One thread uses it.

    Args:
        seconds: how far back they go.
        most_bytes: that they may take; one frame may always.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self._span_ns, self._most_bytes = round(seconds * 1e9), most_bytes
        self._items: deque[Frame | LiveFrame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """How many are held."""
        return len(self._items)

    def hold(self, item: Frame | LiveFrame) -> Iterator[tuple[Frame, str]]:
        """Hold one more; gives the frames that are let go of for it, and why."""
        self._items.append(item)
        self._bytes += item.nbytes
        oldest_ns = frame_of(item).captured_monotonic_ns - self._span_ns
        while frame_of(self._items[0]).captured_monotonic_ns < oldest_ns:
            yield frame_of(self.take()), BEFORE
        while self._bytes > self._most_bytes and len(self._items) > 1:
            yield frame_of(self.take()), _NO_MEMORY

    def take(self) -> Frame | LiveFrame:
        """The oldest, which is not held any more."""
        item = self._items.popleft()
        self._bytes -= item.nbytes
        return item
