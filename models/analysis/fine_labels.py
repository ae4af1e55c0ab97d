"""Cells at full resolution: the labels of blocks carried over to pixels, with outlines that follow the phase."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.landscape import kept
from qpi_live.models.classical.bands import RowBands


def above_threshold(
    phase_rad: NDArray[np.float32], threshold_rad: float, threads: int | None = None
) -> NDArray[np.bool_]:
    """(H, W) bool, where the mean over 3 × 3 pixels passes a threshold; the frame's edge is repeated.

    Args:
        phase_rad: (H, W) float32.
        threshold_rad: what the mean has to pass.
        threads: CPU threads to use; None: all cores.
    """
    is_above = np.empty(phase_rad.shape, np.bool_)
    bands = RowBands(phase_rad.shape[0], threads)
    bands.run(_above_rows, phase_rad, np.float32(threshold_rad) * np.float32(9), is_above)
    return is_above


def labels_of_pixels(
    is_above: NDArray[np.bool_],
    coarse_labels: NDArray[np.int32],
    block_px: int,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> NDArray[np.uint16]:
    """(H, W) uint16 labels: a cell's inside as its blocks say, its rim where the phase is high enough.

    Args:
        is_above: (H, W) bool, where a rim is cell; see `above_threshold`.
        coarse_labels: (H // block, W // block) int32, 1 … on the blocks of cells, 0 elsewhere.
        block_px: a block's edge.
        mask: (H, W) bool, True where there is no phase, and so no cell.
        threads: CPU threads to use; None: all cores.
    """
    labels = np.empty(is_above.shape, np.uint16)
    given = kept(np.zeros((1, 1), np.uint8)) if mask is None else kept(mask).view(np.uint8)
    bands = RowBands(is_above.shape[0], threads)
    bands.run(_label_rows, coarse_labels, is_above.view(np.uint8), given, mask is not None, block_px, labels)
    return labels


@numba.njit(nogil=True, cache=True)
def _above_rows(
    first_row: int, last_row: int, phase_rad: NDArray[np.float32], limit: np.float32, is_above: NDArray[np.bool_]
) -> None:
    """Some rows of `above_threshold`; `limit` is of sums over nine pixels."""
    height, width = phase_rad.shape
    sums = np.empty(width + 2, np.float32)  # of three pixels above each other; the ends are repeated
    for y in range(first_row, last_row):
        _add_up(sums[1 : width + 1], phase_rad[max(y - 1, 0)], phase_rad[y], phase_rad[min(y + 1, height - 1)])
        sums[0], sums[width + 1] = sums[1], sums[width]
        _pass(is_above[y], sums[:width], sums[1 : width + 1], sums[2:], limit)


# As loops of their own over slices, so that they vectorise.
@numba.njit(nogil=True, cache=True)
def _add_up(
    sums: NDArray[np.float32], above: NDArray[np.float32], here: NDArray[np.float32], below: NDArray[np.float32]
) -> None:
    for x in range(sums.size):
        sums[x] = above[x] + here[x] + below[x]


@numba.njit(nogil=True, cache=True)
def _pass(
    is_above: NDArray[np.bool_],
    left: NDArray[np.float32],
    here: NDArray[np.float32],
    right: NDArray[np.float32],
    limit: np.float32,
) -> None:
    for x in range(is_above.size):
        is_above[x] = left[x] + here[x] + right[x] > limit


@numba.njit(nogil=True, cache=True)
def _label_rows(
    first_row: int,
    last_row: int,
    coarse: NDArray[np.int32],
    is_above: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    is_masked: bool,
    edge: int,
    labels: NDArray[np.uint16],
) -> None:
    """Label pixels of some rows as the nearest block: inside of a cell all of them, at its rim those above."""
    width = labels.shape[1]
    rows, columns = coarse.shape
    nearest, is_inner = np.empty(width, np.uint16), np.empty(width, np.uint8)
    is_near, is_deep = np.empty(columns, np.bool_), np.empty(columns, np.bool_)
    is_empty = True
    for y in range(first_row, last_row):
        if y == first_row or (y % edge == 0 and y // edge < rows):
            is_empty = _row_of_blocks(coarse, min(y // edge, rows - 1), edge, nearest, is_inner, is_near, is_deep)
        if is_empty:
            labels[y] = 0
        else:
            _label(labels[y], nearest, is_inner, is_above[y])
            if is_masked:
                _hide(labels[y], mask[y])


# By bits, not by branches, so that they vectorise: 0 − 1 has all bits set.
@numba.njit(nogil=True, cache=True)
def _label(
    row: NDArray[np.uint16], nearest: NDArray[np.uint16], is_inner: NDArray[np.uint8], is_above: NDArray[np.uint8]
) -> None:
    for x in range(row.size):
        row[x] = nearest[x] & np.uint16(0 - np.int16(is_inner[x] | is_above[x]))


@numba.njit(nogil=True, cache=True)
def _hide(row: NDArray[np.uint16], hidden: NDArray[np.uint8]) -> None:
    for x in range(row.size):
        row[x] &= np.uint16(np.int16(hidden[x]) - 1)


@numba.njit(nogil=True, cache=True)
def _row_of_blocks(
    coarse: NDArray[np.int32],
    row: int,
    edge: int,
    nearest: NDArray[np.uint16],
    is_inner: NDArray[np.uint8],
    is_near: NDArray[np.bool_],
    is_deep: NDArray[np.bool_],
) -> bool:
    """Of the pixels of a row of blocks: the label of the cell they lie in or beside, and which are surely cell.

    Whether there is none.
    """
    rows, columns = coarse.shape
    nearest[:] = 0
    is_near[:] = False  # of three rows
    is_deep[:] = True  # of five rows
    for v in range(max(row - 1, 0), min(row + 2, rows)):
        _or_cell(is_near, coarse[v])
    # Smoothing has widened the blocks by two: only those farther in are surely cell.
    for v in range(max(row - 2, 0), min(row + 3, rows)):
        _and_cell(is_deep, coarse[v])
    is_empty = True
    for column in range(columns):
        if not (is_near[max(column - 1, 0)] or is_near[column] or is_near[min(column + 1, columns - 1)]):
            continue
        is_empty = False
        mine, inner = coarse[row, column], False
        if mine:
            inner = is_deep[column]
            if inner:
                inner = bool(is_deep[max(column - 2, 0) : column + 3].all())
        else:
            for v in range(max(row - 1, 0), min(row + 2, rows)):
                for u in range(max(column - 1, 0), min(column + 2, columns)):
                    if mine == 0:
                        mine = coarse[v, u]
        end = nearest.size if column == columns - 1 else (column + 1) * edge
        for x in range(column * edge, end):
            nearest[x], is_inner[x] = mine, inner
    return is_empty


@numba.njit(nogil=True, cache=True)
def _or_cell(is_some: NDArray[np.bool_], labels: NDArray[np.int32]) -> None:
    for x in range(is_some.size):
        is_some[x] |= labels[x] != 0


@numba.njit(nogil=True, cache=True)
def _and_cell(is_all: NDArray[np.bool_], labels: NDArray[np.int32]) -> None:
    for x in range(is_all.size):
        is_all[x] &= labels[x] != 0
