"""The instrument's own phase under the sample, and how it is taken off a phase map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

_LARGEST_BLOCK_PX = 16  # samples are means over blocks, which takes the noise off and the number down
_FEWEST_BLOCKS = 32  # along an edge; small frames have smaller blocks, so that there is enough to fit
_MOST_BLOCKS = 1 << 14  # in all, so that tall and wide frames cost what their pixels cost
_FEWEST_GROUND = 4  # blocks, below which a region says nothing
_FLAT, _LEAST_SPREAD_RAD = 6.0, 0.03  # times as wide as the frame's flattest quarter: a cell, which is not flat


MeansOver = Callable[[tuple[int, int]], tuple[NDArray[np.float32], NDArray[np.bool_] | None]]
"""Gives the means of one phase map over blocks of (height, width) pixels, and which are lit, as `block_means` does."""


@dataclass(frozen=True, slots=True, eq=False)
class Aberration:
    """The instrument's phase under one frame.

    Attributes:
        coefficients: (n, n) float64 c[i, j] of y^i x^j in rad; y and x run from −1 to 1 across the frame.
        order: the highest total power that the ground supported.
        spread_rad: the range over which the flattest quarter of the ground scatters about it.
        doubt_rad: by how much it is likely to be off, RMS over the frame; None where that is not known.
        is_bent: whether the ground is bent, though only a tilt was to be taken off.
        is_learned: whether a network told ground from objects.
    """

    coefficients: NDArray[np.float64]
    order: int
    spread_rad: float
    doubt_rad: float | None = None
    is_bent: bool = False
    is_learned: bool = False

    @property
    def tilt_rad(self) -> tuple[float, float]:
        """By how much it rises along y and along x across the frame, curvature aside."""
        if len(self.coefficients) < 2:
            return 0.0, 0.0
        return 2 * float(self.coefficients[1, 0]), 2 * float(self.coefficients[0, 1])


class Background(ABC):
    """Finds the instrument's phase in phase maps of one shape, and takes it off.

    Only means over blocks of pixels are looked at, so `fit` is the same wherever those were made.

    Attributes:
        shape: (H, W) of the phase maps in pixels.
        order: the highest total power of y and x that `fit` gives, 0 … 6.
        block_px: (height, width) of a block.
        at: where the rows and the columns of blocks lie, see `block_positions`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        order: int,
        threads: int | None = None,
        block_px: tuple[int, int] | None = None,
    ) -> None:
        self.shape = shape
        self.order = order
        self.block_px = _block_px(shape) if block_px is None else block_px
        y, x = (block_positions(length, block) for length, block in zip(shape, self.block_px, strict=True))
        self.at = y, x
        self._bands = RowBands(shape[0], threads)

    @abstractmethod
    def _found(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None) -> Aberration:
        """As `fit`, where nobody has said what is ground."""

    def fit(
        self,
        means_rad: NDArray[np.float32],
        lit: NDArray[np.bool_] | None = None,
        ground: NDArray[np.bool_] | None = None,
    ) -> Aberration:
        """The aberration under a phase map of which only block means are at hand.

        Args:
            means_rad: (H // block height, W // block width) float32 in rad, finite.
            lit: of the same shape, False where the phase says nothing; None: it does everywhere.
            ground: of the same shape, True where a person says that there is no object; None: nowhere.

        Raises:
            InferenceError: `network failed`, of those that ask one.
        """
        return _on_ground(self._found(means_rad, lit), means_rad, self.at, ground)

    def alone(self) -> Background:
        """What finds the background of a frame by itself, without regard to the frames before and without a trace."""
        return self

    def remove(
        self,
        phase_rad: NDArray[np.float32],
        mask: NDArray[np.bool_] | None = None,
        ground: NDArray[np.bool_] | None = None,
    ) -> Aberration:
        """Take the background off `phase_rad`, (H, W) float32 in rad, in place.

        Args:
            phase_rad: finite.
            mask: (H, W) bool, True where the phase says nothing; None: it does everywhere.
            ground: (H, W) bool, True where a person says that there is no object; None: nowhere.

        Returns:
            What was taken off.
        """
        aberration = self.under(phase_rad, mask, ground)
        self._bands.run(subtract_polynomial, aberration.coefficients, phase_rad)
        return aberration

    def under(
        self,
        phase_rad: NDArray[np.float32],
        mask: NDArray[np.bool_] | None = None,
        ground: NDArray[np.bool_] | None = None,
    ) -> Aberration:
        """What `remove` takes off, found only."""
        return self.found_in(cache(lambda block_px: block_means(phase_rad, block_px, mask)), ground)

    @property
    def blocks_px(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of all blocks whose means `found_in` may ask for."""
        return (self.block_px,)

    def found_in(self, means_over: MeansOver, ground: NDArray[np.bool_] | None = None) -> Aberration:
        """As `under`, wherever the phase lies.

        Args:
            means_over: gives its means.
            ground: see `remove`.
        """
        means, lit = means_over(self.block_px)
        return self.fit(means, lit, ground_blocks(ground, self.block_px, lit))


def block_means(
    phase_rad: NDArray[np.float32], block_px: tuple[int, int], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Means over whole blocks, and which blocks count: those of which at least half is not masked, all where None."""
    if mask is None:
        return _block_means(phase_rad, *block_px), None
    means, lit_px = _masked_block_means(phase_rad, mask, *block_px)
    return means, 2 * lit_px >= block_px[0] * block_px[1]


def ground_blocks(
    ground: NDArray[np.bool_] | None, block_px: tuple[int, int], lit: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | None:
    """Which blocks lie within the ground of (H, W) and are lit; None where no ground is given."""
    if ground is None:
        return None
    rows, columns = ground.shape[0] // block_px[0], ground.shape[1] // block_px[1]
    pixels = ground[: rows * block_px[0], : columns * block_px[1]]
    whole: NDArray[np.bool_] = np.asarray(pixels.reshape(rows, block_px[0], columns, block_px[1]).all(axis=(1, 3)))
    return whole if lit is None else whole & lit


def _on_ground(
    aberration: Aberration,
    means_rad: NDArray[np.float32],
    at: tuple[NDArray[np.float64], NDArray[np.float64]],
    ground: NDArray[np.bool_] | None,
) -> Aberration:
    """The aberration at the level of what a person says is ground; as it is where that is not flat: a cell lies there.

    Its shape stays: it rests on far more of the frame than a region does, and beyond a region it would be a guess.

    Args:
        aberration: as it was found without.
        means_rad: what it was found in, see `Background.fit`.
        at: where the rows and columns of those blocks lie, see `block_positions`.
        ground: see `Background.fit`.
    """
    if ground is None or np.count_nonzero(ground) < _FEWEST_GROUND:
        return aberration
    left = np.sort((means_rad - np.polynomial.polynomial.polygrid2d(*at, aberration.coefficients))[ground])
    held = len(left) // 2 + 1
    widths = left[held - 1 :] - left[: len(left) - held + 1]
    first = int(widths.argmin())  # of the shortest half: objects may cover the other (Rousseeuw & Leroy 1988)
    if widths[first] > _FLAT * max(aberration.spread_rad, _LEAST_SPREAD_RAD):
        return aberration
    coefficients = aberration.coefficients.copy()
    coefficients[0, 0] += float(np.median(left[first : first + held]))
    return replace(aberration, coefficients=coefficients)


def _block_px(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a block."""
    block = [max(1, min(_LARGEST_BLOCK_PX, length // _FEWEST_BLOCKS)) for length in shape]
    while (blocks := [length // edge for length, edge in zip(shape, block, strict=True)])[0] * blocks[1] > _MOST_BLOCKS:
        block[int(np.argmax(blocks))] *= 2
    return block[0], block[1]


def block_positions(length: int, block: int) -> NDArray[np.float64]:
    """The centres of the blocks along an axis of `length` pixels, on the scale −1 … 1."""
    centres = np.arange(length // block) * block + (block - 1) / 2
    return 2 * centres / (length - 1) - 1


@numba.njit(nogil=True, cache=True)
def _block_means(phase_rad: NDArray[np.float32], block_y: int, block_x: int) -> NDArray[np.float32]:
    """Means; rows and columns that do not fill a block are left out."""
    height, width = phase_rad.shape[0] // block_y, phase_rad.shape[1] // block_x
    means = np.empty((height, width), np.float32)
    column_sums = np.empty(width * block_x, np.float32)
    for row in range(height):
        column_sums[:] = 0
        for y in range(row * block_y, (row + 1) * block_y):
            for x in range(len(column_sums)):
                column_sums[x] += phase_rad[y, x]
        for column in range(width):
            total = np.float32(0)
            for x in range(column * block_x, (column + 1) * block_x):
                total += column_sums[x]
            means[row, column] = total / np.float32(block_y * block_x)
    return means


@numba.njit(nogil=True, cache=True)
def _masked_block_means(
    phase_rad: NDArray[np.float32], mask: NDArray[np.bool_], block_y: int, block_x: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Means over the pixels that are not masked, zero where there are none, and how many those are."""
    height, width = phase_rad.shape[0] // block_y, phase_rad.shape[1] // block_x
    means, lit_px = np.empty((height, width), np.float32), np.empty((height, width), np.int32)
    column_sums, column_lit = np.empty(width * block_x, np.float32), np.empty(width * block_x, np.int32)
    for row in range(height):
        column_sums[:] = 0
        column_lit[:] = 0
        for y in range(row * block_y, (row + 1) * block_y):
            for x in range(len(column_sums)):  # without branches, so that it vectorises
                column_sums[x] += np.float32(0) if mask[y, x] else phase_rad[y, x]
            for x in range(len(column_sums)):
                column_lit[x] += 1 - np.int32(mask[y, x])
        for column in range(width):
            total, lit = np.float32(0), np.int32(0)
            for x in range(column * block_x, (column + 1) * block_x):
                total += column_sums[x]
                lit += column_lit[x]
            means[row, column] = total / np.float32(lit if lit > 0 else 1)
            lit_px[row, column] = lit
    return means, lit_px


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def subtract_polynomial(
    first_row: int, last_row: int, coefficients: NDArray[np.float64], phase: NDArray[np.float32]
) -> None:
    """Take Σ c[i, j] y^i x^j off each pixel: one polynomial in x a row, by Horner's rule.

    A row at a time, not a pixel at a time, so that the loops over pixels vectorise.
    """
    height, width = phase.shape
    terms = len(coefficients)
    at_x, value = np.empty(width, np.float32), np.empty(width, np.float32)
    for x in range(width):
        at_x[x] = np.float32(2 / (width - 1)) * np.float32(x) - np.float32(1)
    for y in range(first_row, last_row):
        at_y = 2 * y / (height - 1) - 1
        value[:] = 0
        for j in range(terms - 1, -1, -1):
            power_sum = 0.0
            for i in range(terms - 1, -1, -1):
                power_sum = power_sum * at_y + coefficients[i, j]
            of_row = np.float32(power_sum)
            for x in range(width):
                value[x] = value[x] * at_x[x] + of_row
        for x in range(width):
            phase[y, x] -= value[x]
