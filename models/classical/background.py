"""A polynomial fitted to the ground between the objects of an unwrapped phase map.

Without a calibration frame the tilt, defocus and higher aberrations of the microscope lie under the sample. They are
smooth, the sample is not, and where there is no sample the phase is theirs alone.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import Aberration, Background, block_positions
from qpi_live.models.classical.polynomial import (
    Grid,
    Lit,
    Samples,
    StepGrid,
    Values,
    as_matrix,
    count_terms,
    factorise,
    grid_at,
    leverage_at,
    normal_equations,
    solve,
    sort_samples,
    step_equations,
    steps_between,
    subtract_steps,
    subtract_values,
)

# NumPy's numbers, since Numba compiles anew for each Python number that one kernel hands to another.
_ALL: Any = np.int64(0)  # the first term of a fit
_BUT_LEVEL: Any = np.int64(1)
_TRIAL_ROUNDS: Any = np.int64(3)
_MOST_ROUNDS: Any = np.int64(10)
_STEP_ROUNDS = 8
_CONVERGED_RAD = 1e-3
_RIDGE = 1e-6  # of the weights' sum: a little of the old fit stands in where the ground leaves gaps
_STEP_RIDGE = 1e-9
_SLIGHT = np.float32(1e-30)  # a weight that counts for nothing, and still tells a step from none
_KEPT_SIGMAS = 2.5
JUDGED_SHARE = 0.25  # of the blocks: the flattest ones, whose spread tells the orders apart
_WORTH_AN_ORDER = 0.9  # a higher order must bring the likely error below this part of a lower one's
_BLOCKS_A_TERM = 4
_ALIKE_BLOCKS = 0.3  # neighbours err alike, so that so many count as one sample
_LEVERAGE_POINTS = 8  # along an edge
# Times the range that counts as ground: what lies farther off is object. One side has none where it has less than these
# shares of all blocks and of what lies on the other side.
_OUTLYING, _FEW, _FEWER = 1.6, 0.05, 0.3
# Times that range: how far a sample on the side without objects may lie off and still pull; not at all in trials.
_PULLING, _NO_PULL = 4.0, 1.0


class BackgroundFit(Background):
    """`Background` that fits a polynomial.

    The slopes of the map are fitted first, with Cauchy weights: an object's slopes cancel around its rim and scatter,
    whereas the ground's agree, so the fit holds even where objects cover much of the frame. Then the polynomial
    itself is fitted to what lies near the most frequent level, in rounds (after Colomb et al. 2006, who fit the
    aberration where the specimen is flat); what stands out above it or below it is object.

    A polynomial of high order bends around objects. So the order rises from 1 only while the flattest part of the frame
    becomes flatter by it, by more than is lost where the polynomial is extrapolated beyond the ground.

    Args:
        shape: (H, W) in pixels.
        order: the highest total power of y and x, 0 … 6; 0 takes only the level off.
        threads: CPU threads to use, None for all cores.

    Raises:
        ValueError: the order is outside of 0 … 6.
    """

    def __init__(self, shape: tuple[int, int], order: int = 4, threads: int | None = None) -> None:
        if not 0 <= order <= 6:
            raise ValueError(f"expected a background order of 0 to 6, got {order}")
        super().__init__(shape, order, threads)
        y, x = (block_positions(length, block) for length, block in zip(shape, self.block_px, strict=True))
        self._all = grid_at(y, x, order)
        self._every_other = grid_at(y[::2], x[::2], order)  # orders are tried on a quarter of the blocks
        self._steps = steps_between(y, x, order)

    def fit(self, means_rad: Samples, lit: Lit | None = None) -> Aberration:
        """See `Background.fit`."""
        lit = np.ones(means_rad.shape, np.bool_) if lit is None else lit
        if not lit.any():
            return Aberration(as_matrix(self._all, np.zeros(1)), 0, 0.0)
        order, start = self._best_order(means_rad, lit)
        values, spread = _fit(self._all, means_rad, lit, start)
        return Aberration(as_matrix(self._all, values), order, spread)

    def _best_order(self, means: Samples, lit: Lit) -> tuple[int, Values]:
        """The order that the ground asks for and supports, and its terms' values, roughly."""
        samples, their_lit = np.ascontiguousarray(means[::2, ::2]), np.ascontiguousarray(lit[::2, ::2])
        blocks, highest = np.count_nonzero(their_lit), self.order
        while highest > 0 and count_terms(highest) * _BLOCKS_A_TERM > blocks:
            highest -= 1
        best, values, least = 0, np.zeros(1), np.inf
        if highest == 0:
            return best, values
        equations = fit_steps(means, lit, self._steps, count_terms(highest))
        for order in range(1, highest + 1):
            tried, error = _try_order(self._every_other, samples, their_lit, equations, count_terms(order))
            if error < _WORTH_AN_ORDER * least:
                best, values, least = order, tried, error
        return best, values

    def values(self, aberration: Aberration) -> Samples:
        """The aberration's means over the blocks, as near as their centres tell, of the shape that `fit` takes."""
        powers = self.order + 1
        along_x = aberration.coefficients @ self._all.powers_x[:powers]
        values: Samples = (self._all.powers_y[:powers].T @ along_x).astype(np.float32)
        return values


