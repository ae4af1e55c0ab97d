"""A phase map on 128 × 128 blocks, whatever the frame, and polynomials over it: what the learned background works on.

The map always spans the whole frame, so blocks are as oblong as the frame is. Its polynomials are those of
`Aberration`: c[i, j] y^i x^j, with y and x from −1 to 1 across the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.background import fit_steps, flattest_range
from qpi_live.models.classical.polynomial import (
    SUMS,
    Grid,
    as_matrix,
    factorise,
    grid_at,
    normal_equations,
    solve,
    sort_samples,
    step_terms_at,
    subtract_products,
)

EDGE = 128
"""Blocks along each side of the map."""

RIDGE, SETTLING_RIDGE = 1e-3, 5e-3
"""How hard `solve` and `settle` hold on to the polynomial they start from, against weights of mean 1."""

SETTLING_ROUNDS, SETTLING_RAD = 4, 0.03
"""How often `settle` weighs anew, and how far off a block is that counts half."""

# Neighbouring blocks err alike, so that the polynomial is off by more than its standard error: 1.5 times on simulated
# frames of three instruments, 2.6 times where it was off by more than 0.1 rad.
_ALIKE = 2.0
_LARGEST_LOG_WEIGHT, _SMALLEST_LOG_WEIGHT = 4.0, -8.0

Map = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A polynomial and how well it is known.

    Attributes:
        values: of its terms.
        doubt_rad: by how much it is likely to be off, RMS over the frame.
    """

    values: Values
    doubt_rad: float


