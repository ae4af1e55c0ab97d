"""Splits a landscape of touching hills into one basin a hill: a watershed that forgets shallow saddles.

Pixels are taken from the highest to the lowest. One that touches no basin begins a basin. One between two basins is the
saddle between them, and decides once whether they are one hill. They are where it lies little below the lower summit,
or where the smaller basin is still tiny. Watershed by immersion: Vincent & Soille, IEEE TPAMI 13, 583, 1991. Saddles by
dynamics: Grimaud, Proc. SPIE 1769, 292, 1992. Basins are elements of a union-find structure (Galler and Fischer 1964).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_LEVELS = 4096  # heights are sorted by counting; a level is 0.02 % of the highest hill
_HALF_RING = ((0, 1, 5), (1, 0, 5), (1, 1, 7), (1, -1, 7), (1, 2, 11), (1, -2, 11), (2, 1, 11), (2, -1, 11))


@numba.njit(nogil=True, cache=True)
def split_hills(
    height: NDArray[np.float32], is_hill: NDArray[np.bool_], dip: float, least_px: int
) -> NDArray[np.int32]:
    """(H, W) int32 labels from 1 on, in no order, 0 outside of `is_hill`.

    Args:
        height: (H, W) float32, above 0 on hills.
        is_hill: (H, W) bool.
        dip: two hills stay apart where the saddle between them lies more than this share below the lower summit.
        least_px: a basin smaller than this when it meets another one joins it, whatever the saddle.
    """
    rows, columns = height.shape
    # One more pixel all around, which no hill reaches, in place of a look at the frame's edge for every neighbour.
    wide = columns + 2
    heights, labels = np.zeros((rows + 2) * wide, np.float32), np.zeros((rows + 2) * wide, np.int32)
    for y in range(rows):
        heights[(y + 1) * wide + 1 : (y + 2) * wide - 1] = height[y]
    ring = (-wide - 1, -wide, -wide + 1, -1, 1, wide - 1, wide, wide + 1)
    order = _from_the_highest(height, is_hill, wide)
    parent = np.zeros(order.size + 1, np.int32)
    summit = np.zeros(order.size + 1, np.float32)
    size = np.zeros(order.size + 1, np.int32)
    basins = 0
    for here in order:
        own = heights[here]
        mine, is_between = 0, False
        for step in ring:  # most have neighbours of one basin alone
            label = labels[here + step]
            is_between |= mine != 0 and label not in (0, mine)
            mine = label if label else mine
        if is_between:
            mine = _between(labels, heights, parent, summit, size, here, ring, own / (1 - dip), least_px)
        elif mine:
            mine = root_of(parent, mine)
        else:
            basins += 1
            mine = basins
            parent[mine], summit[mine] = mine, own
        labels[here] = mine
        size[mine] += 1
    basin = np.empty((rows, columns), np.int32)
    for y in range(rows):
        for x in range(columns):
            label = labels[(y + 1) * wide + x + 1]
            basin[y, x] = root_of(parent, label) if label else 0
    return basin


@numba.njit(nogil=True, cache=True)
def _between(
    labels: NDArray[np.int32],
    heights: NDArray[np.float32],
    parent: NDArray[np.int32],
    summit: NDArray[np.float32],
    size: NDArray[np.int32],
    here: int,
    ring: tuple[int, ...],
    least_summit: float,
    least_px: int,
) -> int:
    """The basin of a pixel that touches several: those that are one hill join, and of the others it is the highest."""
    mine, steepest = 0, np.float32(-1)
    for step in ring:
        if labels[here + step] == 0:
            continue
        other = root_of(parent, labels[here + step])
        labels[here + step] = other  # for the next that looks at it
        if mine and mine != other:
            mine, other = _meet(parent, summit, size, mine, other, least_summit, least_px)
        if heights[here + step] > steepest:
            mine, steepest = other, heights[here + step]
    return mine


@numba.njit(nogil=True, cache=True)
def _meet(
    parent: NDArray[np.int32],
    summit: NDArray[np.float32],
    size: NDArray[np.int32],
    one: int,
    other: int,
    least_summit: float,
    least_px: int,
) -> tuple[int, int]:
    """Join two basins where the lower summit is below `least_summit`, or the basin tiny; what they are now."""
    low, high = (other, one) if summit[other] < summit[one] else (one, other)
    if summit[low] >= least_summit and size[low] >= least_px:
        return one, other
    parent[low] = high
    size[high] += size[low]
    return high, high


@numba.njit(nogil=True, cache=True)
def root_of(parent: NDArray[np.int32], basin: int) -> int:
    """The basin that stands for all those that a basin was joined with."""
    while parent[basin] != basin:
        parent[basin] = parent[parent[basin]]
        basin = parent[basin]
    return basin


@numba.njit(nogil=True, cache=True)
def _from_the_highest(height: NDArray[np.float32], is_hill: NDArray[np.bool_], wide: int) -> NDArray[np.int64]:
    """Places of hill pixels in a raster of `wide` columns, one more around, from the highest to the lowest level."""
    rows, columns = height.shape
    highest = np.float32(0)
    for y in range(rows):
        for x in range(columns):
            if is_hill[y, x]:
                highest = max(highest, height[y, x])
    starts = np.zeros(_LEVELS + 1, np.int64)
    to_level = (_LEVELS - 1) / highest if highest > 0 else 0.0
    for y in range(rows):
        for x in range(columns):
            if is_hill[y, x]:
                starts[_LEVELS - int(max(height[y, x], 0) * to_level)] += 1
    starts = np.cumsum(starts)
    order = np.empty(starts[-1], np.int64)
    for y in range(rows):
        for x in range(columns):
            if is_hill[y, x]:
                level = _LEVELS - 1 - int(max(height[y, x], 0) * to_level)
                order[starts[level]] = (y + 1) * wide + x + 1
                starts[level] += 1
    return order


@numba.njit(nogil=True, cache=True)
def depth_px(is_hill: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) float32, the distance of each pixel to the nearest one outside, in pixels, to some 2 %.

    Chamfer distance of weights 5, 7, 11 over 5 (Borgefors, CVGIP 34, 344, 1986). The frame's edge is no outside: a
    cell that is cut goes on beyond it.
    """
    rows, columns = is_hill.shape
    distance = np.full((rows + 4, columns + 4), np.int32(5 * (rows + columns)))  # two more pixels all around
    for row in range(rows):
        for column in range(columns):
            y, x = row + 2, column + 2
            if not is_hill[row, column]:
                distance[y, x] = 0
                continue
            least = distance[y, x]
            for down, right, weight in _HALF_RING:
                least = min(least, distance[y - down, x - right] + weight)
            distance[y, x] = least
    depth = np.empty((rows, columns), np.float32)
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            y, x = row + 2, column + 2
            least = distance[y, x]
            if least == 0:
                depth[row, column] = 0
                continue
            for down, right, weight in _HALF_RING:
                least = min(least, distance[y + down, x + right] + weight)
            distance[y, x] = least
            depth[row, column] = np.float32(least) / np.float32(5)
    return depth
