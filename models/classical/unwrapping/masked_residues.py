"""What a mask leaves of the residues: noise has many, and within the mask it is all the same how they are paired.

A run is a stretch of one row of corners that lie between four masked pixels. Runs that touch make an island.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


def residues_beside(residues: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Those of the residues, (n, 3) int32 (y, x, charge), that touch no pixel of the mask, (H, W) bool."""
    y, x = residues[:, 0], residues[:, 1]
    return residues[~(mask[y, x] | mask[y, x + 1] | mask[y + 1, x] | mask[y + 1, x + 1])]


@numba.njit(nogil=True, cache=True)
def residues_outside(
    residues: NDArray[np.int32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What has to be balanced outside of the mask: noise has a residue on every third corner, and within the mask it is
    all the same how they are paired.

    Of each masked island of corners only the sum of its charges is left, on one of them; islands at the border become
    border.

    Args:
        residues: (n, 3) int32 (y, x, charge), in raster order.
        mask: (H, W) bool, True on pixels to leave out.

    Returns:
        (m, 3) int32, likewise; and (k, 3) int32 rows (y, x, end), runs of corners that are border too.
    """
    first_of_row, start, end, island = _masked_runs(mask)
    rows, columns = mask.shape[0] - 1, mask.shape[1] - 1
    at_border = np.zeros(len(start), np.bool_)
    for y in range(rows):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            at_border[island[run]] |= y == 0 or y == rows - 1 or start[run] == 0 or end[run] == columns
    border, runs = np.empty((len(start), 3), np.int32), 0
    for y in range(rows):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            if at_border[island[run]]:
                border[runs, 0], border[runs, 1], border[runs, 2] = y, start[run], end[run]
                runs += 1
    left, count = np.empty_like(residues), 0
    of_island = np.full(len(start), -1, np.int32)
    row, run = -1, 0
    for k in range(len(residues)):  # they come in raster order, as the runs do
        y, x = residues[k, 0], residues[k, 1]
        if y != row:
            row, run = y, first_of_row[y]
        while run < first_of_row[y + 1] and end[run] <= x:
            run += 1
        place = count
        if run < first_of_row[y + 1] and start[run] <= x:
            if at_border[island[run]]:
                continue
            if of_island[island[run]] >= 0:
                place = of_island[island[run]]
            of_island[island[run]] = place
        if place == count:
            left[count, 0], left[count, 1], left[count, 2] = y, x, 0
            count += 1
        left[place, 2] += residues[k, 2]
    return left[:count][left[:count, 2] != 0], border[:runs]


@numba.njit(nogil=True, cache=True)
def _masked_runs(mask: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
    """The runs of corners that lie between four masked pixels.

    (H,) int32, the number of each row's first run, and of all; and for each run (n,) int32 where it starts, where it
    ends, and the number of its island's first run.
    """
    height, width = mask.shape
    inside = np.zeros(-(-width // 8) * 8, np.uint8)
    eight = inside.view(np.int64)
    first_of_row = np.zeros(height, np.int32)
    start, end, island = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    count = 0
    for y in range(height - 1):
        first_of_row[y] = count
        for x in range(width - 1):
            inside[x] = mask[y, x] & mask[y, x + 1] & mask[y + 1, x] & mask[y + 1, x + 1]
        if len(start) < count + width:
            more = np.empty(count + width, np.int32)
            start, end, island = (
                np.concatenate((start, more)),
                np.concatenate((end, more)),
                np.concatenate((island, more)),
            )
        before = np.uint8(0)
        for group in range(len(eight)):
            if eight[group] == (0 if before == 0 else 0x0101010101010101):
                continue
            for x in range(8 * group, 8 * group + 8):
                if inside[x] != before:
                    if before == 0:
                        start[count] = x
                    else:
                        end[count], island[count] = x, count
                        count += 1
                    before = inside[x]
        if before:
            end[count], island[count] = width - 1, count
            count += 1
        _join_with_row_above(y, count, first_of_row, start, end, island)
    first_of_row[height - 1] = count
    for run in range(count):
        island[run] = _first_of_island(run, island)
    return first_of_row, start[:count], end[:count], island[:count]


@numba.njit(inline="always", cache=True)
def _join_with_row_above(y, count, first_of_row, start, end, island):  # type: ignore[no-untyped-def]
    above = first_of_row[y - 1] if y > 0 else first_of_row[y]
    for run in range(first_of_row[y], count):
        while above < first_of_row[y] and end[above] <= start[run]:
            above += 1
        other = above
        while other < first_of_row[y] and start[other] < end[run]:
            one, two = _first_of_island(run, island), _first_of_island(other, island)
            island[max(one, two)] = min(one, two)
            other += 1


@numba.njit(cache=True)
def _first_of_island(run, island):  # type: ignore[no-untyped-def]
    while island[run] != run:
        island[run] = island[island[run]]
        run = island[run]
    return run
