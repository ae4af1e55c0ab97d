"""Tells saturated pixels by their pile-up at the top, wherever the sensor's full scale lies."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.frame import Pixels

_SAMPLED_PX = 1 << 14
_TOP_PART = 0.998  # of the sampled pixels: what is brighter may be hot pixels
_WIDTH = 0.01  # of the grey values' range: noise behind a full well spreads the pile
_PILE = 4.0  # times as many pixels as in the equal range below; the crests of a cosine have 2.4


def saturated_share(pixels: Pixels, bit_depth: int) -> float:
    """The share of pixels at full scale, or piled up at the top of the grey values where that lies lower, 0 … 1.

    Twelve bits that lie left-justified in sixteen saturate at 65520, and some sensors clip below their full scale. What
    gives it away is the pile: far more pixels at the top than in an equal range just below.
    """
    # An odd step through all pixels, so that no fringes along an axis are always met at the same phase.
    ordered = np.sort(pixels.reshape(-1)[:: pixels.size // _SAMPLED_PX | 1], kind="stable")
    number = ordered.size
    full_scale = 2**bit_depth - 1
    at_full_scale = number - int(np.searchsorted(ordered, full_scale))
    top, bottom = int(ordered[int(_TOP_PART * (number - 1))]), int(ordered[0])
    width = max(1.0, _WIDTH * (top - bottom))
    below, above = (int(np.searchsorted(ordered, top - levels * width, "right")) for levels in (2, 1))
    piled, beside = number - above, above - below
    if bottom == top or piled < _PILE * max(beside, 1):
        return at_full_scale / number
    return max(piled, at_full_scale) / number
