"""Which frames of a stream belong to a recording, and when it ends."""

from __future__ import annotations

from enum import Enum, auto

from qpi_live.service.recording.wanted import Wanted

BETWEEN = "between intervals"
BEFORE = "before the trigger"
AFTER = "after the end"
ON_PURPOSE = frozenset({BETWEEN, BEFORE, AFTER})
"""Why frames are not in a recording though nothing is lost."""

_NS = 1_000_000_000


class Verdict(Enum):
    """What becomes of a frame."""

    WRITE = auto()
    LEAVE_OUT = auto()
    END = auto()


class Plan:
    """Judges frames one by one, in the order in which they were captured.

    Args:
        wanted: the limits and the interval.

    Attributes:
        is_full: whether a limit was reached with the frame that was written last: no further one is awaited.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._began_ns: int | None = None
        self._due_ns = 0
        self._frames = 0
        self.is_full = False

    def begin(self, now_ns: int) -> None:
        """Count time from here on, on the monotonic clock; the first frame does it otherwise."""
        if self._began_ns is None:
            self._began_ns = self._due_ns = now_ns

    def judge(self, captured_ns: int) -> Verdict:
        """What becomes of a frame that was captured at `captured_ns` of the monotonic clock."""
        self.begin(captured_ns)
        if self.is_full or self.is_over(captured_ns):
            return Verdict.END
        every_s = self._wanted.every_s
        if every_s is not None:
            if captured_ns < self._due_ns:
                return Verdict.LEAVE_OUT
            every_ns = max(1, round(every_s * _NS))
            self._due_ns += every_ns * ((captured_ns - self._due_ns) // every_ns + 1)  # never two for one that was late
        return Verdict.WRITE

    def wrote(self, recording_bytes: int) -> None:
        """Count a frame that is in the recording, whose layers have so many bytes with it."""
        self._frames += 1
        wanted = self._wanted
        self.is_full = (wanted.frames is not None and self._frames >= wanted.frames) or (
            wanted.megabytes is not None and recording_bytes >= wanted.megabytes * 1e6
        )

    def is_over(self, now_ns: int) -> bool:
        """Whether its time is over, should no frame come any more."""
        seconds, began_ns = self._wanted.seconds, self._began_ns
        return seconds is not None and began_ns is not None and now_ns - began_ns >= seconds * _NS
