"""How far the background under a cell may be off, judged by the ground around it.

A cell's mass is counted from the level of the whole frame's background. Where cells leave little ground, what was
fitted to it may be off by tenths of a radian, and nowhere is that seen but on the ground itself.
"""

from __future__ import annotations

from math import pi, sqrt

import numba
import numpy as np
from numpy.typing import NDArray

_AROUND = 1.5  # times a cell's radius: the half width of the square of ground that is looked at
_RIM = 2.0  # blocks beyond that
_WIDER = 1.3
_ENOUGH = 1.5  # times the cell's radius squared, in blocks: ground that says something
_LEAST = 20.0
_UNDER = 2.0  # under a cell the background is off by more than beside it: 1.5 times, squared, less the once in the RMS
UNCERTAIN = 0.05
"""Share of a cell's integrated phase above which its error is said to be uncertain."""


def ground_rest(
    smooth_rad: NDArray[np.float32],
    is_left_out: NDArray[np.bool_],
    coarse_labels: NDArray[np.int32],
    level_rad: float,
    rise_rad: float,
) -> NDArray[np.float32]:
    """What the ground's blocks are off the level, in rad, NaN where there is no ground.

    Args:
        smooth_rad: (rows, columns) float32, the landscape's means over blocks.
        is_left_out: of the same shape, blocks without a phase.
        coarse_labels: of the same shape, above 0 on cells; their rims, a block wide, are no ground.
        level_rad: of the background.
        rise_rad: what lies so much higher is no ground.
    """
    rest = smooth_rad - np.float32(level_rad)
    _leave_out_cells(rest, is_left_out, coarse_labels, np.float32(rise_rad))
    return rest


def background_doubt_rad(
    rest_rad: NDArray[np.float32],
    y_px: NDArray[np.float64],
    x_px: NDArray[np.float64],
    area_px: NDArray[np.float64],
    block_px: int,
) -> NDArray[np.float64]:
    """(n,) by how much the background under each cell is likely to be off, RMS, in rad; infinite where no ground is.

    √(RMS² + 2·mean²) of the ground's rest around a cell, in a square that grows until there is enough of it. The RMS is
    noise and waviness. The mean, which counts more, is what the fit is off there. Measured on colonies of known mass
    (`bench/measure.py`): under a cell it is off by 1.5 times of that.

    Args:
        rest_rad: see `ground_rest`.
        y_px: (n,) rows of the centroids in pixels of the frame, x_px their columns.
        x_px: see there.
        area_px: (n,) areas.
        block_px: a block's edge.
    """
    return _doubts(rest_rad, y_px / block_px, x_px / block_px, np.sqrt(area_px / pi) / block_px)


@numba.njit(nogil=True, cache=True)
def _leave_out_cells(
    rest: NDArray[np.float32], is_left_out: NDArray[np.bool_], labels: NDArray[np.int32], rise: np.float32
) -> None:
    rows, columns = labels.shape
    is_near = np.zeros(columns, np.bool_)
    for y in range(rows):
        is_near[:] = False
        for v in range(max(y - 1, 0), min(y + 2, rows)):
            for x in range(columns):
                is_near[x] |= labels[v, x] > 0
        for x in range(columns):
            beside = is_near[max(x - 1, 0)] or is_near[x] or is_near[min(x + 1, columns - 1)]
            if beside or is_left_out[y, x] or rest[y, x] >= rise:
                rest[y, x] = np.nan


@numba.njit(nogil=True, cache=True)
def _doubts(
    rest: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    rows, columns = rest.shape
    sums = np.zeros((rows + 1, columns + 1, 3))  # of 1, rest and rest² above and left of a corner
    for v in range(rows):
        count, total, squares = 0.0, 0.0, 0.0
        for u in range(columns):
            value = float(rest[v, u])
            if not np.isnan(value):
                count += 1
                total += value
                squares += value * value
            sums[v + 1, u + 1, 0] = sums[v, u + 1, 0] + count
            sums[v + 1, u + 1, 1] = sums[v, u + 1, 1] + total
            sums[v + 1, u + 1, 2] = sums[v, u + 1, 2] + squares
    doubts = np.empty(y.size)
    for k in range(y.size):
        half, enough = _AROUND * radius[k] + _RIM, max(_LEAST, _ENOUGH * radius[k] ** 2)
        while True:
            top, bottom = max(0, int(y[k] - half)), min(rows, int(y[k] + half) + 1)
            left, right = max(0, int(x[k] - half)), min(columns, int(x[k] + half) + 1)
            around = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            if around[0] >= enough or half > max(rows, columns):
                break
            half *= _WIDER
        mean = around[1] / max(around[0], 1.0)
        doubts[k] = sqrt(around[2] / around[0] + _UNDER * mean * mean) if around[0] else np.inf
    return doubts