# These keep the interpreter lock, for a millisecond in all: a live pipeline has other threads that want it, and each
# time that it is let go and taken again may cost more than the fit. They are several kernels, since Numba compiles what
# a kernel calls once more for each that calls it.
@numba.njit(cache=True)
def _fit(grid: Grid, means: Samples, lit: Lit, start: Values) -> tuple[Values, float]:
    """The values of as many terms as `start` has, and the spread of the flattest ground."""
    residual = np.empty_like(means)
    values = _settle(grid, means, lit, start, _MOST_ROUNDS, _PULLING, residual)
    return values, narrowest(sort_samples(_lit_ones(residual, lit)), JUDGED_SHARE)[1]


@numba.njit(cache=True)
def _try_order(
    grid: Grid, samples: Samples, lit: Lit, equations: tuple[Values, Values, float], terms: int
) -> tuple[Values, float]:
    """The values of so many terms, roughly, from the equations for their steps; how far off they are likely to be."""
    matrix, right, ridge = equations
    start = solve(factorise(matrix, _BUT_LEVEL, terms - 1, ridge), right, _BUT_LEVEL)
    residual = np.empty_like(samples)
    values = _settle(grid, samples, lit, start, _TRIAL_ROUNDS, _NO_PULL, residual)
    return values, _likely_error(grid, residual, lit, terms)


