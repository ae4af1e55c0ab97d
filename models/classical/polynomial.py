"""Polynomials in y and x over a grid of blocks: their values, and least squares with weights.

All sums are separable: what a term y^i x^j contributes is a factor a row times a factor a column. So the normal
equations of all terms need only a few sums along each row, however many terms there are.

Compiled, and not left to the linear algebra library. At this size its threads and its calls cost more than the
arithmetic. They cost many times more when the cores are busy with the rest of the pipeline. Sums may be reordered, so
that they vectorise. Plain loops in place of array arithmetic, which takes many times as long to compile.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

SUMS = {"reassoc", "contract"}
"""What LLVM may do to the sums of a kernel."""

Samples = NDArray[np.float32]
Values = NDArray[np.float64]  # of the terms, in their order
Lit = NDArray[np.bool_]


class Grid(NamedTuple):
    """The terms y^i x^j, i + j ≤ order, at the points of a grid; those of lower orders come first.

    Attributes:
        powers_y, powers_x: (2 · order + 1, rows or columns) float32, powers of the positions.
        i, j: (terms,) int64, the exponents of each term.
    """

    powers_y: Samples
    powers_x: Samples
    i: NDArray[np.int64]
    j: NDArray[np.int64]


def exponents(order: int) -> NDArray[np.int64]:
    """(2, terms) int64 i and j of the terms y^i x^j, i + j ≤ order, those of lower orders first."""
    return np.array([(i, total - i) for total in range(order + 1) for i in range(total + 1)], np.int64).T


def grid_at(y: NDArray[np.float64], x: NDArray[np.float64], order: int) -> Grid:
    """The terms up to `order` at the positions `y` by `x`, −1 … 1 across the frame."""
    powers_y, powers_x = (at[None, :] ** np.arange(2 * order + 1)[:, None] for at in (y, x))
    i, j = exponents(order)
    return Grid(powers_y.astype(np.float32), powers_x.astype(np.float32), i.copy(), j.copy())


def legendre_at(at: NDArray[np.float64], order: int) -> Values:
    """(order + 1, positions) float64: Legendre's P_0 … P_order."""
    return np.polynomial.legendre.legvander(at, order).T.astype(np.float64, copy=False)


def terms_at(y: NDArray[np.float64], x: NDArray[np.float64], order: int) -> Samples:
    """(terms, rows · columns) float32: Legendre's P_i(y) P_j(x), i + j ≤ order, at all positions `y` by `x`.

    They span what y^i x^j span, those of lower orders first, and are nearly orthogonal, so that sums may be rounded.
    `as_matrix` has the coefficients of the powers.
    """
    i, j = exponents(order)
    of_y, of_x = (legendre_at(at, order) for at in (y, x))
    values: Samples = (of_y[i][:, :, None] * of_x[j][:, None, :]).astype(np.float32)
    return values.reshape(len(i), -1)


