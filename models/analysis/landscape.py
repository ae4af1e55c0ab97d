"""The landscape in which cells are hills: phase as means over blocks, smoothed, with the background under it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.ground import Ground, find_ground, ground_of_region
from qpi_live.models.classical.bands import RowBands

_COARSE_ALONG = 256  # blocks along the frame's shorter edge, about
_LARGEST_BLOCK_PX = 16
_EDGE_PX = 8  # so far into the frame the pass band's ringing reaches


class Landscape(NamedTuple):
    """A phase map of reduced resolution.

    Attributes:
        ground: the background.
        phase_rad: (H // block, W // block) float32, smoothed means over blocks.
        is_masked: of the same shape, bool, True where more than half of a block is masked.
        block_px: a block's edge in pixels.
    """

    ground: Ground
    phase_rad: NDArray[np.float32]
    is_masked: NDArray[np.bool_]
    block_px: int


def kept(values: NDArray[Any]) -> NDArray[Any]:
    """The same values, read-only: Numba compiles for either kind anew, and a stream would wait for that."""
    view = values.view()
    view.flags.writeable = False
    return view


def landscape_of(
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    background: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Landscape:
    """The landscape of a phase map; arguments as in `segmentation.segment`."""
    phase_rad = kept(phase_rad)
    block_px = max(1, min(_LARGEST_BLOCK_PX, round(min(phase_rad.shape) / _COARSE_ALONG)))
    no_mask = np.zeros((1, 1), np.bool_)
    coarse, dark = _means_of_blocks(phase_rad, no_mask if mask is None else mask, mask is not None, block_px, threads)
    _mend_edge(coarse, -(-_EDGE_PX // block_px))
    smooth = _smoothed(coarse)
    ground = find_ground(smooth, dark if mask is not None else None)
    if background is not None:
        _, nothing = _means_of_blocks(phase_rad, background, True, block_px, threads)
        ground = ground_of_region(smooth[nothing & ~dark], ground)
    return Landscape(ground, smooth, dark, block_px)


def _means_of_blocks(
    values: NDArray[np.float32], mask: NDArray[np.bool_], is_masked: bool, edge: int, threads: int | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means over blocks without the masked pixels, and which blocks have more than half of them masked.

    Blocks that are masked whole take the value of the one before, so that nothing there stands out.
    """
    shape = values.shape[0] // edge, values.shape[1] // edge
    means, dark = np.empty(shape, np.float32), np.zeros(shape, np.bool_)
    bands = RowBands(shape[0], threads)
    if not is_masked:
        bands.run(_block_means, values, edge, means)
        return means, dark
    counts = np.empty(shape, np.int32)
    bands.run(_masked_block_means, values, kept(mask), edge, means, counts)
    _fill_empty(means, counts)
    return means, 2 * counts < edge * edge


@numba.njit(nogil=True, cache=True)
def _block_means(
    first_row: int, last_row: int, values: NDArray[np.float32], edge: int, means: NDArray[np.float32]
) -> None:
    """Some rows of `_means_of_blocks` without a mask."""
    columns = means.shape[1]
    width = columns * edge
    sums = np.empty(width, np.float32)
    each = np.float32(1 / (edge * edge))
    for row in range(first_row, last_row):
        sums[:] = values[row * edge, :width]
        for y in range(row * edge + 1, (row + 1) * edge):
            line = values[y]
            for x in range(width):
                sums[x] += line[x]
        mean = means[row]
        for column in range(columns):
            total = np.float32(0)
            for x in range(edge):
                total += sums[column * edge + x]
            mean[column] = total * each


@numba.njit(nogil=True, cache=True)
def _masked_block_means(
    first_row: int,
    last_row: int,
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    edge: int,
    means: NDArray[np.float32],
    counts: NDArray[np.int32],
) -> None:
    """Some rows of `_means_of_blocks` and of how many pixels were seen; a block without any has no mean yet."""
    columns = means.shape[1]
    width = columns * edge
    sums, seen = np.empty(width, np.float32), np.empty(width, np.int32)
    for row in range(first_row, last_row):
        sums[:] = 0
        seen[:] = 0
        for y in range(row * edge, (row + 1) * edge):
            line, hidden = values[y], mask[y]
            for x in range(width):
                sums[x] += np.float32(0) if hidden[x] else line[x]
                seen[x] += 0 if hidden[x] else 1
        for column in range(columns):
            total, count = np.float32(0), 0
            for x in range(edge):
                total += sums[column * edge + x]
                count += seen[column * edge + x]
            counts[row, column] = count
            means[row, column] = total / np.float32(max(count, 1))


@numba.njit(nogil=True, cache=True)
def _fill_empty(means: NDArray[np.float32], counts: NDArray[np.int32]) -> None:
    """Let blocks of which nothing was seen be as the one before, in place."""
    last = np.float32(0)
    for row in range(means.shape[0]):
        for column in range(means.shape[1]):
            if counts[row, column]:
                last = means[row, column]
            else:
                means[row, column] = last


@numba.njit(nogil=True, cache=True)
def _mend_edge(values: NDArray[np.float32], width: int) -> None:
    """Let the outermost blocks go on as those before them are, in place."""
    rows, columns = values.shape
    width = min(width, (min(rows, columns) - 1) // 2)
    for y in range(width, rows - width):
        values[y, :width] = values[y, width]
        values[y, columns - width :] = values[y, columns - width - 1]
    for y in range(width):
        values[y] = values[width]
        values[rows - 1 - y] = values[rows - 1 - width]


@numba.njit(nogil=True, cache=True)
def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted with 1, 2, 1 along both axes; the edge is mirrored."""
    rows, columns = values.shape
    smooth = np.empty_like(values)
    line = np.empty(columns, np.float32)
    quarter, half = np.float32(0.25), np.float32(0.5)
    for y in range(rows):
        above, below = max(y - 1, 0), min(y + 1, rows - 1)
        for x in range(columns):
            line[x] = quarter * (values[above, x] + values[below, x]) + half * values[y, x]
        smooth[y, 0] = quarter * (line[0] + line[1]) + half * line[0]
        for x in range(1, columns - 1):
            smooth[y, x] = quarter * (line[x - 1] + line[x + 1]) + half * line[x]
        smooth[y, columns - 1] = quarter * (line[columns - 2] + line[columns - 1]) + half * line[columns - 1]
    return smooth
