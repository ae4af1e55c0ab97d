"""Branch cuts: walls between residues that make phase unwrapping independent of the path.

A residue sits on the corner where four pixels meet; corner (y, x) is the one between pixels (y, x) and (y + 1, x + 1).
A cut is a path from corner to corner. Each of its steps passes between two neighbouring pixels and blocks the link
between them, so a cut takes no pixel away, and only what cuts enclose completely becomes an island.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

_PER_TURN = np.float32(1 / (2 * np.pi))
_BORDER = -1
_TOO_FAR = -2


@dataclass(frozen=True, slots=True, eq=False)
class BranchCuts:
    """The links between neighbouring pixels that unwrapping must not cross.

    Attributes:
        right: (H, W) uint8, 1 where the link from a pixel to its right neighbour is blocked.
        down: (H, W) uint8, 1 where the link from a pixel to the one below is blocked.
    """

    right: NDArray[np.uint8]
    down: NDArray[np.uint8]


@numba.njit(inline="always", cache=True)
def turns_between(phase_rad: np.float32, next_phase_rad: np.float32) -> np.float32:
    """Whole turns by which the step between two neighbours' wrapped phases exceeds −π … π."""
    return np.rint((next_phase_rad - phase_rad) * _PER_TURN)  # type: ignore[no-any-return]


def find_residues(wrapped_rad: NDArray[np.float32], bands: RowBands) -> NDArray[np.int32]:
    """The residues of a wrapped phase (Goldstein, Zebker, Werner 1988).

    Args:
        wrapped_rad: (H, W) float32 in rad.

    Returns:
        (n, 3) int32 rows (y, x, charge), charge +1 or −1: the turns gained clockwise around corner (y, x), in raster
        order.
    """
    return np.concatenate(bands.run(_residues_in_rows, wrapped_rad))