class BlockMap:
    """The blocks of frames of one shape, and least squares of polynomials over them.

    Values of polynomials belong to the terms y^i x^j, i + j ≤ order, those of lower orders first.

    Attributes:
        orthonormal: (terms, 128²) float64 polynomials over the blocks whose products have the mean 1 or 0.

    Args:
        y, x: positions of the rows and the columns that the blocks are made of, −1 … 1 across the frame. They are those
            of its pixels, or of means over a few of them.
        order: highest total power of y and x, 1 … 6.
    """

    def __init__(self, y: NDArray[np.float64], x: NDArray[np.float64], order: int = 4) -> None:
        self._edges = tuple(_block_edges(len(positions)) for positions in (y, x))
        y, x = (_centres(edges, positions) for edges, positions in zip(self._edges, (y, x), strict=True))
        self._order = order
        self._grid = grid_at(y, x, order)
        exponents = list(zip(self._grid.i, self._grid.j, strict=True))
        q, r = np.linalg.qr(np.stack([np.outer(y**i, x**j).ravel() for i, j in exponents], axis=1))
        self.orthonormal: Values = np.ascontiguousarray(q.T) * EDGE
        self._from_powers: Values = r / EDGE
        self._squares: Values = EDGE**2 * self._from_powers.T @ self._from_powers  # of the orthonormal terms
        halved_y, halved_x = (at.reshape(-1, 2).mean(axis=1) for at in (y, x))
        self._steps = step_terms_at(halved_y, halved_x, order)

    def means(self, phase_rad: Map, lit: NDArray[np.bool_] | None = None) -> tuple[Map, Map]:
        """The phase's means over the blocks, and where they mean something.

        Args:
            phase_rad: (rows, columns) float32 unwrapped phase in rad.
            lit: (rows, columns) bool, False where the phase says nothing; None: it does everywhere it is finite.

        Returns:
            (128, 128) float32 means over what is lit in rad, 0 where that is too little; and (128, 128) float32, 1
            where at least half of a block is lit, 0 elsewhere.
        """
        if lit is None:
            return _all_means(phase_rad, *self._edges)
        return _lit_means(phase_rad, lit, *self._edges)

    def first_guess(self, means_rad: Map, valid: Map) -> Values:
        """A polynomial that flattens the map roughly: its steps fitted with Cauchy weights, then the median's level.

        A polynomial added to the map is added to the guess and to nothing else. So what the network sees, the map
        without the guess, does not depend on the instrument's aberration.
        """
        halved, lit = _halved(means_rad, valid)
        fitted = as_matrix(fit_steps(self._steps, halved, lit, self._order)[self._order], self._order)
        values: Values = fitted[self._grid.i, self._grid.j]
        values[0] = 0.0
        seen = self.without(means_rad, values)[valid > 0]
        values[0] = float(np.median(seen)) if seen.size else 0.0
        return values

    def without(self, means_rad: Map, values: Values) -> Map:
        """(128, 128) float32, the map without a polynomial, in rad."""
        rest = np.empty_like(means_rad)
        subtract_products(self.matrix(values), self._grid.powers_y, self._grid.powers_x, means_rad, rest)
        return rest

    def solve(self, background_rad: Map, log_weight: Map, valid: Map) -> Values:
        """The polynomial nearest to `background_rad` in the mean weighted square.

        Args:
            background_rad: (128, 128) float32 what is taken for background, in rad.
            log_weight: (128, 128) float32 natural logarithm of each block's weight; cut to −8 … 4.
            valid: (128, 128) float32; blocks of 0 do not count.
        """
        weights = _block_weights(log_weight, valid)
        values, _ = _least_squares(self._grid, weights, background_rad, RIDGE * self._squares)
        return values

    def settle(self, background_rad: Map, log_weight: Map, valid: Map) -> Settled:
        """As `solve`, for a background that is nearly flat: blocks that lie off it lose their weight in rounds."""
        trusted = _block_weights(log_weight, valid)
        ridge = SETTLING_RIDGE * self._squares
        values, matrix, scatter_rad, samples = _settle(self._grid, trusted, background_rad, ridge)
        # The standard error of the least squares: how far the blocks scatter, and how much they say of each term.
        variances = self._from_powers @ np.linalg.inv(matrix / EDGE**2) @ self._from_powers.T
        return Settled(values, _ALIKE * scatter_rad * float(np.sqrt(np.trace(variances) / max(samples, 1.0))))

    def spread(self, means_rad: Map, values: Values, valid: Map) -> float:
        """The range over which the flattest quarter of the valid map scatters about a polynomial, in rad."""
        return flattest_range(sort_samples(self.without(means_rad, values)[valid > 0]))

    def to_orthonormal(self, values: Values) -> Values:
        """The same polynomial in terms of `orthonormal`."""
        converted: Values = self._from_powers @ values
        return converted

    def values_of(self, coefficients: NDArray[np.float64]) -> Values:
        """The values of the terms in a matrix as `matrix` gives it."""
        values: Values = coefficients[self._grid.i, self._grid.j]
        return values

    def matrix(self, values: Values) -> NDArray[np.float64]:
        """(order + 1, order + 1) float64 c[i, j] of y^i x^j."""
        return _as_matrix(self._grid, values)


