"""By what polynomial a measured phase is off, according to a network's picture of the same frame.

A picture has its own noise and blur. But its level and its slow slopes are right to tenths of a radian, also where
cells leave no ground. So a polynomial is fitted to what the measured phase has and the picture has not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qpi_live.models.classical.block_map import BlockMap
from qpi_live.models.engines.fusion.anchor import Map, Mapped, Values, nearest

_GROUND_RAD, _GROUND_WEIGHT = 0.15, 30.0  # below it a picture shows ground, where it errs least
_PICTURE_RAD = 0.1  # by how much a polynomial from a picture is off, about
# No picture has been off by more, on real frames neither (0.5). Where they disagree by more the background is lost,
# whatever its own doubt says, and half of that is its doubt.
_MOST_OFF_RAD, _DISAGREED = 1.0, 0.5
_CUT = 0.99  # of the network's range, above which it says only "at least"


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What a picture has led to.

    Attributes:
        values: of the polynomial to be taken off the measured phase.
        doubt_rad: by how much that is likely to be off, RMS.
        disagreement_rad: between picture and background, RMS.
    """

    values: Values
    doubt_rad: float
    disagreement_rad: float


def look_at(grid: BlockMap, measured: Mapped, picture_rad: Map, range_rad: float, doubt_rad: float) -> Looked:
    """Weigh the picture against the background that was taken off already.

    Args:
        grid: the blocks and the terms.
        measured: the measured phase.
        picture_rad: (H, W) float32 the network's phase of the very frame, in rad.
        range_rad: the network's phases are cut to 0 … this.
        doubt_rad: by how much the background is likely to be off, RMS.
    """
    means, seen = grid.means(picture_rad)
    weight = np.where(means < _GROUND_RAD, np.float32(np.log(_GROUND_WEIGHT)), np.float32(0))
    seen = seen * measured.valid * (means < _CUT * range_rad)
    by_picture = nearest(grid, measured.means_rad - means, weight, seen)
    disagreement_rad = float(np.linalg.norm(grid.to_orthonormal(by_picture)))
    if disagreement_rad > _MOST_OFF_RAD:
        doubt_rad = max(doubt_rad, _DISAGREED * disagreement_rad)
    share = doubt_rad**2 / (doubt_rad**2 + _PICTURE_RAD**2)
    return Looked(share * by_picture, share**0.5 * _PICTURE_RAD, disagreement_rad)
