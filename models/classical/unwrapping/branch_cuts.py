"""Branch cuts: walls between residues that make phase unwrapping independent of the path.

A residue sits on the corner where four pixels meet; corner (y, x) is the one between pixels (y, x) and (y + 1, x + 1).
A cut is a path from corner to corner. Each of its steps passes between two neighbouring pixels and blocks the link
between them. So a cut takes no pixel away, and only what cuts enclose completely becomes an island.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.unwrapping.cut_pairing import balance
from qpi_live.models.classical.unwrapping.masked_residues import residues_outside

_PER_TURN = np.float32(1 / (2 * np.pi))
_PER_HALF_TURN = np.float32(1 / np.pi)
_TWO_PI = np.float32(2 * np.pi)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOWEST_PRICE = 2  # what is dark is cheap, not free: of two ways through the dark the shorter one is better
_PRICE_SPAN = np.float32(63)
_BRIGHT = np.float32(0.5)  # of the typical amplitude
_STRETCH_PX = 64  # of a row, that are looked at together
_SAMPLES = 16_384  # of the amplitude, for its median


@dataclass(frozen=True, slots=True, eq=False)
class BranchCuts:
    """The links between neighbouring pixels that unwrapping must not cross.

    Attributes:
        right: (H, W) uint8, 1 where the link from a pixel to its right neighbour is blocked.
        down: (H, W) uint8, 1 where the link from a pixel to the one below is blocked.
        bright_links: how many of those that cuts block lie between two pixels above half of the typical amplitude.
            Where it is bright, a step of 2π is seldom true.
        are_cheapest: whether no cuts cost less; else finding them would have taken too long.
    """

    right: NDArray[np.uint8]
    down: NDArray[np.uint8]
    bright_links: int = 0
    are_cheapest: bool = True


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


def place_cuts(
    residues: NDArray[np.int32],
    wrapped_rad: NDArray[np.float32],
    amplitude: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    bands: RowBands | None = None,
) -> BranchCuts:
    """Branch cuts of least total cost that balance every residue, with one of opposite charge or with the border.

    A cut should run where it is dark, or where the step of the phase is doubtful anyway. So blocking a link costs
    amplitude² · (1 − |step| / π)² + 1/64. The step is the wrapped one between its two pixels. The amplitude is the
    smaller one of the two over the typical one, at most 1.

    Args:
        residues: (n, 3) int32 (y, x, charge) from `find_residues`, all that there are.
        wrapped_rad: (H, W) float32 in rad.
        amplitude: (H, W) float32 in any unit, not negative; None: the same everywhere.
        mask: (H, W) bool, True on pixels to leave out. Through them cuts run for next to nothing, and the links between
            them and the others are blocked.
        bands: the threads to use for all but the pairing, which takes one; None: all cores.
    """
    shape = wrapped_rad.shape
    bands = bands or RowBands(shape[0])
    amplitude = np.ones(shape, np.float32) if amplitude is None else amplitude
    every = sampled_every((shape[0], shape[1]))
    typical = typical_amplitude(amplitude[::every, ::every], mask)
    left_out = np.zeros(shape, np.bool_) if mask is None else mask

    def prices() -> NDArray[np.uint8]:
        price = np.empty((2, shape[0] + 1, shape[1] + 1), np.uint8)
        price[:, -1] = 0
        bands.run(_price_links, wrapped_rad, amplitude, np.float32(1 / typical), left_out, price)
        return price

    flow = cheapest_flow(residues, mask, prices)
    right, down, are_cheapest = flow or (np.zeros(shape, np.int8), np.zeros(shape, np.int8), True)
    bright = bands.run(_block_links, right, down, amplitude, bright_from(typical), left_out)
    return BranchCuts(right.view(np.uint8), down.view(np.uint8), sum(bright), are_cheapest)


def cheapest_flow(
    residues: NDArray[np.int32], mask: NDArray[np.bool_] | None, prices: Callable[[], NDArray[np.uint8]]
) -> tuple[NDArray[np.int8], NDArray[np.int8], bool] | None:
    """What `balance` gives for the residues of a frame, less those that the mask balances; None: there are no others.

    Args:
        residues: (n, 3) int32 (y, x, charge) in raster order, all that there are.
        mask: (H, W) bool, True on pixels to leave out; None: none.
        prices: gives (2, H + 1, W + 1) uint8, what blocking each link costs; the array is changed.
    """
    border = None
    if mask is not None:
        residues, border = residues_outside(residues, mask)
    if len(residues) == 0:
        return None
    price = prices()
    if border is not None:
        _open_border(border, price)
    return balance(residues, price)


def sampled_every(shape: tuple[int, int]) -> int:
    """Every how many pixels along either axis the amplitude is looked at, to tell what is typical."""
    return max(1, round(sqrt(shape[0] * shape[1] / _SAMPLES)))


def typical_amplitude(sample: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> float:
    """The median amplitude of what is not left out, from a sample; never zero.

    Args:
        sample: of every `sampled_every` pixels along both axes.
        mask: (H, W) bool of the frame, True on pixels to leave out; None: none.
    """
    if mask is not None:
        every = sampled_every((mask.shape[0], mask.shape[1]))
        kept = ~mask[::every, ::every]
        sample = sample[kept] if kept.any() else sample
    return max(float(np.median(sample)), float(np.finfo(np.float32).tiny))


def bright_from(typical: float) -> np.float32:
    """Above which amplitude a pixel is bright."""
    return np.float32(typical) * _BRIGHT


@numba.njit(nogil=True, cache=True)
def _open_border(border: NDArray[np.int32], price: NDArray[np.uint8]) -> None:
    """Take the price off the runs of corners that are border."""
    for run in range(len(border)):
        y, start, end = border[run]
        price[:, y + 1, start + 1 : end + 1] = 0


@numba.njit(inline="always", cache=True)
def _price(phase_rad, next_phase_rad, amplitude, next_amplitude, scale):  # type: ignore[no-untyped-def]
    step = next_phase_rad - phase_rad
    step = abs(step - _TWO_PI * np.rint(step * _PER_TURN))
    weight = min(min(amplitude, next_amplitude) * scale, _ONE) * max(_ONE - step * _PER_HALF_TURN, _ZERO)
    return np.uint8(_LOWEST_PRICE + 2 * np.int32(_PRICE_SPAN * weight * weight + _HALF))


@numba.njit(nogil=True, cache=True)
def _price_links(
    first_row: int,
    last_row: int,
    wrapped: NDArray[np.float32],
    amplitude: NDArray[np.float32],
    scale: np.float32,
    mask: NDArray[np.bool_],
    price: NDArray[np.uint8],
) -> None:
    """What the step from each corner to the next one right costs, and to the one below; 0 along the border.

    Corner (y, x) is the one up and to the left of pixel (y, x). A step to the right blocks the link from the pixel
    above it down. A step down blocks the link from the pixel on its left to the right.
    """
    width = wrapped.shape[1]
    to_right, to_below = price
    for y in range(first_row, last_row):
        if y == 0:
            to_right[y] = 0
        else:
            for x in range(width):  # contiguous and without branches, so that it vectorises
                to_right[y, x] = _price(wrapped[y - 1, x], wrapped[y, x], amplitude[y - 1, x], amplitude[y, x], scale)
            for x in range(width):
                to_right[y, x] = _LOWEST_PRICE if mask[y - 1, x] | mask[y, x] else to_right[y, x]
        for x in range(1, width):
            to_below[y, x] = _price(wrapped[y, x - 1], wrapped[y, x], amplitude[y, x - 1], amplitude[y, x], scale)
        for x in range(1, width):
            to_below[y, x] = _LOWEST_PRICE if mask[y, x - 1] | mask[y, x] else to_below[y, x]
        to_right[y, width] = to_below[y, 0] = to_below[y, width] = 0


@numba.njit(nogil=True, cache=True)
def _block_links(
    first_row: int,
    last_row: int,
    right: NDArray[np.int8],
    down: NDArray[np.int8],
    amplitude: NDArray[np.float32],
    bright_from: np.float32,
    mask: NDArray[np.bool_],
) -> int:
    """Block the links that flow takes and those into the mask; the bright ones among the former."""
    height, width = amplitude.shape
    bright = 0
    for y in range(first_row, last_row):
        for start in range(0, width, _STRETCH_PX):
            end = min(start + _STRETCH_PX, width)
            flows = np.int8(0)
            for x in range(start, end):  # vectorises, and most stretches have none
                flows |= right[y, x] | down[y, x]
            if flows == 0:
                continue
            for x in range(start, end):
                if right[y, x] != 0:
                    right[y, x] = 1
                    is_bright = min(amplitude[y, x], amplitude[y, x + 1]) > bright_from
                    bright += is_bright and not (mask[y, x] or mask[y, x + 1])
                if down[y, x] != 0:
                    down[y, x] = 1
                    is_bright = min(amplitude[y, x], amplitude[y + 1, x]) > bright_from
                    bright += is_bright and not (mask[y, x] or mask[y + 1, x])
        for x in range(width - 1):
            right[y, x] |= np.int8(mask[y, x] ^ mask[y, x + 1])
        if y + 1 < height:
            for x in range(width):
                down[y, x] |= np.int8(mask[y, x] ^ mask[y + 1, x])
    return bright