@numba.njit(cache=True)
def fit_steps(
    means: Samples, lit: Lit, grid: StepGrid, terms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Normal equations for the steps between neighbouring blocks, with weights that leave out the objects' rims."""
    rows, columns = grid.step_y.shape[1], grid.step_x.shape[1]
    steps, weights = np.zeros((2, rows, columns), np.float32), np.zeros((2, rows, columns), np.float32)
    count = 0
    for row in range(rows):
        for x in range(columns):
            for axis in range(2):
                y2, x2 = (2 * row + 1, 2 * x) if axis == 0 else (2 * row, 2 * x + 1)
                if lit[2 * row, 2 * x] and lit[y2, x2]:
                    steps[axis, row, x] = means[y2, x2] - means[2 * row, 2 * x]
                    weights[axis, row, x] = 1
                    count += 1
    ridge = _STEP_RIDGE * (count + 1)
    residual, sizes = np.empty_like(steps), np.empty(count, np.float32)
    values = np.zeros(terms)
    matrix, right = step_equations(grid, weights, steps)
    for _ in range(_STEP_ROUNDS - 1):
        before = values
        values = solve(factorise(matrix, _BUT_LEVEL, terms - 1, ridge), right, _BUT_LEVEL)
        if count == 0 or _largest_change(before, values) < _CONVERGED_RAD:
            break
        subtract_steps(grid, values, steps, residual)
        _weigh_steps(residual, sizes, weights)
        matrix, right = step_equations(grid, weights, steps)
    return matrix, right, ridge


@numba.njit(nogil=True, cache=True)
def _weigh_steps(residual: Samples, sizes: Samples, weights: Samples) -> None:
    """Cauchy weights for the steps that have one; `sizes` has room for as many."""
    kept = 0
    for axis in range(2):
        for row in range(residual.shape[1]):
            for x in range(residual.shape[2]):
                if weights[axis, row, x] > 0:
                    sizes[kept] = abs(residual[axis, row, x])
                    kept += 1
    median = float(sort_samples(sizes)[kept // 2])
    inverse_square = np.float32(1 / max(1.4826 * median, 1e-4) ** 2)
    for axis in range(2):
        for row in range(residual.shape[1]):
            for x in range(residual.shape[2]):
                if weights[axis, row, x] > 0:
                    weight = np.float32(1) / (np.float32(1) + residual[axis, row, x] ** 2 * inverse_square)
                    weights[axis, row, x] = max(weight, _SLIGHT)


@numba.njit(nogil=True, cache=True)
def _settle(
    grid: Grid, samples: Samples, lit: Lit, values: Values, rounds: int, pulling: float, residual: Samples
) -> Values:
    """Fit to what lies near the most frequent level, from `values` on; what is left over goes to `residual`."""
    subtract_values(grid, values, samples, residual)
    weights = np.empty_like(samples)
    for _ in range(rounds):
        level, spread = _most_frequent_level(sort_samples(_lit_ones(residual, lit)))
        _weigh(residual, lit, level, spread, pulling, weights)
        matrix, right = normal_equations(grid, weights, residual)
        step = solve(factorise(matrix, _ALL, len(values), _RIDGE * (matrix[0, 0] + 1e-3)), right, _ALL)
        before, values = values, values.copy()
        for term in range(len(values)):
            values[term] += step[term]
        subtract_values(grid, values, samples, residual)
        if _largest_change(before, values) < _CONVERGED_RAD:
            break
    return values


@numba.njit(nogil=True, cache=True)
def _largest_change(before: Values, after: Values) -> float:
    largest = 0.0
    for term in range(len(after)):
        largest = max(largest, abs(after[term] - before[term]))
    return largest


@numba.njit(nogil=True, cache=True)
def _weigh(residual: Samples, lit: Lit, level: float, spread: float, pulling: float, weights: Samples) -> None:
    """1 on the ground and 0 on objects.

    Where objects lie on one side only, what lies on the other side is ground that the polynomial has not met yet. It
    pulls, but only as hard as a sample at the edge of the ground would, and not from anywhere (Hampel 1974).
    """
    height, width = residual.shape
    middle, per_range = np.float32(level), np.float32(1 / (_KEPT_SIGMAS * spread))
    outlying, reach = np.float32(_OUTLYING), np.float32(pulling)
    above = below = lit_ones = 0
    for y in range(height):
        for x in range(width):
            off = (residual[y, x] - middle) * per_range
            weights[y, x] = 1 if abs(off) < 1 and lit[y, x] else 0
            lit_ones += lit[y, x]
            above += off > outlying and lit[y, x]
            below += off < -outlying and lit[y, x]
    few = _FEW * lit_ones
    side = np.float32(0)
    if below < min(few, _FEWER * above):
        side = np.float32(-1)
    elif above < min(few, _FEWER * below):
        side = np.float32(1)
    if side == 0 or pulling <= 1:
        return
    for y in range(height):
        for x in range(width):
            off = side * (residual[y, x] - middle) * per_range
            if 1 <= off < reach and lit[y, x]:
                weights[y, x] = 1 / off


@numba.njit(nogil=True, cache=True)
def _likely_error(grid: Grid, residual: Samples, lit: Lit, terms: int) -> float:
    """How far off a polynomial may be: the flattest blocks' spread, and what it becomes where there is no ground."""
    ordered = sort_samples(_lit_ones(residual, lit))
    level, spread = _most_frequent_level(ordered)
    weights = np.empty_like(residual)
    _weigh(residual, lit, level, spread, _NO_PULL, weights)
    matrix, _ = normal_equations(grid, weights, residual)
    factor = factorise(matrix, _ALL, terms, 1e-9 * (matrix[0, 0] + 1))
    height, width = residual.shape
    leverage = 0.0
    for at_y in range(_LEVERAGE_POINTS):
        for at_x in range(_LEVERAGE_POINTS):
            y, x = at_y * (height - 1) // (_LEVERAGE_POINTS - 1), at_x * (width - 1) // (_LEVERAGE_POINTS - 1)
            if lit[y, x]:
                leverage = max(leverage, leverage_at(grid, factor, y, x))
    return narrowest(ordered, JUDGED_SHARE)[1] * sqrt(1 + _ALIKE_BLOCKS * leverage)


@numba.njit(nogil=True, cache=True)
def _lit_ones(samples: Samples, lit: Lit) -> Samples:
    """The samples that are lit, in a row."""
    kept = np.empty(samples.size, np.float32)
    count = 0
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            kept[count] = samples[y, x]
            count += lit[y, x]
    return kept[:count]


@numba.njit(nogil=True, cache=True)
def _most_frequent_level(ordered: Samples) -> tuple[float, float]:
    """The middle of the narrowest interval that holds a twelfth of the samples, and the σ of a Gaussian as dense.

    Cells add to the phase, so the median would lean towards them. The narrowest part does not, as long as a twelfth of
    the frame is background: cells scatter over radians, the background over hundredths.
    """
    start, width, held = narrowest(ordered, 1 / 12)
    middle = 0.5 * (ordered[start + (held - 1) // 2] + ordered[start + held // 2])
    # Of a Gaussian, the central twelfth spans ±0.1046 σ.
    return middle, max(width / (2 * 0.1046), 1e-3)


@numba.njit(nogil=True, cache=True)
def narrowest(ordered: Samples, share: float) -> tuple[int, float, int]:
    """Where the narrowest interval that holds `share` of the samples begins, its width, and how many it holds."""
    held = max(int(len(ordered) * share), min(len(ordered), 8))
    start, least = 0, np.float32(np.inf)
    for first in range(len(ordered) - held + 1):
        width = ordered[first + held - 1] - ordered[first]
        if width < least:
            start, least = first, width
    return start, float(least), held
