"""Noise taken off a measured phase with a smooth picture of the same sample beside it (after Lee 1980, eq. 8).

What the measured phase has and the picture has not is either noise or detail that the picture misses. In each window
its variance tells which. Where it is no more than noise has, the picture is believed but for the window's mean. Where
it is much more, the measured phase stays as it is. So a picture that is a few frames old does no harm: where things
have moved, the two differ by more than noise.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

_HALF_PX = 7  # of a window of 15 px, which holds a few grains of noise and is smaller than a cell
_SAMPLED_PX = 16  # from one window to the next, where the noise is measured
_QUIET, _OVER_QUIET = 0.2, 2.0  # the variance below which so many windows lie, and noise over that

Phase = NDArray[np.float32]


def blend(measured_rad: Phase, guide_rad: Phase, bands: RowBands) -> Phase:
    """`measured_rad` with less noise.

    Args:
        measured_rad: (H, W) float32 in rad, finite, of at least 16 × 16 pixels.
        guide_rad: (H, W) float32 in rad, what a network makes of the same sample.
        bands: lays the work on threads.

    Returns:
        (H, W) float32 in rad, an array of its own.
    """
    sampled = np.concatenate(bands.run(_sample_variances, measured_rad, guide_rad))
    noise = np.float32(_OVER_QUIET * np.quantile(sampled, _QUIET))
    blended = np.empty_like(measured_rad)
    bands.run(_blend, measured_rad, guide_rad, noise, blended)
    return blended


@numba.njit(nogil=True, cache=True)
def _sample_variances(first_row: int, last_row: int, measured: Phase, guide: Phase) -> Phase:
    """Variances, in rad², of the difference in whole windows on a grid whose centres lie in these rows."""
    height, width = measured.shape
    edge, pixels = 2 * _HALF_PX + 1, np.float64((2 * _HALF_PX + 1) ** 2)
    top = -(-max(first_row - _HALF_PX, 0) // _SAMPLED_PX) * _SAMPLED_PX
    variances = np.empty((height // _SAMPLED_PX + 1) * (width // _SAMPLED_PX + 1), np.float32)
    count = 0
    for y in range(top, min(last_row - _HALF_PX, height - edge + 1), _SAMPLED_PX):
        for x in range(0, width - edge + 1, _SAMPLED_PX):
            total, squares = 0.0, 0.0
            for row in range(y, y + edge):
                for column in range(x, x + edge):
                    off = measured[row, column] - guide[row, column]
                    total += off
                    squares += off * off
            variances[count] = max(squares / pixels - (total / pixels) ** 2, 0.0)
            count += 1
    return variances[:count]


@numba.njit(nogil=True, cache=True)
def _blend(first_row: int, last_row: int, measured: Phase, guide: Phase, noise: np.float32, blended: Phase) -> None:
    """Guide + mean difference + the difference's rest, as far as its variance is more than noise."""
    height, width = measured.shape
    sums, squares = np.zeros(width, np.float32), np.zeros(width, np.float32)  # of each column, over the window's rows
    for y in range(max(first_row - _HALF_PX, 0), min(first_row + _HALF_PX, height)):
        _add_row(measured[y], guide[y], sums, squares, np.float32(1))
    for y in range(first_row, last_row):
        if y + _HALF_PX < height:
            _add_row(measured[y + _HALF_PX], guide[y + _HALF_PX], sums, squares, np.float32(1))
        if y > first_row and y - _HALF_PX > 0:
            _add_row(measured[y - _HALF_PX - 1], guide[y - _HALF_PX - 1], sums, squares, np.float32(-1))
        rows = min(y + _HALF_PX, height - 1) - max(y - _HALF_PX, 0) + 1
        total, square = np.float32(0), np.float32(0)
        for x in range(_HALF_PX):
            total += sums[x]
            square += squares[x]
        for x in range(width):
            if x + _HALF_PX < width:
                total += sums[x + _HALF_PX]
                square += squares[x + _HALF_PX]
            if x > _HALF_PX:
                total -= sums[x - _HALF_PX - 1]
                square -= squares[x - _HALF_PX - 1]
            columns = min(x + _HALF_PX, width - 1) - max(x - _HALF_PX, 0) + 1
            share = np.float32(1) / np.float32(rows * columns)
            mean = total * share
            variance = square * share - mean * mean
            gain = np.float32(1) - noise / variance if variance > noise else np.float32(0)
            off = measured[y, x] - guide[y, x]
            blended[y, x] = guide[y, x] + mean + gain * (off - mean)


@numba.njit(nogil=True, cache=True)
def _add_row(measured: Phase, guide: Phase, sums: Phase, squares: Phase, sign: np.float32) -> None:
    for x in range(len(sums)):
        off = measured[x] - guide[x]
        sums[x] += sign * off
        squares[x] += sign * off * off
