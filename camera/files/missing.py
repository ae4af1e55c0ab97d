"""Pixels of an interferogram that show nothing: given a grey value that leaves the fringes beside them alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from scipy.ndimage import uniform_filter

_AROUND_PX = 33  # several fringes, whose mean is the light's own level


def filled(pixels: Pixels, missing: NDArray[np.bool_]) -> Pixels:
    """A copy of `pixels`, (H, W), with the mean of the other pixels around in those that are `missing`, (H, W) bool.

    Where no other is near, it is the mean of all others. At least one pixel must be there. A step in the light would
    ring across the spectrum; fringes that end in their own mean only fade out.
    """
    there = (~missing).astype(np.float32)
    share = uniform_filter(there, _AROUND_PX, mode="constant")
    total = uniform_filter(np.where(missing, np.float32(0), pixels.astype(np.float32)), _AROUND_PX, mode="constant")
    everywhere = float(np.mean(pixels[~missing], dtype=np.float64))
    # Running sums in float32 leave a little behind where there is nothing.
    is_near = share > 0.5 / _AROUND_PX**2
    means = np.where(is_near, total / np.where(is_near, share, 1), everywhere)
    grey = np.where(missing, np.clip(np.rint(means), 0, np.iinfo(pixels.dtype).max), pixels)
    result: Pixels = np.ascontiguousarray(grey.astype(pixels.dtype))
    return result