@numba.njit(nogil=True, cache=True)
def _residues_in_rows(first_row: int, last_row: int, wrapped: NDArray[np.float32]) -> NDArray[np.int32]:
    height, width = wrapped.shape
    last_row = min(last_row, height - 1)
    charges = np.zeros(-(-width // 8) * 8, np.int8)
    eight_charges = charges.view(np.int64)  # most are zero: look at eight at a time
    above, below, down = np.zeros(width, np.int8), np.zeros(width, np.int8), np.zeros(width, np.int8)
    found = np.empty((1024, 3), np.int32)
    count = 0
    for y in range(first_row, last_row):
        if y == first_row:
            for x in range(width - 1):
                above[x] = np.int8(turns_between(wrapped[y, x], wrapped[y, x + 1]))
        for x in range(width - 1):
            below[x] = np.int8(turns_between(wrapped[y + 1, x], wrapped[y + 1, x + 1]))
        for x in range(width):
            down[x] = np.int8(turns_between(wrapped[y, x], wrapped[y + 1, x]))
        for x in range(width - 1):
            charges[x] = np.int8(above[x] + down[x + 1] - below[x] - down[x])
        for group in range(len(eight_charges)):
            if eight_charges[group] == 0:
                continue
            for x in range(8 * group, 8 * group + 8):
                if charges[x] != 0:
                    if count == len(found):
                        found = np.concatenate((found, np.empty_like(found)))
                    found[count, 0], found[count, 1], found[count, 2] = y, x, charges[x]
                    count += 1
        above, below = below, above
    return found[:count].copy()


def place_cuts(residues: NDArray[np.int32], shape: tuple[int, int]) -> BranchCuts:
    """Branch cuts that balance every residue, with the nearest of opposite charge or with the border.

    Search squares grow around all residues in step, close pairs first (Goldstein, Zebker, Werner 1988, with the trees
    ended at the first residue of opposite charge, as Cusack, Huntley, Goldrein 1995 do). A square that meets an
    unbalanced residue of opposite charge is tied to it with a cut, one that meets the border to that. So a residue's
    search is bounded by its distance to the border, and no corner of a square is looked at twice.

    Args:
        residues: (n, 3) int32 (y, x, charge) from `find_residues`.
        shape: (H, W) of the wrapped phase.
    """
    right, down = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    if len(residues):
        _balance(residues, right, down)
    return BranchCuts(right, down)


@numba.njit(nogil=True, cache=True)
def _balance(residues: NDArray[np.int32], right: NDArray[np.uint8], down: NDArray[np.uint8]) -> None:
    height, width = right.shape
    number_at = np.zeros((height - 1, width - 1), np.int32)  # 1 + index of the residue on a corner
    for i in range(len(residues)):
        number_at[residues[i, 0], residues[i, 1]] = i + 1
    charge = residues[:, 2].copy()  # what is not balanced yet
    searched = np.zeros(len(residues), np.int32)  # half the edge of the square that holds no partner
    widest = 1
    unbalanced = len(residues)
    while unbalanced:
        unbalanced = 0
        for i in range(len(residues)):
            while charge[i] != 0:
                j = _nearest_partner(i, widest, residues, charge, number_at, searched, right.shape)
                if j == _TOO_FAR:
                    unbalanced += 1
                    break
                y, x, way = residues[i, 0], residues[i, 1], np.sign(charge[i])
                if j == _BORDER:
                    _cut_to_border(y, x, right, down)
                else:
                    _cut(y, x, residues[j, 0], residues[j, 1], right, down)
                    charge[j] += way
                charge[i] -= way
        widest *= 2


@numba.njit(nogil=True, cache=True)
def _nearest_partner(i, widest, residues, charge, number_at, searched, shape):  # type: ignore[no-untyped-def]
    """The residue to tie `i` to, `_BORDER`, or `_TOO_FAR` when neither is within `widest`."""
    y, x = residues[i, 0], residues[i, 1]
    bottom, last = shape[0] - 2, shape[1] - 2
    to_border = min(y, bottom - y, x, last - x) + 1
    for ring in range(searched[i] + 1, widest + 1):
        for cy in range(max(y - ring, 0), min(y + ring, bottom) + 1):
            step = 1 if abs(cy - y) == ring else 2 * ring
            for cx in range(x - ring, x + ring + 1, step):
                if 0 <= cx <= last:
                    j = number_at[cy, cx] - 1
                    if j >= 0 and charge[j] * charge[i] < 0:
                        return j
        if ring >= to_border:
            return _BORDER
        searched[i] = ring
    return _TOO_FAR


@numba.njit(nogil=True, cache=True)
def _cut(y: int, x: int, to_y: int, to_x: int, right: NDArray[np.uint8], down: NDArray[np.uint8]) -> None:
    """Block the links along the staircase nearest to the straight line between two corners."""
    steps_y, steps_x = abs(to_y - y), abs(to_x - x)
    way_y, way_x = (1 if to_y > y else -1), (1 if to_x > x else -1)
    done_y = done_x = 0
    while done_y < steps_y or done_x < steps_x:
        # Take the step that keeps nearer to the line, i.e. the axis that is behind in its share of the way.
        if (2 * done_x + 1) * steps_y < (2 * done_y + 1) * steps_x:
            down[y, x + 1 if way_x > 0 else x] = 1
            x += way_x
            done_x += 1
        else:
            right[y + 1 if way_y > 0 else y, x] = 1
            y += way_y
            done_y += 1


@numba.njit(nogil=True, cache=True)
def _cut_to_border(y: int, x: int, right: NDArray[np.uint8], down: NDArray[np.uint8]) -> None:
    """Block the links from a corner straight to the nearest border."""
    height, width = right.shape
    up, below, left, beyond = y, height - 2 - y, x, width - 2 - x
    nearest = min(up, below, left, beyond)
    if nearest == up:
        right[: y + 1, x] = 1
    elif nearest == below:
        right[y + 1 :, x] = 1
    elif nearest == left:
        down[y, : x + 1] = 1
    else:
        down[y, x + 1 :] = 1
