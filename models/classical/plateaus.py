"""Ground on two levels: on either side of a step, as of an etched target or the edge of a film.

A polynomial that is fitted to one of them must be extrapolated over the other. One that is fitted to both bends around
the step. Put on one level they are one ground.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.polynomial import sort_samples

Samples = NDArray[np.float32]
Lit = NDArray[np.bool_]

_PART = 12  # of the blocks, whose narrowest range tells a level
_PART_SIGMAS = 2 * 0.1046  # how wide that is for a Gaussian
_LEAST_SIGMA_RAD = 1e-3
_KEPT_SIGMAS, _APART_SIGMAS = 2.5, 6.0
# A second level is as flat as the first, or nearly. Cells are not: they are round, and scatter over radians.
_AS_FLAT = 3.0
_LEAST_SHARE, _LEAST_SHARE_OF_BOTH = 0.2, 0.5  # of all blocks
# Of the smaller level. A step is crossed within a block or two; a ripple, whose crests and troughs are two levels as
# well, has as many blocks on its slopes.
_MOST_BETWEEN = 0.5


def on_one_level(means_rad: Samples, left_rad: Samples, lit: Lit | None) -> Samples:
    """The same means, those of a second level moved to the first, or the very same where there is only one.

    Args:
        means_rad: (rows, columns) float32 means over blocks.
        left_rad: of the same shape, what is left of them without the aberration that their slopes tell.
        lit: likewise, False where the phase says nothing; None: it does everywhere.
    """
    left = left_rad.ravel() if lit is None else left_rad[lit]
    part = len(left) // _PART
    if part < _PART:
        return means_rad
    first, sigma = _commonest(left, part)
    beyond = left[np.abs(left - first) > 2 * _KEPT_SIGMAS * sigma]
    if len(beyond) < _LEAST_SHARE * len(left):
        return means_rad
    second, second_sigma = _commonest(beyond, part)
    if second_sigma > _AS_FLAT * sigma or abs(second - first) < _APART_SIGMAS * max(sigma, second_sigma):
        return means_rad
    on_second = np.abs(left_rad - second) < _KEPT_SIGMAS * max(sigma, second_sigma)
    if lit is not None:
        on_second &= lit
    share = np.count_nonzero(on_second) / len(left)
    of_first = np.count_nonzero(np.abs(left - first) < _KEPT_SIGMAS * sigma) / len(left)
    if share < _LEAST_SHARE or share + of_first < _LEAST_SHARE_OF_BOTH:
        return means_rad
    low, high = sorted((first, second))
    width = _KEPT_SIGMAS * max(sigma, second_sigma)
    between = np.count_nonzero((left > low + width) & (left < high - width)) / len(left)
    if between > _MOST_BETWEEN * min(share, of_first):
        return means_rad
    return np.where(on_second, means_rad - np.float32(second - first), means_rad)


def _commonest(values: Samples, part: int) -> tuple[float, float]:
    """The level that most of the values are near, and the σ with which those scatter."""
    ordered = sort_samples(values)
    widths = ordered[part - 1 :] - ordered[: len(ordered) - part + 1]
    start = int(widths.argmin())
    middle = float(np.median(ordered[start : start + part]))
    return middle, max(float(widths[start]) / _PART_SIGMAS, _LEAST_SIGMA_RAD)
