"""What is to be taken off one frame after the other of a stream, held to the map of the sample that is trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.block_map import BlockMap

Map = NDArray[np.float32]
Values = NDArray[np.float64]

_ELSEWHERE_RAD = 0.15  # median of what is left between two maps of different places; 0.02 to 0.05 from frame to frame


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A phase on the blocks of a `BlockMap`, and where it says something, as `BlockMap.means` gives them."""

    means_rad: Map
    valid: Map


class Anchor:
    """Follows a polynomial from frame to frame, while the sample hardly changes.

    What a frame differs by from the frame before is the polynomial, but for what has moved; a robust fit leaves that
    out. So a stage that moves slowly is followed, too. Small errors from frame to frame would add up. So what is found
    of a frame by other means draws all later ones towards itself.

    Args:
        grid: the blocks and the terms.
    """

    def __init__(self, grid: BlockMap) -> None:
        self._grid = grid
        self._trusted: Mapped | None = None
        self._newest: Values = np.zeros(len(grid.orthonormal))

    def follow(self, frame: Mapped) -> Values | None:
        """The values of the polynomial to be taken off a frame.

        Returns:
            None where there is no map yet, or where it shows another part of the sample and is trusted no more.
        """
        trusted = self._trusted
        if trusted is None:
            return None
        off = self._grid.without(frame.means_rad, self._newest) - trusted.means_rad
        valid = frame.valid * trusted.valid
        step = nearest(self._grid, off, np.zeros_like(off), valid)
        rest = np.abs(self._grid.without(off, step)[valid > 0])
        if rest.size == 0 or np.median(rest) > _ELSEWHERE_RAD:
            self._trusted = None
            return None
        self.begin(frame, self._newest + step)
        return self._newest

    def begin(self, frame: Mapped, values: Values) -> None:
        """Trust a frame without this polynomial, whatever was before."""
        self._newest = values
        self._trusted = Mapped(self._grid.without(frame.means_rad, values), frame.valid)

    def draw(self, followed: Values, found: Values, gain: float) -> Values:
        """Draw the map towards what was found of a frame of which `followed` was taken off.

        Args:
            followed: what `follow` gave for that frame.
            found: what should have been taken off it.
            gain: part of the way to go.

        Returns:
            What is to be taken off the newest frame now.
        """
        step = gain * (found - followed)
        self._newest = self._newest + step
        if self._trusted is not None:
            self._trusted = Mapped(self._grid.without(self._trusted.means_rad, step), self._trusted.valid)
        return self._newest


def nearest(grid: BlockMap, off_rad: Map, log_weight: Map, valid: Map) -> Values:
    """The polynomial nearest to a map: by least squares first, which settling then rids of what lies off it."""
    rough = grid.solve(off_rad, log_weight, valid)
    values: Values = rough + grid.settle(grid.without(off_rad, rough), log_weight, valid).values
    return values
