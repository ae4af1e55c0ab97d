"""Least squares whose weights follow from what is left over, in rounds: how the background finds the ground.

One kernel for all of its fits lets go of the interpreter lock once for all of its rounds. A live pipeline has other
threads that want it. It takes a plain table of the terms' values, and vectors. Every further loop over rows and columns
takes Numba as long to compile as the whole of the fit once took.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.polynomial import SUMS, factorise, solve, sort_samples

Samples = NDArray[np.float32]
Values = NDArray[np.float64]

RIM = np.float32(0)
"""As `reach`: no ground and objects, but Cauchy weights by the size of what is left over; all weigh the same at first.
"""

_CONVERGED_RAD = 1e-3
_RIDGE, _RIM_RIDGE, _LAST_RIDGE = 1e-6, 1e-9, 1e-9  # of the weights' sum: where the ground leaves gaps
_KEPT_SIGMAS = 2.5
# Times the range that counts as ground: what lies farther off is object. One side has none where it has less than these
# shares of all blocks and of what lies on the other side.
_OUTLYING, _FEW, _FEWER = 1.6, 0.05, 0.3


class Fitted(NamedTuple):
    """What `fit_in_rounds` made of the samples.

    Attributes:
        values: (terms,) float64.
        ordered: (samples,) float32 what is left over, in rising order; its size where `reach` is `RIM`.
        matrix, right: (terms, terms) and (terms,) float64, the last round's normal equations for the values; of the
            matrix the lower triangle.
        ridge: what they need on the diagonal.
        leverage: by how much the variance of the fit exceeds, at worst, that of one sample.
    """

    values: Values
    ordered: Samples
    matrix: Values
    right: Values
    ridge: float
    leverage: float


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def fit_in_rounds(
    terms: Samples, samples: Samples, start: Values, most_rounds: int, reach: np.float32, points: NDArray[np.int64]
) -> Fitted:
    """Fit to what lies near the most frequent level, from the values `start` on.

    Where objects lie on one side only, what lies on the other side is ground that the polynomial has not met yet. It
    pulls, but only as hard as a sample at the edge of the ground would, and not from anywhere (Hampel 1974).

    Args:
        terms: (terms or more, samples) float32, each term's value at each sample; well conditioned, since sums are made
            in float32. Rounds refine what that leaves.
        samples: (samples,) float32 in rad, finite.
        start: (terms,) float64.
        most_rounds: before the last one, which changes the values no more.
        reach: how far a sample on the side without objects may lie off and still pull, times the range that counts as
            ground; not at all where it is 1. Or `RIM`.
        points: places among the samples where to look for the largest leverage.
    """
    values, count = start.copy(), len(samples)
    residual, weights = np.empty(count, np.float32), np.ones(count, np.float32)
    matrix, right = np.empty((len(start), len(start))), np.empty(len(start))
    is_settled, is_rim = count == 0, reach == RIM
    for round_number in range(most_rounds + 1):
        is_last = is_settled or round_number == most_rounds
        ordered = sort_samples(_left_over(terms, samples, values, is_rim, residual))
        if not is_rim:
            _weigh_ground(residual, ordered, np.float32(1) if is_last else reach, weights)
        elif round_number > 0:
            _weigh_rims(residual, ordered, weights)
        _normal_equations(terms, weights, residual, matrix, right)
        ridge = _RIM_RIDGE * (count + 1) if is_rim else (_LAST_RIDGE if is_last else _RIDGE) * (matrix[0, 0] + 1)
        factor = factorise(matrix, ridge)
        if is_last:
            break
        step = solve(factor, right)
        is_settled = True
        for term in range(len(values)):
            values[term] += step[term]
            is_settled &= abs(step[term]) < _CONVERGED_RAD
    for one in range(len(values)):
        for other in range(len(values)):
            right[one] += matrix[max(one, other), min(one, other)] * values[other]
    return Fitted(values, ordered, matrix, right, ridge, _largest_leverage(terms, factor, points))


@numba.njit(inline="always", cache=True)
def _left_over(terms: Samples, samples: Samples, values: Values, is_rim: bool, residual: Samples) -> Samples:
    """What is left over goes to `residual`; that or its size, for sorting."""
    for k in range(len(samples)):
        residual[k] = samples[k]
    for term in range(len(values)):
        value = np.float32(values[term])
        for k in range(len(samples)):
            residual[k] -= value * terms[term, k]
    sizes = np.empty_like(residual)
    for k in range(len(samples)):
        sizes[k] = abs(residual[k]) if is_rim else residual[k]
    return sizes


@numba.njit(inline="always", cache=True)
def _normal_equations(terms: Samples, weights: Samples, residual: Samples, matrix: Values, right: Values) -> None:
    """Least squares for what is left over; of the matrix the lower triangle."""
    weighted = np.empty_like(residual)
    for one in range(len(right)):
        total = np.float32(0)
        for k in range(len(residual)):
            weighted[k] = weights[k] * terms[one, k]
        for k in range(len(residual)):
            total += weighted[k] * residual[k]
        right[one] = total
        for other in range(one + 1):
            total = np.float32(0)
            for k in range(len(residual)):
                total += weighted[k] * terms[other, k]
            matrix[one, other] = total


@numba.njit(inline="always", cache=True)
def _largest_leverage(terms: Samples, factor: Values, points: NDArray[np.int64]) -> float:
    largest = 0.0
    at_point = np.empty(len(factor))
    for place in points:
        for term in range(len(factor)):
            at_point[term] = terms[term, place]
        solved = solve(factor, at_point)
        here = 0.0
        for term in range(len(factor)):
            here += solved[term] * at_point[term]
        largest = max(largest, here)
    return largest


@numba.njit(inline="always", cache=True)
def _weigh_rims(residual: Samples, ordered: Samples, weights: Samples) -> None:
    """Cauchy weights by the median size."""
    per_square = np.float32(1 / max(1.4826 * float(ordered[len(ordered) // 2]), 1e-4) ** 2)
    for k in range(len(residual)):
        weights[k] = np.float32(1) / (np.float32(1) + residual[k] * residual[k] * per_square)


@numba.njit(inline="always", cache=True)
def _weigh_ground(residual: Samples, ordered: Samples, reach: np.float32, weights: Samples) -> None:
    """1 on the ground, which is near the most frequent level, and 0 on objects; what pulls in between.

    Cells add to the phase, so the median would lean towards them. The narrowest part does not, as long as a twelfth of
    the frame is background: cells scatter over radians, the background over hundredths.
    """
    count = len(residual)
    held = max(count // 12, min(count, 8))
    start, least = 0, np.float32(np.inf)
    for first in range(count - held + 1):
        width = ordered[first + held - 1] - ordered[first]
        if width < least:
            start, least = first, width
    middle = np.float32(0.5) * (ordered[start + (held - 1) // 2] + ordered[start + held // 2])
    sigma = max(float(least) / (2 * 0.1046), 1e-3)  # of a Gaussian, the central twelfth spans ±0.1046 σ
    per_range = np.float32(1 / (_KEPT_SIGMAS * sigma))
    outlying = np.float32(_OUTLYING)
    above, below = 0, 0
    for k in range(count):
        off = (residual[k] - middle) * per_range
        weights[k] = 1 if abs(off) < 1 else 0
        above += 1 if off > outlying else 0
        below += 1 if off < -outlying else 0
    few = _FEW * count
    side = np.float32(0)
    if below < min(few, _FEWER * above):
        side = np.float32(-1)
    elif above < min(few, _FEWER * below):
        side = np.float32(1)
    if side != 0 and reach > 1:
        for k in range(count):
            off = side * (residual[k] - middle) * per_range
            if 1 <= off < reach:
                weights[k] = 1 / off
