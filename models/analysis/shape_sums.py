"""What one pass over a label image tells of every cell: sums, moments, and how often lines cross its outline."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.landscape import kept
from qpi_live.models.classical.bands import RowBands

_MOMENTS = 7
_A_WORD = 4  # pixels that are looked at together: most lie in the middle of a cell or of the background


class ShapeSums(NamedTuple):
    """Sums over each cell; index k is label k + 1.

    Attributes:
        moments: (n, 7) float64, Σ1, Σy, Σx, Σyy, Σxx, Σxy, Σφ with y and x in px and φ in rad over the level.
        highest: (n,) float32, the largest φ.
        crossings: (n, 4) int64, pairs of neighbouring pixels, one inside, one not: along x, y and both diagonals.
        cut: (n,) bool, whether the cell touches the frame's edge.
    """

    moments: NDArray[np.float64]
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
    parts = bands.run(_sum, labels, kept(phase_rad), count, np.float32(level_rad))
    moments, highest, crossings, cut = zip(*parts, strict=True)
    return ShapeSums(
        np.sum(moments, axis=0),
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
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    width = labels.shape[1]
    sums = ShapeSums(
        np.zeros((count, _MOMENTS)),
        np.full(count, np.float32(-np.inf)),
        np.zeros((count, 4), np.int64),
        np.zeros(count, np.bool_),
    )
    crossings = sums.crossings
    outside = np.zeros(width, np.uint16)
    words = np.zeros(-(-width // _A_WORD), np.uint64)
    marks = words.view(np.uint16)[:width]
    for y in range(first_row, last_row):
        row, above = labels[y], labels[y - 1] if y else outside
        _mark_changes(marks, row, above)
        start, label = 0, 0  # of the run
        for word in range(words.size):
            if words[word] == 0:
                continue
            for x in range(word * _A_WORD, min((word + 1) * _A_WORD, width)):
                if marks[x] == 0:
                    continue
                here, over = int(row[x]), int(above[x])
                before, corner = (int(row[x - 1]), int(above[x - 1])) if x else (0, 0)
                if here != label:
                    if label:
                        _add_run(sums, label - 1, y, start, phase_rad[y, start:x], level_rad)
                    start, label = x, here
                _cross(crossings, here, over, 1)
                _cross(crossings, here, corner, 2)
                _cross(crossings, before, over, 3)
        if label:
            _add_run(sums, label - 1, y, start, phase_rad[y, start:], level_rad)
        _cross(crossings, 0, int(above[width - 1]), 2)
        _cross(crossings, int(row[width - 1]), 0, 3)
    _look_at_the_edge(sums, labels, first_row, last_row)
    return sums.moments, sums.highest, crossings, sums.cut


@numba.njit(nogil=True, cache=True)
def _look_at_the_edge(sums: ShapeSums, labels: NDArray[np.uint16], first_row: int, last_row: int) -> None:
    """Say which cells the frame's edge cuts; what lies below the frame is outside of a cell."""
    height, width = labels.shape
    for y in range(first_row, last_row):
        step = 1 if y in (0, height - 1) else max(1, width - 1)
        for x in range(0, width, step):
            label = labels[y, x]
            if label:
                sums.cut[label - 1] = True
                if y == height - 1:
                    sums.crossings[label - 1, 1:] += 1


@numba.njit(nogil=True, cache=True)
def _mark_changes(marks: NDArray[np.uint16], row: NDArray[np.uint16], above: NDArray[np.uint16]) -> None:
    """Not 0 where a pixel, the one before it and the two above these are not all alike; the frame ends outside."""
    marks[0] = row[0] | above[0]
    for x in range(1, row.size):
        marks[x] = (row[x] ^ row[x - 1]) | (row[x] ^ above[x]) | (row[x] ^ above[x - 1])


@numba.njit(nogil=True, cache=True)
def _add_run(
    sums: ShapeSums, cell: int, y: int, start: int, phase_rad: NDArray[np.float32], level_rad: np.float32
) -> None:
    """Add a run of a cell's pixels in row `y`, from column `start` on."""
    total, most = _sum_run(phase_rad, level_rad)
    n = phase_rad.size
    end = start + n
    sum_x = (start + end - 1) * n / 2
    moments = sums.moments[cell]
    moments[0] += n
    moments[1] += n * y
    moments[2] += sum_x
    moments[3] += n * y * y
    moments[4] += _squares_to(end) - _squares_to(start)
    moments[5] += y * sum_x
    moments[6] += total
    sums.highest[cell] = max(sums.highest[cell], most)
    sums.crossings[cell, 0] += 2


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})  # sums may be reordered, so that they vectorise
def _sum_run(phase_rad: NDArray[np.float32], level_rad: np.float32) -> tuple[float, np.float32]:
    """Of a run of pixels: Σφ, and the largest φ."""
    total, most = np.float32(0), np.float32(-np.inf)
    for i in range(phase_rad.size):
        phase = phase_rad[i] - level_rad
        total += phase
        most = max(most, phase)
    return float(total), most


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
