"""A phase map on 128 × 128 blocks, whatever the frame, and polynomials over it: what the learned background works on.

The map always spans the whole frame, so blocks are as oblong as the frame is. Its polynomials are those of
`BackgroundFit`: c[i, j] y^i x^j, with y and x from −1 to 1 across the frame's pixels.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

EDGE = 128
"""Blocks along each side of the map."""

RIDGE = 1e-3
"""How hard a solve holds on to the polynomial it starts from, against weights of mean 1."""

_SLOPE_ROUNDS = 6
_CONVERGED_RAD = 1e-3
_LARGEST_LOG_WEIGHT, _SMALLEST_LOG_WEIGHT = 4.0, -8.0

Map = NDArray[np.float32]
Coefficients = NDArray[np.float64]


class BlockMap:
    """The blocks of frames of one shape, and least squares of polynomials over them.

    Attributes:
        powers: (i, j) of each term y^i x^j, in the order of all coefficient vectors here.
        orthonormal: (terms, 128²) float64 polynomials over the blocks whose products have the mean 1 or 0.

    Args:
        y, x: positions of the rows and the columns that the blocks are made of, −1 … 1 across the frame: those of its
            pixels, or of means over a few of them.
        order: highest total power of y and x, 0 … 6.
    """

    def __init__(self, y: NDArray[np.float64], x: NDArray[np.float64], order: int = 4) -> None:
        self.powers = [(i, total - i) for total in range(order + 1) for i in range(total + 1)]
        self._edges = tuple(_block_edges(len(positions)) for positions in (y, x))
        y, x = (_centres(edges, positions) for edges, positions in zip(self._edges, (y, x), strict=True))
        self._design = np.stack([np.outer(y**i, x**j).ravel() for i, j in self.powers])
        q, r = np.linalg.qr(self._design.T)
        self.orthonormal: NDArray[np.float64] = np.ascontiguousarray(q.T) * EDGE
        self._from_powers = r / EDGE
        self._to_powers = np.linalg.inv(self._from_powers)
        halved = self._design.reshape(-1, EDGE // 2, 2, EDGE // 2, 2).mean((2, 4))[1:]
        slopes = [np.diff(halved, axis=axis).reshape(len(halved), -1) for axis in (1, 2)]
        self._slope_design = np.concatenate(slopes, axis=1)

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

    def first_guess(self, means_rad: Map, valid: Map) -> Coefficients:
        """A polynomial that flattens the map roughly: its slopes fitted with Cauchy weights, then the median's level.

        A polynomial added to the map is added to the guess and to nothing else, so that what the network sees, the
        map without the guess, does not depend on the instrument's aberration.
        """
        halved, both = _halved(means_rad, valid)
        slopes, weights = _differences(halved, both)
        values = np.zeros(len(self.powers))
        held = weights > 0
        if held.sum() > len(values):
            values[1:] = _fit_slopes(self._slope_design, slopes, weights)
        flat = means_rad - self.polynomial(values)
        seen = flat[valid > 0]
        values[0] = float(np.median(seen)) if seen.size else 0.0
        return values

    def to_orthonormal(self, coefficients: Coefficients) -> Coefficients:
        """The same polynomial in terms of `orthonormal`."""
        converted: Coefficients = self._from_powers @ coefficients
        return converted

    def polynomial(self, coefficients: Coefficients) -> Map:
        """(128, 128) float32, the polynomial over the blocks, in rad."""
        values: Map = (coefficients @ self._design).reshape(EDGE, EDGE).astype(np.float32)
        return values

    def solve(self, background_rad: Map, log_weight: Map, valid: Map) -> Coefficients:
        """The polynomial nearest to `background_rad` in the mean weighted square.

        Args:
            background_rad: (128, 128) float32 what is taken for background, in rad.
            log_weight: (128, 128) float32 natural logarithm of each block's weight; cut to −8 … 4.
            valid: (128, 128) float32; blocks of 0 do not count.
        """
        weights = block_weights(log_weight, valid).ravel().astype(np.float64)
        normal, right = _normal_equations(self.orthonormal, weights, background_rad.ravel().astype(np.float64))
        normal /= EDGE**2
        right /= EDGE**2
        normal[np.diag_indices_from(normal)] += RIDGE
        solved: Coefficients = self._to_powers @ np.linalg.solve(normal, right)
        return solved

    def matrix(self, coefficients: Coefficients) -> NDArray[np.float64]:
        """(order + 1, order + 1) float64 c[i, j] of y^i x^j, as `BackgroundFit` returns them."""
        terms = max(i for i, _ in self.powers) + 1
        matrix = np.zeros((terms, terms))
        for (i, j), value in zip(self.powers, coefficients, strict=True):
            matrix[i, j] = value
        return matrix


def block_weights(log_weight: Map, valid: Map) -> Map:
    """Weights of mean 1 over the map, 0 where it is not valid."""
    weights = np.exp(np.clip(log_weight, _SMALLEST_LOG_WEIGHT, _LARGEST_LOG_WEIGHT)) * valid
    scaled: Map = weights / max(float(weights.mean()), 1e-12)
    return scaled


def _block_edges(length: int) -> NDArray[np.int64]:
    """(128, 2) first pixel of each block and the one behind its last; blocks of a short side share pixels."""
    first = np.arange(EDGE) * length // EDGE
    behind = np.maximum(np.arange(1, EDGE + 1) * length // EDGE, first + 1)
    return np.stack((first, behind), axis=1)


def _centres(edges: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The blocks' centres, on the scale of the positions."""
    return np.array([positions[first:behind].mean() for first, behind in edges])


