"""Cells at full resolution: the labels of blocks carried over to pixels, with outlines that follow the phase."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands


def labels_of_pixels(
    phase_rad: NDArray[np.float32],
    coarse_labels: NDArray[np.int32],
    block_px: int,
    threshold_rad: float,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> NDArray[np.uint16]:
    """(H, W) uint16 labels: a cell's inside as its blocks say, its rim where the phase sinks below a threshold.

    Args:
        phase_rad: (H, W) float32.
        coarse_labels: (H // block, W // block) int32, 1 … on the blocks of cells, 0 elsewhere.
        block_px: a block's edge.
        threshold_rad: what the mean over 3 × 3 pixels has to pass at the rim.
        mask: (H, W) bool, True where there is no phase, and so no cell.
        threads: CPU threads to use; None: all cores.
    """
    labels = np.zeros(phase_rad.shape, np.uint16)
    given = np.zeros((1, 1), np.bool_) if mask is None else mask
    limit, is_masked = np.float32(threshold_rad), mask is not None
    bands = RowBands(phase_rad.shape[0], threads)
    bands.run(_label_rows, coarse_labels, phase_rad, limit, given, is_masked, block_px, labels)
    return labels


@numba.njit(nogil=True, cache=True)
def _label_rows(
    first_row: int,
    last_row: int,
    coarse: NDArray[np.int32],
    phase_rad: NDArray[np.float32],
    threshold_rad: np.float32,
    mask: NDArray[np.bool_],
    is_masked: bool,
    edge: int,
    labels: NDArray[np.uint16],
) -> None:
    """Label pixels of some rows: inside where the mean over 3 × 3 pixels passes the threshold, as the nearest block."""
    height, width = phase_rad.shape
    rows, columns = coarse.shape
    starts, ends = np.empty(columns, np.int64), np.empty(columns, np.int64)
    of_span, is_inner = np.empty(columns, np.uint16), np.empty(columns, np.bool_)
    spans = 0
    sums = np.zeros(width + 2, np.float32)  # of three pixels above each other; the ends are repeated
    limit = threshold_rad * np.float32(9)
    for y in range(first_row, last_row):
        if y == first_row or (y % edge == 0 and y // edge < rows):
            spans = _spans_of(coarse, min(y // edge, rows - 1), edge, width, starts, ends, of_span, is_inner)
        row = labels[y]
        above, here, below = phase_rad[max(y - 1, 0)], phase_rad[y], phase_rad[min(y + 1, height - 1)]
        for i in range(spans):
            label = of_span[i]
            if is_inner[i]:
                row[starts[i] : ends[i]] = label
            else:
                first, last = max(starts[i] - 1, 0), min(ends[i] + 1, width)
                _add_up(sums[first + 1 : last + 1], above[first:last], here[first:last], below[first:last])
                sums[0], sums[width + 1] = sums[1], sums[width]
                _mark(row[starts[i] : ends[i]], sums[starts[i] : ends[i] + 2], label, limit)
        if is_masked:
            hidden = mask[y]
            for x in range(width):
                row[x] = np.uint16(0) if hidden[x] else row[x]


# As loops of their own over slices, so that they vectorise.
@numba.njit(nogil=True, cache=True)
def _add_up(
    sums: NDArray[np.float32], above: NDArray[np.float32], here: NDArray[np.float32], below: NDArray[np.float32]
) -> None:
    for x in range(sums.size):
        sums[x] = above[x] + here[x] + below[x]


@numba.njit(nogil=True, cache=True)
def _mark(row: NDArray[np.uint16], sums: NDArray[np.float32], label: np.uint16, limit: np.float32) -> None:
    """Label where the sum of three neighbouring sums passes the limit; `sums` begins one before `row`."""
    for x in range(row.size):
        row[x] = label if sums[x] + sums[x + 1] + sums[x + 2] > limit else np.uint16(0)


@numba.njit(nogil=True, cache=True)
def _spans_of(
    coarse: NDArray[np.int32],
    row: int,
    edge: int,
    width: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    of_span: NDArray[np.uint16],
    is_inner: NDArray[np.bool_],
) -> int:
    """Stretches of a row of blocks that belong to one cell, in pixels; inner ones are surely cell. Their count."""
    rows, columns = coarse.shape
    count = 0
    is_near, is_deep = np.zeros(columns, np.bool_), np.ones(columns, np.bool_)  # of three, and of five rows
    for v in range(max(row - 1, 0), min(row + 2, rows)):
        is_near |= coarse[v] != 0
    # Smoothing has widened the blocks by two: only those farther in are surely cell.
    for v in range(max(row - 2, 0), min(row + 3, rows)):
        is_deep &= coarse[v] != 0
    for column in range(columns):
        mine = coarse[row, column]
        inner = False
        if mine:
            inner = bool(is_deep[max(column - 2, 0) : column + 3].all())
        elif is_near[max(column - 1, 0) : column + 2].any():
            for v in range(max(row - 1, 0), min(row + 2, rows)):
                for u in range(max(column - 1, 0), min(column + 2, columns)):
                    if mine == 0:
                        mine = coarse[v, u]
        if mine == 0:
            continue
        end = width if column == columns - 1 else (column + 1) * edge
        last = count - 1
        if count and of_span[last] == mine and is_inner[last] == inner and ends[last] == column * edge:
            ends[last] = end
        else:
            starts[count], ends[count], of_span[count], is_inner[count] = column * edge, end, mine, inner
            count += 1
    return count
