"""Where the fringes are too weak for a phase: outside of a round field, behind an obstruction, on an information strip.

The phase there is noise, and would spoil what is fitted, unwrapped and judged beside it. What counts as weak is told
from the frame's own fringes, so low contrast all over the frame masks nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import block_means
from scipy.ndimage import label

_FINEST_PX, _COARSEST_PX = 2, 8  # edge of the blocks over whose means the fringes are judged
_BLOCKS_ALONG = 128
# Quantiles of the amplitude that stand for the lit part: the usual one, and the one of fields smaller than a quarter of
# the frame, where the usual one is dark itself.
_USUAL, _OF_SMALL_FIELD = 0.75, 0.97
_DARK, _DIM = 0.12, 0.3  # times that: what begins a dark part, and up to where it reaches
_SMALLEST_SHARE = 0.002  # of the frame: smaller dark parts are speckle and rims of cells
_SMALLEST_LIT_SHARE = 0.01


def modulation_block_px(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the blocks that `low_modulation` takes means over."""
    edge = max(_FINEST_PX, min(_COARSEST_PX, min(shape) // _BLOCKS_ALONG))
    return edge, edge


def low_modulation(amplitude: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """(H, W) bool, True where the fringes of `amplitude`, (H, W) float32 in any unit, are too weak; None: nowhere."""
    block = modulation_block_px((amplitude.shape[0], amplitude.shape[1]))
    means, _ = block_means(amplitude, block, None)
    dark = dark_blocks(means)
    return None if dark is None else mask_of_blocks(dark, (amplitude.shape[0], amplitude.shape[1]))


def dark_blocks(means: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Which blocks of the amplitude's `means` are too dark for a phase; None: none.

    A dark part begins where next to nothing is left of the fringes, and reaches as far as they are dim. It takes one
    block more, over which the pass band smears its edge.
    """
    places = [int(quantile * means.size) for quantile in (_USUAL, _OF_SMALL_FIELD)]
    usual, of_small_field = (float(value) for value in np.partition(means, places, axis=None)[places])
    if usual < _DARK * of_small_field:
        usual = of_small_field
    if means.min() >= _DARK * usual:
        return None  # the usual frame, which shall not wait
    core = _grown(_shrunk(_mostly(means < _DARK * usual)))  # thinner ones are rims of cells
    dark = _without_small(_mostly(means < _DIM * usual), _SMALLEST_SHARE, core)
    if not dark.any():
        return None
    dark = _grown(dark)
    dark = ~_without_small(~dark, _SMALLEST_LIT_SHARE)
    return None if dark.all() else dark


def mask_of_blocks(dark: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) of a mask of blocks; pixels that fill no block go with their neighbours."""
    y, x = (
        np.minimum(np.arange(length) // edge, blocks - 1)
        for length, edge, blocks in zip(shape, modulation_block_px(shape), dark.shape, strict=True)
    )
    mask: NDArray[np.bool_] = dark.take(x, axis=1).take(y, axis=0)
    return mask


def _mostly(low: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where most of 3 × 3 blocks are `low`: where their median is."""
    padded = np.pad(low.astype(np.uint8), 1, mode="edge")
    columns = padded[:-2] + padded[1:-1] + padded[2:]
    count: NDArray[np.uint8] = columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]
    return count > 4


def _grown(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With all that touch them, at corners too. SciPy's own takes ten times as long."""
    padded = np.pad(blocks, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _shrunk(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without those that touch others, or the border."""
    padded = np.pad(blocks, 1)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _without_small(
    parts: NDArray[np.bool_], smallest_share: float, core: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """The parts that are large enough and, where `core` is given, have some of it in them."""
    labels, count = label(parts)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    kept = sizes >= smallest_share * parts.size
    if core is not None:
        kept &= np.bincount(labels[core], minlength=count + 1) > 0
    kept[0] = False
    return kept[labels]
