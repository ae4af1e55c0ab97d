"""Lets through so many frames a second, evenly."""

from __future__ import annotations


class RateLimit:
    """Chooses, frame by frame, which of them to let through at a maximum rate.

    A frame a little before its time is let through, or the camera's jitter would cost every second one. The next one's
    time stays on the grid, so that the rate holds.
    """

    def __init__(self) -> None:
        self._due_s = 0.0

    def admits(self, now_s: float, max_fps: float) -> bool:
        """Whether a frame that came at `now_s` goes through at `max_fps`; 0: all do."""
        if max_fps == 0:
            return True
        period_s = 1 / max_fps
        # A rate that was raised takes effect at once, but for a period and a half.
        self._due_s = min(self._due_s, now_s + 1.5 * period_s)
        if now_s < self._due_s - period_s / 4:
            return False
        self._due_s = max(self._due_s + period_s, now_s + period_s / 2)
        return True
