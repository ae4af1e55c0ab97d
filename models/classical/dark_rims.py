"""Rims of a frame that no light reaches: a camera's covered lines, the edge of a stop.

Their edge is so sharp that part of it passes for fringes. So the amplitude is no help there; the light is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.carrier import LONGEST_PERIOD_PX, Carrier

_WIDEST = 1 / 8  # of an edge
_DARK, _LIT = 0.3, 0.7  # of what is lit beside; a beam that fades falls off more slowly
_FEWEST_PX = 2


def dark_rims(pixels: Pixels, carrier: Carrier, ringing_px: int) -> NDArray[np.bool_] | None:
    """(H, W) bool, True on dark rims and as far beside them as their edge rings; None: there are none.

    Args:
        pixels: (H, W) grey values.
        carrier: of the fringes.
        ringing_px: how far an edge rings.
    """
    mask: NDArray[np.bool_] | None = None
    for axis, frequency in enumerate((carrier.fy, carrier.fx)):
        period = 1 / max(abs(frequency), 1e-9)
        # Fringes along the rim leave their own dark lines, fringes across it none.
        lines = int(np.ceil(period)) if period <= LONGEST_PERIOD_PX else _FEWEST_PX
        along = pixels if axis == 0 else pixels.T
        for side in (along, along[::-1]):
            if (width := _rim_px(side, max(lines, _FEWEST_PX))) > 0:
                mask = np.zeros(pixels.shape, np.bool_) if mask is None else mask
                rim = mask if axis == 0 else mask.T
                (rim if side is along else rim[::-1])[: width + ringing_px] = True
    return mask


def _rim_px(lines: Pixels, period_px: int) -> int:
    """How many of the first lines are dark."""
    widest = int(len(lines) * _WIDEST)
    if widest < 3 * period_px:
        return 0
    if lines[:period_px].mean() > _DARK * lines[widest - period_px : widest].mean():
        return 0  # the usual frame
    means = np.convolve(lines[:widest].mean(axis=1), np.full(period_px, 1 / period_px), mode="valid")
    lit = float(np.median(means[len(means) // 2 :]))
    first = int(np.argmax(means > _DARK * lit))
    if first == 0 or not (means[first : first + 2 * period_px] > _LIT * lit).any():
        return 0
    return first + period_px
