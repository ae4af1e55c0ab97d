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
    order = _from_the_highest(height, is_hill)
    labels = np.zeros((rows, columns), np.int32)
    parent = np.zeros(order.size + 1, np.int32)
    summit = np.zeros(order.size + 1, np.float32)
    size = np.zeros(order.size + 1, np.int32)
    basins = 0
    for place in order:
        y, x = place // columns, place % columns
        mine, steepest = 0, np.float32(-1)
        for v in range(max(y - 1, 0), min(y + 2, rows)):
            for u in range(max(x - 1, 0), min(x + 2, columns)):
                if labels[v, u] == 0:
                    continue
                other = root_of(parent, labels[v, u])
                if mine and mine != other:
                    mine, other = _meet(parent, summit, size, mine, other, height[y, x] / (1 - dip), least_px)
                if height[v, u] > steepest:
                    mine, steepest = other, height[v, u]
        if mine == 0:
            basins += 1
            mine = basins
            parent[mine], summit[mine] = mine, height[y, x]
        labels[y, x] = mine
        size[mine] += 1
    for y in range(rows):
        for x in range(columns):
            if labels[y, x]:
                labels[y, x] = root_of(parent, labels[y, x])
    return labels


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
def _from_the_highest(height: NDArray[np.float32], is_hill: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places of hill pixels in the raster, from the highest to the lowest level, in raster order within one."""
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
                order[starts[level]] = y * columns + x
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
            for down, right, weight in _HALF_RING:
                least = min(least, distance[y + down, x + right] + weight)
            distance[y, x] = least
            depth[row, column] = np.float32(least) / np.float32(5)
    return depth