def _block_edges(length: int) -> NDArray[np.int64]:
    """(128, 2) first row of each block and the one behind its last; blocks of a short side share rows."""
    first = np.arange(EDGE) * length // EDGE
    behind = np.maximum(np.arange(1, EDGE + 1) * length // EDGE, first + 1)
    return np.stack((first, behind), axis=1)


def _centres(edges: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The blocks' centres, on the scale of the positions."""
    return np.array([positions[first:behind].mean() for first, behind in edges])


def _halved(means_rad: Map, valid: Map) -> tuple[Map, NDArray[np.bool_]]:
    """Both maps on 64 × 64 blocks: mean, and whether all four were valid."""
    quarters, valid = (grid.reshape(EDGE // 2, 2, EDGE // 2, 2) for grid in (means_rad, valid))
    return quarters.mean(axis=(1, 3)), valid.min(axis=(1, 3)) > 0


@numba.njit(nogil=True, cache=True)
def _all_means(phase: Map, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[Map, Map]:
    means = np.empty((EDGE, EDGE), np.float32)
    valid = np.ones((EDGE, EDGE), np.float32)
    sums = np.empty(phase.shape[1], np.float32)
    for row in range(EDGE):
        sums[:] = 0
        for y in range(rows[row, 0], rows[row, 1]):
            for x in range(len(sums)):
                sums[x] += phase[y, x]
        for column in range(EDGE):
            total = np.float32(0)
            for x in range(columns[column, 0], columns[column, 1]):
                total += sums[x]
            pixels = (rows[row, 1] - rows[row, 0]) * (columns[column, 1] - columns[column, 0])
            means[row, column] = total / np.float32(pixels)
            if not np.isfinite(means[row, column]):
                means[row, column] = valid[row, column] = 0
    return means, valid


@numba.njit(nogil=True, cache=True)
def _lit_means(
    phase: Map, lit: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[Map, Map]:
    means = np.zeros((EDGE, EDGE), np.float32)
    valid = np.zeros((EDGE, EDGE), np.float32)
    for row in range(EDGE):
        for column in range(EDGE):
            total, count = np.float32(0), 0
            for y in range(rows[row, 0], rows[row, 1]):
                for x in range(columns[column, 0], columns[column, 1]):
                    if lit[y, x] and np.isfinite(phase[y, x]):
                        total += phase[y, x]
                        count += 1
            pixels = (rows[row, 1] - rows[row, 0]) * (columns[column, 1] - columns[column, 0])
            if 2 * count >= pixels:
                means[row, column] = total / np.float32(count)
                valid[row, column] = 1
    return means, valid


@numba.njit(nogil=True, cache=True)
def _block_weights(log_weight: Map, valid: Map) -> Map:
    """Weights of mean 1 over the map, 0 where it is not valid."""
    weights = np.empty_like(log_weight)
    for y in range(EDGE):
        for x in range(EDGE):
            cut = min(max(log_weight[y, x], np.float32(_SMALLEST_LOG_WEIGHT)), np.float32(_LARGEST_LOG_WEIGHT))
            weights[y, x] = np.exp(cut) * valid[y, x]
    return _with_mean_one(weights)


@numba.njit(nogil=True, cache=True)
def _with_mean_one(weights: Map) -> Map:
    return weights / np.float32(max(weights.sum() / weights.size, 1e-12))


@numba.njit(inline="always", cache=True)
def _as_matrix(grid: Grid, values: Values) -> Values:
    powers = (len(grid.powers_y) + 1) // 2
    coefficients = np.zeros((powers, powers))
    for term in range(len(values)):
        coefficients[grid.i[term], grid.j[term]] = values[term]
    return coefficients


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def _least_squares(grid: Grid, weights: Map, target: Map, ridge: Values) -> tuple[Values, Values]:
    """The values of the terms, and the matrix of the normal equations."""
    matrix, right = normal_equations(grid, weights, target)
    matrix += ridge
    return solve(factorise(matrix, 0.0), right), matrix


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def _settle(grid: Grid, trusted: Map, background: Map, ridge: Values) -> tuple[Values, Values, float, float]:
    """Values, matrix of the last round, the trusted blocks' RMS scatter, and how many blocks the weights amount to."""
    values, matrix = _least_squares(grid, trusted, background, ridge)
    rest, weights = np.empty_like(background), trusted
    for _ in range(SETTLING_ROUNDS):
        subtract_products(_as_matrix(grid, values), grid.powers_y, grid.powers_x, background, rest)
        weights = _with_mean_one(trusted / (np.float32(1) + (rest / np.float32(SETTLING_RAD)) ** 2))
        values, matrix = _least_squares(grid, weights, background, ridge)
    subtract_products(_as_matrix(grid, values), grid.powers_y, grid.powers_x, background, rest)
    scatter = np.sqrt((trusted * rest**2).sum() / rest.size)
    return values, matrix, scatter, weights.sum() ** 2 / max((weights**2).sum(), 1e-12)
