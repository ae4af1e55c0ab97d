"""Taps: every frame as the camera gave it, or every phase, for a reader that must not miss one, such as a recorder."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from typing import Generic, Protocol, TypeVar

from qpi_live.camera.account import FrameAccount

FULL = "tap full"
CLOSED = "tap closed"


class Weighed(Protocol):
    """A frame, or what was made of one, that says which and how many bytes it holds."""

    @property
    def sequence(self) -> int:
        """Of the frame."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""


Item = TypeVar("Item", bound=Weighed)


class Tap(Generic[Item]):
    """A bounded queue of frames for one reader, a thread. The camera never waits for it.

    Frames that come while the tap is full are dropped: what a slow reader has is a series without holes up to there. A
    frame is in flight until the reader counts it in `account`, as delivered or failed. So
    captured = delivered + dropped + failed + in flight.

    Args:
        most_bytes: pixels that may wait; one frame may always.
        notes_absent: whether to note which frames are not in it, for a reader that fetches the notes (`take_absent`).
    """

    def __init__(self, most_bytes: int, *, notes_absent: bool = False) -> None:
        self.account = FrameAccount()
        self._notes_absent = notes_absent
        self._absent: dict[int, str] = {}
        self._most_bytes = most_bytes
        self._waiting_bytes = 0
        self._frames: deque[Item] = deque()
        self._changed = Condition()
        self._closed = False

    def offer(self, frame: Item) -> None:
        """Put a frame in, or drop it where there is no room; it returns at once."""
        with self._changed:
            if self._closed:
                return
            self.account.captured()
            if self._frames and self._waiting_bytes + frame.nbytes > self._most_bytes:
                self.account.dropped(FULL)
                self._note_absent(frame.sequence, FULL)
                return
            self._frames.append(frame)
            self._waiting_bytes += frame.nbytes
            self._changed.notify()

    def never_arrived(self, reason: str, frames: int) -> None:
        """Count frames that the camera exposed and that never came out of it."""
        with self._changed:
            if not self._closed:
                self.account.never_arrived(reason, frames)

    def was_not_made(self, sequence: int, reason: str) -> None:
        """Note that nothing will come of a frame, which the engine failed on."""
        with self._changed:
            if not self._closed:
                self._note_absent(sequence, reason)

    def take_absent(self) -> dict[int, str]:
        """The frames since the last call that are not in the tap and never will be, and why."""
        with self._changed:
            absent, self._absent = self._absent, {}
        return absent

    def _note_absent(self, sequence: int, reason: str) -> None:
        if self._notes_absent:
            self._absent[sequence] = reason

    def take(self, timeout_s: float) -> Item | None:
        """The oldest frame waiting, in flight with the caller now; None after `timeout_s` without one.

        After `close` it gives the frames that still wait, and None from then on.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed, timeout_s)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._waiting_bytes -= frame.nbytes
            return frame

    @property
    def is_closed(self) -> bool:
        """Whether no frame comes in any more; some may still wait."""
        return self._closed

    def close(self) -> None:
        """Take no more frames in; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def drop_waiting(self, reason: str = CLOSED) -> None:
        """Give up the frames that nobody took."""
        with self._changed:
            for _ in self._frames:
                self.account.dropped(reason)
            self._frames.clear()
            self._waiting_bytes = 0


class Taps(Generic[Item]):
    """The taps of one camera, or of one engine. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: tuple[Tap[Item], ...] = ()

    def open(self, most_bytes: int = 1 << 28, *, notes_absent: bool = False) -> Tap[Item]:
        """A tap that every frame from now on goes into; see `Tap`."""
        tap: Tap[Item] = Tap(most_bytes, notes_absent=notes_absent)
        with self._lock:
            self._open = (*self._open, tap)
        return tap

    def close(self, tap: Tap[Item]) -> None:
        """Let no more frames into `tap`. Doing it twice is harmless."""
        with self._lock:
            self._open = tuple(one for one in self._open if one is not tap)
        tap.close()

    def close_all(self) -> None:
        """Let no more frames into any."""
        for tap in self._open:
            self.close(tap)

    def offer(self, frame: Item) -> None:
        """Put a frame into every tap; it returns at once."""
        for tap in self._open:
            tap.offer(frame)

    def never_arrived(self, reason: str, frames: int) -> None:
        """Count in every tap's account frames that never came out of the camera."""
        for tap in self._open:
            tap.never_arrived(reason, frames)

    def was_not_made(self, sequence: int, reason: str) -> None:
        """Note in every tap that nothing will come of a frame."""
        for tap in self._open:
            tap.was_not_made(sequence, reason)