def _halved(means_rad: Map, valid: Map) -> tuple[Map, Map]:
    """Both maps on 64 × 64 blocks: mean, and 1 where all four were valid."""
    quarters = means_rad.reshape(EDGE // 2, 2, EDGE // 2, 2)
    whole = valid.reshape(EDGE // 2, 2, EDGE // 2, 2).min(axis=(1, 3))
    return quarters.mean(axis=(1, 3)), whole


def _differences(means_rad: Map, valid: Map) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The differences between neighbouring blocks down, then across; and 1 where both blocks are valid."""
    slopes = [np.diff(means_rad, axis=axis).ravel() for axis in (0, 1)]
    weights = [(valid[1:] * valid[:-1]).ravel(), (valid[:, 1:] * valid[:, :-1]).ravel()]
    return np.concatenate(slopes).astype(np.float64), np.concatenate(weights).astype(np.float64)


def _fit_slopes(
    design: NDArray[np.float64], slopes: NDArray[np.float64], held: NDArray[np.float64]
) -> NDArray[np.float64]:
    weights = held
    values: Coefficients = np.zeros(len(design))
    for _ in range(_SLOPE_ROUNDS):
        before = values
        normal, right = _normal_equations(design, weights, slopes)
        normal[np.diag_indices_from(normal)] += 1e-9 * len(slopes)
        values = np.linalg.solve(normal, right).astype(np.float64, copy=False)
        if np.abs(values - before).max() < _CONVERGED_RAD:
            break
        residual = np.abs(slopes - values @ design)
        spread = max(1.4826 * float(np.median(residual[held > 0])), 1e-4)
        weights = held / (1 + (residual / spread) ** 2)
    return values


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _normal_equations(
    design: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compiled rather than BLAS, whose threads cost more than so small a product; see `background`."""
    terms, samples = design.shape
    normal, right = np.empty((terms, terms)), np.empty(terms)
    weighted = np.empty(samples)
    for i in range(terms):
        total = 0.0
        for sample in range(samples):
            weighted[sample] = weights[sample] * design[i, sample]
            total += weighted[sample] * target[sample]
        right[i] = total
        for j in range(i + 1):
            total = 0.0
            for sample in range(samples):
                total += weighted[sample] * design[j, sample]
            normal[i, j] = normal[j, i] = total
    return normal, right


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
