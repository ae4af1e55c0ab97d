"""The frame account: what became of every frame, exact at every instant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """A consistent reading of a `FrameAccount`, in frames."""

    captured: int
    delivered: int
    in_flight: int
    dropped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Whether captured = delivered + dropped + failed + in flight."""
        ended = self.delivered + sum(self.dropped.values()) + sum(self.failed.values())
        return self.in_flight >= 0 and self.captured == ended + self.in_flight


class FrameAccount:
    """Counts frames in and out of one place (the pipeline, or one subscriber). Safe to use from any thread.

    Every counter, in flight included, is kept by itself. So `AccountSnapshot.is_exact` can fail, and does as soon as
    some code forgets a frame or counts one twice.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._captured = 0
        self._delivered = 0
        self._in_flight = 0
        self._dropped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def captured(self) -> None:
        """A frame came in; it is in flight until it is delivered, dropped or failed."""
        with self._lock:
            self._captured += 1
            self._in_flight += 1

    def delivered(self) -> None:
        """A frame in flight reached its destination."""
        with self._lock:
            self._delivered += 1
            self._in_flight -= 1

    def dropped(self, reason: str) -> None:
        """A frame in flight was given up for `reason`, on purpose (a newer one replaced it, say)."""
        with self._lock:
            self._dropped[reason] += 1
            self._in_flight -= 1

    def failed(self, reason: str) -> None:
        """A frame in flight was given up because something went wrong."""
        with self._lock:
            self._failed[reason] += 1
            self._in_flight -= 1

    def never_arrived(self, reason: str, frames: int) -> None:
        """The source exposed `frames` frames that never reached this program (a gap in the camera's ids, say)."""
        with self._lock:
            self._captured += frames
            self._dropped[reason] += frames

    def snapshot(self) -> AccountSnapshot:
        """All counters at one instant."""
        with self._lock:
            return AccountSnapshot(
                captured=self._captured,
                delivered=self._delivered,
                in_flight=self._in_flight,
                dropped=dict(self._dropped),
                failed=dict(self._failed),
            )
