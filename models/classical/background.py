"""A polynomial fitted to the ground between the objects of an unwrapped phase map.

Without a calibration frame the tilt, defocus and higher aberrations of the microscope lie under the sample. They are
smooth, the sample is not, and where there is no sample the phase is theirs alone.
"""

from __future__ import annotations

from math import sqrt

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

_STEP_ROUNDS, _TRIAL_ROUNDS, _MOST_ROUNDS = 8, 3, 10
_CONVERGED_RAD = 1e-3
_RIDGE = 1e-6  # of the weights' sum: a little of the old fit stands in where the ground leaves gaps
_STEP_RIDGE = 1e-9
_KEPT_SIGMAS = 2.5
JUDGED_SHARE = 0.25  # of the blocks: the flattest ones, whose spread tells the orders apart
_WORTH_AN_ORDER = 0.9  # a higher order must bring the likely error below this part of a lower one's
_BLOCKS_A_TERM = 4
_ALIKE_BLOCKS = 0.3  # neighbours err alike, so that so many count as one sample
_LEVERAGE_POINTS = 8  # along an edge
# Times the range that counts as ground: what lies farther off is object. One side has none where it has less than these
# shares of all blocks and of what lies on the other side.
_OUTLYING, _FEW, _FEWER = 1.6, 0.05, 0.3
_PULLING = 4.0  # times that range: what lies farther off on the side without objects is no ground either


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
        values, spread = _fit(means_rad, lit, self._all, self._every_other, self._steps, self.order)
        order = next(order for order in range(self.order + 1) if count_terms(order) == len(values))
        return Aberration(as_matrix(self._all, values), order, spread)

    def values(self, aberration: Aberration) -> Samples:
        """The aberration's means over the blocks, as near as their centres tell, of the shape that `fit` takes."""
        powers = self.order + 1
        along_x = aberration.coefficients @ self._all.powers_x[:powers]
        values: Samples = (self._all.powers_y[:powers].T @ along_x).astype(np.float32)
        return values


# One call without the interpreter lock: a live pipeline has other threads that want it, and each time that it is let go
# and taken again may cost more than the fit.
@numba.njit(nogil=True, cache=True)
def _fit(
    means: Samples, lit: Lit, whole: Grid, every_other: Grid, steps: StepGrid, highest: int
) -> tuple[Values, float]:
    values = _best_order(means, lit, every_other, steps, highest)
    residual = np.empty_like(means)
    values = _settle(whole, means, lit, values, _MOST_ROUNDS, True, residual)
    return values, narrowest(sort_samples(_lit_ones(residual, lit)), JUDGED_SHARE)[1]


@numba.njit(nogil=True, cache=True)
def _best_order(means: Samples, lit: Lit, grid: Grid, steps: StepGrid, highest: int) -> Values:
    """The terms' values, roughly, up to the order that the ground asks for and supports."""
    samples, their_lit = means[::2, ::2].copy(), lit[::2, ::2].copy()
    blocks = np.count_nonzero(their_lit)
    while highest > 0 and count_terms(highest) * _BLOCKS_A_TERM > blocks:
        highest -= 1
    best = np.zeros(1)
    if highest == 0:
        return best
    matrix, right, ridge = fit_steps(means, lit, steps, count_terms(highest))
    least, residual = np.inf, np.empty_like(samples)
    for order in range(1, highest + 1):
        terms = count_terms(order)
        start = np.zeros(terms)
        start[1:] = solve(factorise(matrix[1:, 1:], terms - 1, ridge), right[1:])
        values = _settle(grid, samples, their_lit, start, _TRIAL_ROUNDS, False, residual)
        error = _likely_error(grid, residual, their_lit, terms)
        if error < _WORTH_AN_ORDER * least:
            best, least = values, error
    return best


