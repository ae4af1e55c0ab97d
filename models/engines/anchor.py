"""What is left of the instrument's phase in a measured one, by a network's picture and by the frames before.

A network's picture of a frame has its own noise and blur, but its level and its slow slopes are right to tenths of a
radian also where cells leave no ground. So a polynomial is fitted to what the measured phase has and the picture has
not. Between two pictures the sample hardly changes, and the measured phase is held to its own last map instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.block_map import BlockMap

Map = NDArray[np.float32]
Values = NDArray[np.float64]

_GROUND_RAD, _GROUND_WEIGHT = 0.15, 30.0  # below it a picture shows ground, where it errs least
_PICTURE_RAD = 0.05  # by how much a polynomial from a picture is off, about
# Of the RMS by which picture and background disagree: so much is laid to the background where its own doubt says less.
# 0.3 to 0.7 give the same on simulated frames of three conditions, but for those where the background is lost.
_DISAGREED = 0.5
_ELSEWHERE_RAD = 0.15  # median of what is left between two maps of different places; 0.02 to 0.05 from frame to frame
_GAIN = 0.3  # of a later picture
_CUT = 0.99  # of the network's range, above which it says only "at least"


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A measured phase on the blocks of `BlockMap`, and where it says something."""

    means_rad: Map
    valid: Map


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What a picture has led to.

    Attributes:
        taken_off: the values of the polynomial to be taken off the frame.
        doubt_rad: by how much that is likely to be off, RMS.
        disagreement_rad: between the background with and without the picture, RMS.
    """

    taken_off: Values
    doubt_rad: float
    disagreement_rad: float


@dataclass(slots=True)
class Anchor:
    """Follows what is to be taken off the measured phase of one stream.

    Args:
        shape: (H, W) of the frames in pixels.
        range_rad: the network's phases are cut to 0 … this.
    """

    shape: tuple[int, int]
    range_rad: float
    _grid: BlockMap = field(init=False)
    _trusted: Mapped | None = None

    def __post_init__(self) -> None:
        y, x = (np.linspace(-1, 1, length) for length in self.shape)
        self._grid = BlockMap(y, x)

    @property
    def is_set(self) -> bool:
        """Whether a picture has been seen."""
        return self._trusted is not None

    def map(self, phase_rad: Map, mask: NDArray[np.bool_] | None) -> Mapped:
        """The blocks of a measured phase, (H, W) float32 in rad."""
        return Mapped(*self._grid.means(phase_rad, None if mask is None else ~mask))

    def follow(self, measured: Mapped) -> Values:
        """The values of the polynomial by which a frame is off from the map that is trusted; zeros without one.

        A map that shows another part of the sample is trusted no more.
        """
        trusted, nothing = self._trusted, np.zeros(len(self._grid.orthonormal))
        if trusted is None:
            return nothing
        off, valid = measured.means_rad - trusted.means_rad, measured.valid * trusted.valid
        values = self._nearest(off, np.zeros_like(off), valid)
        rest = np.abs(self._grid.without(off, values)[valid > 0])
        if rest.size == 0 or np.median(rest) > _ELSEWHERE_RAD:
            self._trusted = None
            return nothing
        return values

    def look(self, measured: Mapped, before: Values, picture_rad: Map, doubt_rad: float) -> Looked:
        """Trust a frame of which there is a picture.

        Args:
            measured: the frame's own phase.
            before: what was taken off it, as the frames before have it.
            picture_rad: (H, W) float32 the network's phase of the very frame, in rad.
            doubt_rad: by how much its background is likely to be off.

        Returns:
            What is to be taken off it now: towards the picture, the more so the more the background is doubted; and,
            after the first picture, only part of the way from what the frames before say.
        """
        means, seen = self._grid.means(picture_rad)
        weight = np.where(means < _GROUND_RAD, np.float32(np.log(_GROUND_WEIGHT)), np.float32(0))
        seen = seen * measured.valid * (means < _CUT * self.range_rad)
        by_picture = self._nearest(measured.means_rad - means, weight, seen)
        disagreement_rad = float(np.linalg.norm(self._grid.to_orthonormal(by_picture)))
        doubt_rad = max(doubt_rad, _DISAGREED * disagreement_rad)
        share = doubt_rad**2 / (doubt_rad**2 + _PICTURE_RAD**2)
        values: Values = share * by_picture
        if self._trusted is not None:
            values = before + _GAIN * (values - before)
        self._trusted = Mapped(self._grid.without(measured.means_rad, values), measured.valid)
        return Looked(values, share**0.5 * _PICTURE_RAD, disagreement_rad)

    def _nearest(self, off_rad: Map, log_weight: Map, valid: Map) -> Values:
        """The polynomial nearest to a map: the least squares first, which settling then rids of what lies off it."""
        rough = self._grid.solve(off_rad, log_weight, valid)
        rest = self._grid.without(off_rad, rough)
        values: Values = rough + self._grid.settle(rest, log_weight, valid).values
        return values

    def matrix(self, values: Values) -> NDArray[np.float64]:
        """(n, n) float64 c[i, j] of y^i x^j in rad, y and x from −1 to 1 across the frame."""
        return self._grid.matrix(values)
