"""Outlines of cells as polygons, for pictures and for files."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.segmentation import Segmentation


def outlines(found: Segmentation) -> list[NDArray[np.int32]]:
    """The outer outline of every cell, (n, 2) int32 corners (y, x) in pixels, in the order of the labels.

    They follow the edges of the blocks on which the cells were told apart. A cell in several parts has that of its
    first one; one that no block shows has none, (0, 2).
    """
    coarse = np.ascontiguousarray(found.coarse_labels, np.int32)
    corners, ends = _trace(coarse, found.count)
    whole = corners[: ends[-1] if ends.size else 0] * found.block_px
    return np.split(whole, ends[:-1]) if ends.size else []


@numba.njit(nogil=True, cache=True)
def _trace(labels: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All corners one after the other, and where each label's end: the label is kept on the right hand."""
    rows, columns = labels.shape
    first = np.full(count + 1, -1, np.int64)
    for place in range(rows * columns - 1, -1, -1):
        label = labels[place // columns, place % columns]
        first[label] = place
    corners = np.empty((4 * rows * columns + 4, 2), np.int32)
    ends = np.empty(count, np.int64)
    n = 0
    for label in range(1, count + 1):
        start = first[label]
        if start < 0:
            ends[label - 1] = n
            continue
        # From the upper left corner of the first block, eastwards: 0 east, 1 south, 2 west, 3 north.
        y0, x0 = start // columns, start % columns
        y, x, heading = y0, x0, 0
        corners[n, 0], corners[n, 1] = y, x
        n += 1
        while True:
            y, x = y + (heading == 1) - (heading == 3), x + (heading == 0) - (heading == 2)
            if y == y0 and x == x0:
                break
            if _is(labels, label, y, x, heading, True):
                turned = (heading + 3) % 4
            elif _is(labels, label, y, x, heading, False):
                turned = heading
            else:
                turned = (heading + 1) % 4
            if turned != heading:
                corners[n, 0], corners[n, 1] = y, x
                n += 1
            heading = turned
        ends[label - 1] = n
    return corners, ends


@numba.njit(nogil=True, cache=True)
def _is(labels: NDArray[np.int32], label: int, y: int, x: int, heading: int, left: bool) -> bool:
    """Whether the block ahead of corner (y, x), to the left or to the right of the heading, has the label."""
    if heading == 0:
        row, column = (y - 1 if left else y), x
    elif heading == 1:
        row, column = y, (x if left else x - 1)
    elif heading == 2:
        row, column = (y if left else y - 1), x - 1
    else:
        row, column = y - 1, (x - 1 if left else x)
    return 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1] and bool(labels[row, column] == label)