@numba.njit(nogil=True, cache=True)
def fit_steps(
    means: Samples, lit: Lit, grid: StepGrid, terms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Normal equations for the steps between neighbouring blocks, with weights that leave out the objects' rims."""
    rows, columns = grid.step_y.shape[1], grid.step_x.shape[1]
    steps, weights = np.zeros((2, rows, columns), np.float32), np.zeros((2, rows, columns), np.float32)
    for row in range(rows):
        for x in range(columns):
            for axis in range(2):
                y2, x2 = (2 * row + 1, 2 * x) if axis == 0 else (2 * row, 2 * x + 1)
                if lit[2 * row, 2 * x] and lit[y2, x2]:
                    steps[axis, row, x] = means[y2, x2] - means[2 * row, 2 * x]
                    weights[axis, row, x] = 1
    are_steps = weights > 0
    count = np.count_nonzero(are_steps)
    ridge = _STEP_RIDGE * (count + 1)
    residual = np.empty_like(steps)
    values = np.zeros(terms)
    matrix, right = step_equations(grid, weights, steps)
    for _ in range(_STEP_ROUNDS - 1):
        before = values.copy()
        values[1:] = solve(factorise(matrix[1:, 1:], terms - 1, ridge), right[1:])
        if count == 0 or np.abs(values - before).max() < _CONVERGED_RAD:
            break
        subtract_steps(grid, values, steps, residual)
        sizes = sort_samples(_lit_ones(np.abs(residual), are_steps))
        inverse_square = np.float32(1 / max(1.4826 * float(sizes[count // 2]), 1e-4) ** 2)
        for axis in range(2):
            for row in range(rows):
                for x in range(columns):
                    weight = np.float32(1) / (np.float32(1) + residual[axis, row, x] ** 2 * inverse_square)
                    weights[axis, row, x] = weight if are_steps[axis, row, x] else np.float32(0)
        matrix, right = step_equations(grid, weights, steps)
    return matrix, right, ridge


@numba.njit(nogil=True, cache=True)
def _settle(
    grid: Grid, samples: Samples, lit: Lit, values: Values, rounds: int, may_be_one_sided: bool, residual: Samples
) -> Values:
    """Fit to what lies near the most frequent level, from `values` on; what is left over goes to `residual`."""
    subtract_values(grid, values, samples, residual)
    weights = np.empty_like(samples)
    for _ in range(rounds):
        level, spread = _most_frequent_level(sort_samples(_lit_ones(residual, lit)))
        _weigh(residual, lit, level, spread, may_be_one_sided, weights)
        matrix, right = normal_equations(grid, weights, residual)
        step = solve(factorise(matrix, len(values), _RIDGE * (matrix[0, 0] + 1e-3)), right)
        values = values + step
        subtract_values(grid, values, samples, residual)
        if np.abs(step).max() < _CONVERGED_RAD:
            break
    return values


@numba.njit(nogil=True, cache=True)
def _weigh(residual: Samples, lit: Lit, level: float, spread: float, may_be_one_sided: bool, weights: Samples) -> None:
    """1 on the ground and 0 on objects.

    Where objects lie on one side only, what lies on the other side is ground that the polynomial has not met yet. It
    pulls, but only as hard as a sample at the edge of the ground would, and not from anywhere (Hampel 1974).
    """
    height, width = residual.shape
    middle, per_range = np.float32(level), np.float32(1 / (_KEPT_SIGMAS * spread))
    outlying, reach = np.float32(_OUTLYING), np.float32(_PULLING)
    above = below = 0
    for y in range(height):
        for x in range(width):
            off = (residual[y, x] - middle) * per_range
            weights[y, x] = 1 if abs(off) < 1 and lit[y, x] else 0
            above += off > outlying and lit[y, x]
            below += off < -outlying and lit[y, x]
    few = _FEW * np.count_nonzero(lit)
    side = np.float32(0)
    if below < min(few, _FEWER * above):
        side = np.float32(-1)
    elif above < min(few, _FEWER * below):
        side = np.float32(1)
    if side == 0 or not may_be_one_sided:
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
    _weigh(residual, lit, level, spread, False, weights)
    matrix, _ = normal_equations(grid, weights, residual)
    factor = factorise(matrix, terms, 1e-9 * (matrix[0, 0] + 1))
    height, width = residual.shape
    leverage = 0.0
    for at_y in range(_LEVERAGE_POINTS):
        for at_x in range(_LEVERAGE_POINTS):
            y, x = at_y * (height - 1) // (_LEVERAGE_POINTS - 1), at_x * (width - 1) // (_LEVERAGE_POINTS - 1)
            if lit[y, x]:
                leverage = max(leverage, leverage_at(grid, factor, y, x))
    return narrowest(ordered, JUDGED_SHARE)[1] * sqrt(1 + _ALIKE_BLOCKS * leverage)


@numba.njit(nogil=True, cache=True)
def _lit_ones(samples, lit):  # type: ignore[no-untyped-def]
    """The samples that are lit, in a row."""
    flat, are_lit = samples.ravel(), lit.ravel()
    kept = np.empty(len(flat), np.float32)
    count = 0
    for k in range(len(flat)):
        kept[count] = flat[k]
        count += are_lit[k]
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