def step_terms_at(y: NDArray[np.float64], x: NDArray[np.float64], order: int) -> Samples:
    """(terms − 1, pairs) float32: the steps of all terms but the level between neighbours among `y` by `x`.

    First those along y from the points of rows and columns 2k to rows 2k + 1, then those along x. All pairs of
    neighbours would cost four times as much and fit no better.
    """
    (even_y, odd_y), (even_x, odd_x) = ((at[: 2 * (len(at) // 2) : 2], at[1::2]) for at in (y, x))
    even = terms_at(even_y, even_x, order)
    along_y, along_x = terms_at(odd_y, even_x, order) - even, terms_at(even_y, odd_x, order) - even
    return np.ascontiguousarray(np.concatenate((along_y, along_x), axis=1)[1:])


def count_terms(order: int) -> int:
    """How many terms y^i x^j there are with i + j ≤ order."""
    return (order + 1) * (order + 2) // 2


def as_matrix(values: Values, order: int) -> NDArray[np.float64]:
    """(order + 1, order + 1) coefficients c[i, j] of y^i x^j from the values of the first terms of `terms_at`."""
    i, j = exponents(order)
    of_terms = np.zeros((order + 1, order + 1))
    of_terms[i[: len(values)], j[: len(values)]] = values
    powers = powers_of_legendre(order)
    coefficients: NDArray[np.float64] = powers.T @ of_terms @ powers
    return coefficients


@cache
def powers_of_legendre(order: int) -> NDArray[np.float64]:
    """(order + 1, order + 1): row n has the coefficients of P_n."""
    rows = [np.polynomial.legendre.leg2poly(row) for row in np.eye(order + 1)]
    return np.array([np.pad(row, (0, order + 1 - len(row))) for row in rows])


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def subtract_products(
    coefficients: Values, along_y: Samples, along_x: Samples, samples: Samples, left_over: Samples
) -> None:
    """left_over = samples − Σ coefficients[i, j] · along_y[i, row] · along_x[j, column]."""
    for row in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            left_over[row, x] = samples[row, x]
        for j in range(coefficients.shape[1]):
            of_row = np.float32(0)
            for i in range(len(coefficients)):
                of_row += np.float32(coefficients[i, j]) * along_y[i, row]
            for x in range(samples.shape[1]):
                left_over[row, x] -= of_row * along_x[j, x]


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def moments(weights: Samples, along_y: Samples, along_x: Samples, powers: int) -> Values:
    """Σ weights[row, column] · along_y[i, row] · along_x[j, column] for all j and the first `powers` i."""
    sums = np.zeros((powers, len(along_x)))
    for row in range(weights.shape[0]):
        for j in range(len(along_x)):
            total = np.float32(0)
            for x in range(weights.shape[1]):
                total += weights[row, x] * along_x[j, x]
            for i in range(powers):
                sums[i, j] += along_y[i, row] * total
    return sums


@numba.njit(inline="always", cache=True)
def normal_equations(grid: Grid, weights: Samples, target: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(terms, terms) and (terms,): least squares for the polynomial nearest to `target`, (rows, columns)."""
    powers, terms = len(grid.powers_y), len(grid.i)
    weighted = np.empty_like(target)
    for row in range(target.shape[0]):
        for x in range(target.shape[1]):
            weighted[row, x] = weights[row, x] * target[row, x]
    of_weights = moments(weights, grid.powers_y, grid.powers_x, powers)
    of_target = moments(weighted, grid.powers_y, grid.powers_x, (powers + 1) // 2)
    matrix, right = np.empty((terms, terms)), np.empty(terms)
    for one in range(terms):
        right[one] = of_target[grid.i[one], grid.j[one]]
        for other in range(terms):
            matrix[one, other] = of_weights[grid.i[one] + grid.i[other], grid.j[one] + grid.j[other]]
    return matrix, right


@numba.njit(nogil=True, cache=True)
def factorise(matrix: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """The Cholesky factor of a matrix, whose lower triangle is read; `ridge` on the diagonal lets there be one."""
    terms = len(matrix)
    factor = np.zeros((terms, terms))
    for row in range(terms):
        for column in range(row + 1):
            left = matrix[row, column]
            for k in range(column):
                left -= factor[row, k] * factor[column, k]
            if row == column:
                factor[row, row] = np.sqrt(max(left + ridge, ridge))
            else:
                factor[row, column] = left / factor[column, column]
    return factor


@numba.njit(nogil=True, cache=True)
def solve(factor: NDArray[np.float64], right: NDArray[np.float64]) -> Values:
    """The values of as many terms as `factor` has."""
    values = right.copy()
    for row in range(len(factor)):
        for k in range(row):
            values[row] -= factor[row, k] * values[k]
        values[row] /= factor[row, row]
    for row in range(len(factor) - 1, -1, -1):
        for k in range(row + 1, len(factor)):
            values[row] -= factor[k, row] * values[k]
        values[row] /= factor[row, row]
    return values


@numba.njit(nogil=True, cache=True)
def sort_samples(samples: Samples) -> Samples:
    """Finite samples in rising order: three passes over 11 bits each, four times as fast as comparing them."""
    keys = samples.copy().view(np.uint32)
    for k in range(len(keys)):  # as whole numbers, negative floats are in falling order
        keys[k] = ~keys[k] if keys[k] & np.uint32(0x80000000) else keys[k] | np.uint32(0x80000000)
    others = np.empty_like(keys)
    starts = np.empty(2048, np.int64)
    for shift in (0, 11, 22):
        for digit in range(2048):
            starts[digit] = 0
        for key in keys:
            starts[(key >> np.uint32(shift)) & np.uint32(2047)] += 1
        before = 0
        for digit in range(2048):
            starts[digit], before = before, before + starts[digit]
        for key in keys:
            digit = (key >> np.uint32(shift)) & np.uint32(2047)
            others[starts[digit]] = key
            starts[digit] += 1
        keys, others = others, keys
    for k in range(len(keys)):
        keys[k] = keys[k] & np.uint32(0x7FFFFFFF) if keys[k] & np.uint32(0x80000000) else ~keys[k]
    return keys.view(np.float32)
