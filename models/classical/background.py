"""The instrument's own phase, fitted to the background of an unwrapped phase map and taken off it.

Without a calibration frame the tilt, defocus and higher aberrations of the microscope lie under the sample. They are
smooth, the sample is not, and where there is no sample the phase is theirs alone.
"""

from __future__ import annotations

from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

_LARGEST_BLOCK_PX = 16  # samples are means over blocks, which takes the noise off and the number down
_FEWEST_BLOCKS = 32  # along an edge; small frames have smaller blocks, so that there is enough to fit
_MOST_ROUNDS = 16
_CONVERGED_RAD = 1e-3
_KEPT_SIGMAS = 2.5


class BackgroundFit:
    """A polynomial background for phase maps of one shape.

    The slopes of the map are fitted first, with Cauchy weights: a cell's slopes cancel around its rim and scatter,
    whereas the background's agree, so the fit holds even where cells cover much of the frame. Then the polynomial
    itself is fitted to what lies near the most frequent level, in rounds (after Colomb et al. 2006, who fit the
    aberration where the specimen is flat).

    Attributes:
        block_px: edge of the squares over whose means the polynomial is fitted.

    Args:
        shape: (H, W) in pixels.
        order: highest total power of y and x, 0 … 6; 0 takes only the level off.

    Raises:
        ValueError: the order is outside of 0 … 6.
    """

    def __init__(self, shape: tuple[int, int], order: int = 4, threads: int | None = None) -> None:
        if not 0 <= order <= 6:
            raise ValueError(f"expected a background order of 0 to 6, got {order}")
        self.shape = shape
        self.order = order
        self.block_px = max(1, min(_LARGEST_BLOCK_PX, min(shape) // _FEWEST_BLOCKS))
        self._bands = RowBands(shape[0], threads)
        self._powers = [(i, total - i) for total in range(order + 1) for i in range(total + 1)]

    def remove(self, phase_rad: NDArray[np.float32]) -> NDArray[np.float64]:
        """Take the background off `phase_rad`, (H, W) float32 in rad, in place.

        Returns:
            (order + 1, order + 1) float64 coefficients c[i, j] of y^i x^j in rad; y and x run from −1 to 1 across the
            frame.
        """
        coefficients = self.fit(_block_means(phase_rad, self.block_px))
        self._bands.run(_subtract_polynomial, coefficients, phase_rad)
        return coefficients

    def fit(self, means_rad: NDArray[np.float32]) -> NDArray[np.float64]:
        """The background of a phase map of which only block means are at hand.

        Args:
            means_rad: (H // block_px, W // block_px) float32 in rad, means over squares of `block_px` pixels.

        Returns:
            The coefficients that `remove` returns.
        """
        coefficients = np.zeros((self.order + 1, self.order + 1))
        for (i, j), value in zip(self._powers, self._fit(means_rad), strict=True):
            coefficients[i, j] = value
        return coefficients

    def _fit(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        values = np.zeros(len(self._powers))
        if self.order > 0:
            values[1:] = self._fit_slopes(samples)
        flat = samples.ravel().astype(np.float64)
        residual = flat - values @ self._design
        side = _side_of_the_cells(residual)
        for _ in range(_MOST_ROUNDS):
            level, spread = _most_frequent_level(residual)
            above = side * (residual - level) / (_KEPT_SIGMAS * spread)
            # What stands out on the cells' side is cell. Nothing should lie on the other side of the background, so
            # what does pulls the fit over, but only as hard as a sample at the edge would (Huber 1964).
            weights = np.where(above > 1, 0.0, 1 / np.maximum(1.0, -above))
            # A little of the old fit stands in where the background leaves gaps.
            step = _solve_weighted(self._design, weights, residual, ridge=1e-6 * weights.sum())
            values += step
            residual = flat - values @ self._design
            if np.abs(step).max() < _CONVERGED_RAD:
                break
        return values

    def _fit_slopes(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """All coefficients but the level, from the differences between neighbouring blocks."""
        slopes = np.concatenate((np.diff(samples, axis=0).ravel(), np.diff(samples, axis=1).ravel())).astype(np.float64)
        weights = np.ones_like(slopes)
        values = np.zeros(len(self._slope_design))
        for _ in range(_MOST_ROUNDS):
            before = values
            values = _solve_weighted(self._slope_design, weights, slopes, ridge=1e-9 * len(slopes))
            if np.abs(values - before).max() < _CONVERGED_RAD:
                break
            residual = np.abs(slopes - values @ self._slope_design)
            spread = max(1.4826 * float(np.median(residual)), 1e-4)
            weights = 1 / (1 + (residual / spread) ** 2)
        return values

    @cached_property
    def _design(self) -> NDArray[np.float64]:
        """(terms, blocks) powers of y and x at the blocks' centres."""
        height, width = (length // self.block_px for length in self.shape)
        y, x = (_positions(n, length, self.block_px) for n, length in zip((height, width), self.shape, strict=True))
        return np.stack([np.outer(y**i, x**j).ravel() for i, j in self._powers])

    @cached_property
    def _slope_design(self) -> NDArray[np.float64]:
        """(terms − 1, differences), what `_design` changes by between neighbouring blocks; the level does not."""
        height, width = (length // self.block_px for length in self.shape)
        grid = self._design[1:].reshape(-1, height, width)
        slopes = [np.diff(grid, axis=axis).reshape(len(grid), -1) for axis in (1, 2)]
        return np.concatenate(slopes, axis=1)


def _positions(blocks: int, length: int, block: int) -> NDArray[np.float64]:
    """The centres of the blocks along an axis of `length` pixels, on the scale −1 … 1."""
    centres = np.arange(blocks) * block + (block - 1) / 2
    return 2 * centres / (length - 1) - 1


def _side_of_the_cells(residual: NDArray[np.float64]) -> int:
    """+1 where most of the phase off the background's level lies above it, −1 where below (the other sideband)."""
    level, _ = _most_frequent_level(residual)
    return 1 if residual.mean() >= level else -1


def _most_frequent_level(residual: NDArray[np.float64]) -> tuple[float, float]:
    """The middle of the narrowest interval that holds a twelfth of the samples, and the σ of a Gaussian as dense.

    Cells add to the phase, so the median would lean towards them. The narrowest part does not, as long as a twelfth of
    the frame is background: cells scatter over radians, the background over hundredths.
    """
    ordered = np.sort(residual)
    held = max(len(ordered) // 12, min(len(ordered), 8))
    widths = ordered[held - 1 :] - ordered[: len(ordered) - held + 1]
    start = int(np.argmin(widths))
    # Of a Gaussian, the central twelfth spans ±0.1046 σ.
    return float(np.median(ordered[start : start + held])), max(float(widths[start]) / (2 * 0.1046), 1e-3)


def _solve_weighted(
    design: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Weighted least squares; `ridge` is added to the diagonal, so that there always is a solution."""
    normal, right = _normal_equations(design, weights, target)
    normal[np.diag_indices_from(normal)] += ridge
    return np.linalg.solve(normal, right).astype(np.float64, copy=False)


# Compiled, and not left to the linear algebra library: at this size its threads cost more than the arithmetic, and
# fifty times more when the cores are busy with the rest of the line. Sums may be reordered, so that they vectorise.
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _normal_equations(
    design: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
def _block_means(phase_rad: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """(H // block, W // block) means; rows and columns that do not fill a block are left out."""
    height, width = phase_rad.shape[0] // block, phase_rad.shape[1] // block
    means = np.empty((height, width), np.float32)
    column_sums = np.empty(width * block, np.float32)
    for row in range(height):
        column_sums[:] = 0
        for y in range(row * block, (row + 1) * block):
            for x in range(len(column_sums)):
                column_sums[x] += phase_rad[y, x]
        for column in range(width):
            total = np.float32(0)
            for x in range(column * block, (column + 1) * block):
                total += column_sums[x]
            means[row, column] = total / np.float32(block * block)
    return means


@numba.njit(nogil=True, cache=True)
def _subtract_polynomial(
    first_row: int, last_row: int, coefficients: NDArray[np.float64], phase: NDArray[np.float32]
) -> None:
    """Take Σ c[i, j] y^i x^j off each pixel: one polynomial in x a row, by Horner's rule."""
    height, width = phase.shape
    terms = len(coefficients)
    row = np.empty(terms, np.float32)
    for y in range(first_row, last_row):
        at_y = 2 * y / (height - 1) - 1
        for j in range(terms):
            power_sum = 0.0
            for i in range(terms - 1, -1, -1):
                power_sum = power_sum * at_y + coefficients[i, j]
            row[j] = np.float32(power_sum)
        scale = np.float32(2 / (width - 1))
        for x in range(width):
            at_x = scale * np.float32(x) - np.float32(1)
            value = row[terms - 1]
            for j in range(terms - 2, -1, -1):
                value = value * at_x + row[j]
            phase[y, x] -= value
