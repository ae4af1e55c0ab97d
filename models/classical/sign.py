"""Which way the objects of a phase map stand out: the evidence for the sign of the phase.

The two sidebands of an interferogram give the same phase with opposite signs, and nothing in the fringes tells which
one is true. But nearly all that lies under a microscope delays light more than its medium.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import block_means
from qpi_live.models.classical.background import BackgroundFit
from scipy.ndimage import binary_dilation, label

_ORDER = 6  # where more than an instrument leaves would be taken for objects
_WIDEST_MARGIN = 1 / 6  # of an edge's blocks, left out on either side
_SIGMAS, _LEAST_RAD = 3.0, 0.1  # what stands out from the ground by more is object
_LEAST_MEAN_RAD = 0.01  # over all blocks: empty fields stay under half of it, the thinnest cultures of cells are above
_MORE_THAN_THE_OTHER_SIDE = 4.0
_QUARTER_SIGMAS = 0.637  # the width of the central quarter of a Gaussian
# Where cells leave no ground, the tail decides; what an aberration left over is smoother than any cells.
_LOST, _MOST_LOST = 0.6, 0.15  # of the median amplitude; of an object's blocks
_CROWDED_RAD, _ROUGH, _SKEW = 0.4, 0.15, 0.5


def sign_of_objects(
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    margin_px: float = 0.0,
    amplitude: NDArray[np.float32] | None = None,
) -> int:
    """+1 where objects stand out of the ground upwards, −1 downwards, 0 where there is no telling.

    An empty field gives 0, and so do noise, the ringing along a frame's edges, a smooth aberration, and objects of both
    signs. Objects do not count around which the fringes are lost. Where their edge is steeper than the pass band takes,
    whole turns are missing, and what is high may come out as a hole.

    Args:
        phase_rad: (H, W) float32 unwrapped phase in rad, finite, whatever was taken off it.
        mask: (H, W) bool, True where the phase says nothing; None: it does everywhere.
        margin_px: how far the edges' ringing reaches.
        amplitude: (H, W) float32 of the fringes, in any unit; None: as though they were the same everywhere.
    """
    height, width = phase_rad.shape
    fit = _fit_for((height, width))
    means, lit = block_means(phase_rad, fit.block_px, mask)
    lit = np.ones(means.shape, np.bool_) if lit is None else lit.copy()
    left = means - fit.values(fit.fit(means, lit))
    for axis, (block, blocks) in enumerate(zip(fit.block_px, means.shape, strict=True)):
        margin = min(max(1, int(np.ceil(margin_px / block))), int(blocks * _WIDEST_MARGIN))
        edges = np.moveaxis(lit, axis, 0)
        edges[:margin] = edges[blocks - margin :] = False
    if np.count_nonzero(lit) < 16:
        return 0
    lost = None
    if amplitude is not None:
        of_fringes, _ = block_means(amplitude, fit.block_px, None)
        lost = of_fringes < _LOST * np.median(of_fringes[lit])
    return _weigh(left, lit, lost)


@lru_cache(maxsize=2)
def _fit_for(shape: tuple[int, int]) -> BackgroundFit:
    return BackgroundFit(shape, _ORDER)


def _weigh(left_rad: NDArray[np.float32], lit: NDArray[np.bool_], lost: NDArray[np.bool_] | None) -> int:
    values = np.sort(left_rad[lit].astype(np.float64))
    quarter = len(values) // 4
    widths = values[quarter - 1 :] - values[: len(values) - quarter + 1]
    start = int(np.argmin(widths))
    level, sigma = float(np.median(values[start : start + quarter])), float(widths[start]) / _QUARTER_SIGMAS
    beyond = max(_SIGMAS * sigma, _LEAST_RAD)
    off = np.where(lit, left_rad - level, 0.0)
    if lost is not None and (lost & lit).any():
        off[_without_rims(np.abs(off) > beyond, lost)] = 0.0
    above, below = (float(np.clip(side[lit] - beyond, 0, None).mean()) for side in (off, -off))
    if max(above, below) > _LEAST_MEAN_RAD:
        if above > _MORE_THAN_THE_OTHER_SIDE * below:
            return 1
        return -1 if below > _MORE_THAN_THE_OTHER_SIDE * above else 0
    if sigma < _CROWDED_RAD:
        return 0
    steps = np.abs(np.diff(left_rad, axis=1))[lit[:, 1:] & lit[:, :-1]]
    skew = float(np.mean((values - np.median(values)) ** 3)) / float(values.std()) ** 3
    if np.median(steps) < _ROUGH * sigma or abs(skew) < _SKEW:
        return 0
    return 1 if skew > 0 else -1


def _without_rims(objects: NDArray[np.bool_], lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those objects around which so many blocks have lost their fringes that their height is not to be trusted."""
    around = binary_dilation(objects, np.ones((3, 3), np.bool_))
    number, count = label(around, np.ones((3, 3), np.bool_))
    blocks, without = (np.bincount(number[chosen], minlength=count + 1) for chosen in (objects, around & lost))
    doubted: NDArray[np.bool_] = without > _MOST_LOST * blocks
    doubted[0] = False
    return doubted[number]
