"""What one pass over a label image tells of every cell: sums, moments, and how often lines cross its outline."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

_MOMENTS = 9
_STRETCH = 16  # pixels that are looked at together: most lie in the middle of a cell or of the background


class ShapeSums(NamedTuple):
    """Sums over each cell; index k is label k + 1.

    Attributes:
        moments: (n, 9) float64, Σ1, Σy, Σx, Σyy, Σxx, Σxy, Σφ, Σφy, Σφx with y and x in px and φ in rad over the level.
        squares: (n,) float64, Σφ².
        highest: (n,) float32, the largest φ.
        crossings: (n, 4) int64, pairs of neighbouring pixels, one inside, one not: along x, y and both diagonals.
        cut: (n,) bool, whether the cell touches the frame's edge.
    """

    moments: NDArray[np.float64]
    squares: NDArray[np.float64]
    highest: NDArray[np.float32]
    crossings: NDArray[np.int64]
    cut: NDArray[np.bool_]


def sum_shapes(
    labels: NDArray[np.uint16],
    phase_rad: NDArray[np.float32],
    count: int,
    level_rad: float,
    threads: int | None = None,
) -> ShapeSums:
    """The sums of labels 1 … `count`.

    Args:
        labels: (H, W) uint16.
        phase_rad: (H, W) float32 in rad.
        count: the highest label.
        level_rad: the phase that counts as 0.
        threads: CPU threads to use; None: all cores.
    """
    bands = RowBands(labels.shape[0], threads)
    parts = bands.run(_sum, labels, phase_rad, count, np.float32(level_rad))
    moments, squares, highest, crossings, cut = zip(*parts, strict=True)
    return ShapeSums(
        np.sum(moments, axis=0),
        np.sum(squares, axis=0),
        np.max(highest, axis=0),
        np.sum(crossings, axis=0),
        np.any(cut, axis=0),
    )


@numba.njit(nogil=True, cache=True)
def _sum(
    first_row: int,
    last_row: int,
    labels: NDArray[np.uint16],
    phase_rad: NDArray[np.float32],
    count: int,
    level_rad: np.float32,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    height, width = labels.shape
    moments = np.zeros((count, _MOMENTS))
    squares = np.zeros(count)
    highest = np.full(count, np.float32(-np.inf))
    crossings = np.zeros((count, 4), np.int64)
    cut = np.zeros(count, np.bool_)
    outside = np.zeros(width, labels.dtype)
    for y in range(first_row, last_row):
        row = labels[y]
        start = 0
        while start < width:
            label = row[start]
            end = start + 1
            while end + _STRETCH <= width and _is_all(row[end : end + _STRETCH], label):
                end += _STRETCH
            while end < width and row[end] == label:
                end += 1
            if label:
                k = int(label) - 1
                total, first, square, most = _sum_run(phase_rad[y, start:end], level_rad)
                n = end - start
                sum_x = (start + end - 1) * n / 2
                cell = moments[k]
                cell[0] += n
                cell[1] += n * y
                cell[2] += sum_x
                cell[3] += n * y * y
                cell[4] += _squares_to(end) - _squares_to(start)
                cell[5] += y * sum_x
                cell[6] += total
                cell[7] += total * y
                cell[8] += first + total * start
                squares[k] += square
                highest[k] = max(highest[k], most)
                crossings[k, 0] += 2
                if y == 0 or y == height - 1 or start == 0 or end == width:
                    cut[k] = True
            start = end
        _cross_row(crossings, row, labels[y - 1] if y else outside)
    if last_row == height:
        _cross_row(crossings, outside, labels[height - 1])
    return moments, squares, highest, crossings, cut


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})  # sums may be reordered, so that they vectorise
def _sum_run(phase_rad: NDArray[np.float32], level_rad: np.float32) -> tuple[float, float, float, np.float32]:
    """Of a run of pixels: Σφ, Σφi with i from 0, Σφ², and the largest φ."""
    total, first, square, most = np.float32(0), np.float32(0), np.float32(0), np.float32(-np.inf)
    for i in range(phase_rad.size):
        phase = phase_rad[i] - level_rad
        total += phase
        first += phase * np.float32(i)
        square += phase * phase
        most = max(most, phase)
    return float(total), float(first), float(square), most


@numba.njit(nogil=True, cache=True)
def _cross_row(crossings: NDArray[np.int64], row: NDArray[np.uint16], above: NDArray[np.uint16]) -> None:
    """Count the pairs between two rows of which one pixel is in a cell and the other is not; the frame ends outside."""
    before, corner, x = 0, 0, 0
    while x < row.size:
        end = min(x + _STRETCH, row.size)
        if before == corner and end - x == _STRETCH and _is_all(row[x:end], before) and _is_all(above[x:end], before):
            x = end
            continue
        while x < end:
            here, over = int(row[x]), int(above[x])
            x += 1
            if here == over and before == over and corner == over:
                continue
            _cross(crossings, here, over, 1)
            _cross(crossings, here, corner, 2)
            _cross(crossings, before, over, 3)
            before, corner = here, over
    _cross(crossings, 0, corner, 2)
    _cross(crossings, before, 0, 3)


@numba.njit(nogil=True, cache=True, inline="always")
def _is_all(stretch: NDArray[np.uint16], label: int) -> bool:
    """Whether a stretch of a row is of one label throughout; as one loop without a way out, so that it vectorises."""
    differs = np.uint16(0)
    for i in range(_STRETCH):
        differs |= stretch[i] ^ np.uint16(label)
    return bool(differs == 0)


@numba.njit(nogil=True, cache=True, inline="always")
def _cross(crossings: NDArray[np.int64], one: int, other: int, direction: int) -> None:
    if one != other:
        if one:
            crossings[one - 1, direction] += 1
        if other:
            crossings[other - 1, direction] += 1


@numba.njit(nogil=True, cache=True, inline="always")
def _squares_to(end: int) -> float:
    """0² + 1² + … + (end − 1)²."""
    return (end - 1) * end * (2 * end - 1) / 6
