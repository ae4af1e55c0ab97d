"""The parts of a frame that a mask separates: across a wire or a stop no link tells the turns between them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import block_means
from qpi_live.models.classical.background import BackgroundFit
from scipy.ndimage import label

_TWO_PI = np.float32(2 * np.pi)
_FEWEST_BLOCKS = 12  # of a part, for a level of its ground
_MOST_PARTS = 8
_GROUND_ORDER = 4


def level_parts(phase_rad: NDArray[np.float32], disputed: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    """Give the parts of a frame that a mask separates the turns at which their ground goes on smoothly, in place.

    No link tells the turns between them. But the ground's slopes do not depend on turns, and what they add up to across
    the mask is the ground's own step.
    """
    part = _separate_parts(disputed, mask)
    fit = _fit_for((phase_rad.shape[0], phase_rad.shape[1]))
    means, lit = block_means(phase_rad, fit.block_px, mask | disputed)
    if part is None or lit is None or np.count_nonzero(lit) < _FEWEST_BLOCKS:
        return
    main, places, of_parts = lit, lit.copy(), []
    for number in range(1, int(part.max()) + 1):
        of_part, within = block_means(phase_rad, fit.block_px, part != number)
        if within is not None and np.count_nonzero(within) >= _FEWEST_BLOCKS:
            of_parts.append((number, within))
            means[within], places[within] = of_part[within], True
    for ground in (fit.by_slopes, fit.fit):  # what the first makes even, the second sees as one
        left = means - fit.values(ground(means, places))
        for number, within in of_parts:
            turns = np.rint((_commonest(left[within]) - _commonest(left[main])) / _TWO_PI)
            if turns != 0:
                phase_rad[part == number] -= _TWO_PI * np.float32(turns)
                means[within] -= _TWO_PI * np.float32(turns)


def _separate_parts(disputed: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """(H, W) int32, the number, from 1, of each of the largest disputed regions that only the mask surrounds; or None.

    Those that cuts enclose lie beside what is not disputed.
    """
    number, count = label(disputed)
    settled = ~(disputed | mask)
    is_enclosed = np.zeros(count + 1, np.bool_)
    for one, other in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
    ):
        for here, beside in ((one, other), (other, one)):
            is_enclosed[number[here][settled[beside]]] = True
    size = np.bincount(number.ravel(), minlength=count + 1)
    size[is_enclosed], size[0] = 0, 0
    largest = [int(region) for region in np.argsort(-size)[:_MOST_PARTS] if size[region] > 0]
    if not largest:
        return None
    renumbered = np.zeros(count + 1, np.int32)
    renumbered[largest] = np.arange(1, len(largest) + 1)
    parts: NDArray[np.int32] = renumbered[number]
    return parts


@lru_cache(maxsize=2)
def _fit_for(shape: tuple[int, int]) -> BackgroundFit:
    return BackgroundFit(shape, _GROUND_ORDER)


def _commonest(values: NDArray[np.float32]) -> float:
    """The middle of the narrowest quarter of some values."""
    ordered = np.sort(values)
    held = max(len(ordered) // 4, 1)
    start = int((ordered[held - 1 :] - ordered[: len(ordered) - held + 1]).argmin())
    return float(np.median(ordered[start : start + held]))
