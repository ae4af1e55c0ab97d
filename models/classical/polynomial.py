"""Polynomials in y and x over a grid of blocks: their values, and least squares with weights.

All sums are separable: what a term y^i x^j contributes is a factor a row times a factor a column. So the normal
equations of all terms need only a few sums along each row, however many terms there are.

Compiled, and not left to the linear algebra library: at this size its threads and its calls cost more than the
arithmetic, and many times more when the cores are busy with the rest of the pipeline. Sums may be reordered, so that
they vectorise. Plain loops in place of array arithmetic, which takes many times as long to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

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


class StepGrid(NamedTuple):
    """The steps of the same terms between neighbouring points: rows and columns 2k and 2k + 1, each pair once.

    All pairs of neighbours would cost four times as much and fit no better.

    Attributes:
        at: the even points.
        step_y, step_x: (order + 1, pairs) float32, by how much a power changes from 2k to 2k + 1.
    """

    at: Grid
    step_y: Samples
    step_x: Samples


def grid_at(y: NDArray[np.float64], x: NDArray[np.float64], order: int) -> Grid:
    """The terms up to `order` at the positions `y` by `x`, −1 … 1 across the frame."""
    exponents = np.array([(i, total - i) for total in range(order + 1) for i in range(total + 1)], np.int64)
    powers_y, powers_x = (at[None, :] ** np.arange(2 * order + 1)[:, None] for at in (y, x))
    return Grid(powers_y.astype(np.float32), powers_x.astype(np.float32), *np.ascontiguousarray(exponents.T))


def steps_between(y: NDArray[np.float64], x: NDArray[np.float64], order: int) -> StepGrid:
    """The steps of the terms up to `order` between neighbours among the positions `y` by `x`."""
    even = [at[: 2 * (len(at) // 2) : 2] for at in (y, x)]
    odd = [at[1::2] for at in (y, x)]
    powers = np.arange(order + 1)[:, None]
    step_y, step_x = ((second**powers - first**powers) for first, second in zip(even, odd, strict=True))
    return StepGrid(grid_at(even[0], even[1], order), step_y.astype(np.float32), step_x.astype(np.float32))


def count_terms(order: int) -> int:
    """How many terms y^i x^j there are with i + j ≤ order."""
    return (order + 1) * (order + 2) // 2


@numba.njit(nogil=True, cache=True)
def as_matrix(grid: Grid, values: Values) -> NDArray[np.float64]:
    """(order + 1, order + 1) coefficients c[i, j] of y^i x^j from the values of the first terms."""
    powers = (len(grid.powers_y) + 1) // 2
    coefficients = np.zeros((powers, powers))
    for term in range(len(values)):
        coefficients[grid.i[term], grid.j[term]] = values[term]
    return coefficients


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def subtract_values(grid: Grid, values: Values, samples: Samples, left_over: Samples) -> None:
    """left_over = samples − the polynomial."""
    coefficients = as_matrix(grid, values)
    for row in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            left_over[row, x] = samples[row, x]
        for j in range(len(coefficients)):
            along_y = np.float32(0)
            for i in range(len(coefficients)):
                along_y += np.float32(coefficients[i, j]) * grid.powers_y[i, row]
            for x in range(samples.shape[1]):
                left_over[row, x] -= along_y * grid.powers_x[j, x]


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def normal_equations(grid: Grid, weights: Samples, target: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(terms, terms) and (terms,): least squares for the polynomial nearest to `target`, (rows, columns)."""
    powers, terms = len(grid.powers_y), len(grid.i)
    moments, right_moments = np.zeros((powers, powers)), np.zeros(((powers + 1) // 2, (powers + 1) // 2))
    weighted = np.empty(target.shape[1], np.float32)
    for row in range(target.shape[0]):
        for x in range(len(weighted)):
            weighted[x] = weights[row, x] * target[row, x]
        for power in range(powers):
            total = _sum_of_products(weights[row], grid.powers_x[power])
            for i in range(powers):
                moments[i, power] += grid.powers_y[i, row] * total
        for power in range(len(right_moments)):
            total = _sum_of_products(weighted, grid.powers_x[power])
            for i in range(len(right_moments)):
                right_moments[i, power] += grid.powers_y[i, row] * total
    matrix, right = np.empty((terms, terms)), np.empty(terms)
    for one in range(terms):
        right[one] = right_moments[grid.i[one], grid.j[one]]
        for other in range(terms):
            matrix[one, other] = moments[grid.i[one] + grid.i[other], grid.j[one] + grid.j[other]]
    return matrix, right


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def subtract_steps(grid: StepGrid, values: Values, steps: Samples, left_over: Samples) -> None:
    """left_over = steps − the polynomial's own, (2, rows, columns): along y, and along x."""
    coefficients = as_matrix(grid.at, values)
    powers = len(coefficients)
    for row in range(steps.shape[1]):
        for x in range(steps.shape[2]):
            left_over[0, row, x], left_over[1, row, x] = steps[0, row, x], steps[1, row, x]
        for j in range(powers):
            step_y = at_y = np.float32(0)
            for i in range(powers):
                step_y += np.float32(coefficients[i, j]) * grid.step_y[i, row]
                at_y += np.float32(coefficients[i, j]) * grid.at.powers_y[i, row]
            for x in range(steps.shape[2]):
                left_over[0, row, x] -= step_y * grid.at.powers_x[j, x]
                left_over[1, row, x] -= at_y * grid.step_x[j, x]


@numba.njit(nogil=True, cache=True)
def step_equations(grid: StepGrid, weights: Samples, steps: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `normal_equations`, for the polynomial whose steps come nearest to `steps`; the level's are all zero."""
    terms = len(grid.at.i)
    of_y, of_x, right_moments = _step_moments(grid, weights, steps)
    matrix, right = np.empty((terms, terms)), np.empty(terms)
    for one in range(terms):
        i, j = grid.at.i[one], grid.at.j[one]
        right[one] = right_moments[i, j]
        for other in range(terms):
            k, m = grid.at.i[other], grid.at.j[other]
            matrix[one, other] = of_y[i, k, j + m] + of_x[j, m, i + k]
    return matrix, right


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _step_moments(grid, weights, steps):  # type: ignore[no-untyped-def]
    """For steps along y the sums over i, i' and j + j', along x those over j, j' and i + i', and over i and j."""
    powers, columns = len(grid.step_y), steps.shape[2]
    of_y, of_x = np.zeros((powers, powers, 2 * powers - 1)), np.zeros((powers, powers, 2 * powers - 1))
    right = np.zeros((powers, powers))
    weighted_y, weighted_x = np.empty(columns, np.float32), np.empty(columns, np.float32)
    along_x = np.empty(columns, np.float32)
    for row in range(steps.shape[1]):
        for power in range(2 * powers - 1):
            total = _sum_of_products(weights[0, row], grid.at.powers_x[power])
            for i in range(powers):
                for other in range(powers):
                    of_y[i, other, power] += grid.step_y[i, row] * grid.step_y[other, row] * total
        for x in range(columns):
            weighted_y[x], weighted_x[x] = weights[0, row, x] * steps[0, row, x], weights[1, row, x] * steps[1, row, x]
        for j in range(powers):
            for x in range(columns):
                along_x[x] = weights[1, row, x] * grid.step_x[j, x]
            for other in range(powers):
                total = _sum_of_products(along_x, grid.step_x[other])
                for power in range(2 * powers - 1):
                    of_x[j, other, power] += grid.at.powers_y[power, row] * total
            total_y = _sum_of_products(weighted_y, grid.at.powers_x[j])
            total_x = _sum_of_products(weighted_x, grid.step_x[j])
            for i in range(powers):
                right[i, j] += grid.step_y[i, row] * total_y + grid.at.powers_y[i, row] * total_x
    return of_y, of_x, right


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _sum_of_products(one: Samples, other: Samples) -> np.float32:
    total = np.float32(0)
    for x in range(len(one)):
        total += one[x] * other[x]
    return total


@numba.njit(nogil=True, cache=True)
def factorise(matrix: NDArray[np.float64], first: int, terms: int, ridge: float) -> NDArray[np.float64]:
    """The Cholesky factor of `terms` rows and columns from `first` on; `ridge` on the diagonal lets there be one."""
    factor = np.zeros((terms, terms))
    for row in range(terms):
        for column in range(row + 1):
            left = matrix[first + row, first + column]
            for k in range(column):
                left -= factor[row, k] * factor[column, k]
            if row == column:
                factor[row, row] = np.sqrt(max(left + ridge, ridge))
            else:
                factor[row, column] = left / factor[column, column]
    return factor


@numba.njit(nogil=True, cache=True)
def solve(factor: NDArray[np.float64], right: NDArray[np.float64], first: int) -> Values:
    """The values of as many terms as `factor` has, from `first` on; zero for those before."""
    terms = len(factor)
    solved = np.zeros(first + terms)
    values = solved[first:]
    for row in range(terms):
        values[row] = right[first + row]
        for k in range(row):
            values[row] -= factor[row, k] * values[k]
        values[row] /= factor[row, row]
    for row in range(terms - 1, -1, -1):
        for k in range(row + 1, terms):
            values[row] -= factor[k, row] * values[k]
        values[row] /= factor[row, row]
    return solved


@numba.njit(nogil=True, cache=True)
def leverage_at(grid: Grid, factor: NDArray[np.float64], row: int, column: int) -> float:
    """How the variance of a fitted polynomial at a point compares with that of one sample of full weight."""
    total = 0.0
    solved = np.empty(len(factor))
    for term in range(len(factor)):
        value = grid.powers_y[grid.i[term], row] * grid.powers_x[grid.j[term], column]
        for k in range(term):
            value -= factor[term, k] * solved[k]
        solved[term] = value / factor[term, term]
        total += solved[term] ** 2
    return total


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
