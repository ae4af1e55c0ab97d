"""The path of a window over a hologram that is larger than the frames made of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sin, tau

_STAGE_SPEED_PX = 3.0  # the window's fastest motion along an axis, in pixels per frame


@dataclass(frozen=True, slots=True)
class StagePath:
    """A Lissajous figure, as a stage that sweeps to and fro would go.

    Along each axis the window swings sinusoidally over all the room there is, at no more than `_STAGE_SPEED_PX`
    pixels per frame, from the middle. The two periods are in the golden ratio, so the path does not soon repeat.

    Attributes:
        outer: (H, W) of the hologram.
        inner: (h, w) of the window, at most as large.
    """

    outer: tuple[int, int]
    inner: tuple[int, int]

    def at(self, step: int) -> tuple[int, int]:
        """(top, left) of the window after `step` frames, in whole pixels."""
        golden = (1 + 5**0.5) / 2
        return self._along(0, step, 1.0), self._along(1, step, golden)

    def _along(self, axis: int, step: int, slowness: float) -> int:
        swing_px = (self.outer[axis] - self.inner[axis]) / 2
        if swing_px == 0:
            return 0
        period = ceil(tau * swing_px / _STAGE_SPEED_PX * slowness)
        return round(swing_px * (1 + sin(tau * (step % period) / period)))
