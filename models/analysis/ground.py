"""The level and the noise of the background between the cells."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

_BINS = 2048
_ROUNDS = 3
_ENOUGH = 30_000  # of more values, every fourth tells as much
_NOISES_AROUND = 3.0  # values farther below the level than so many times the noise say nothing about it
_LEAST_VALUES = 8
_QUARTER_WIDTH = 0.637  # of a Gaussian's shortest interval with a quarter of it, in standard deviations
_COVERED = 10.0  # times the frame's noise above its ground: a region there is covered
_LEAST_NOISE_RAD = 1e-4  # a simulated background may have none


class Ground(NamedTuple):
    """The background of one phase map.

    Attributes:
        level_rad: where it lies.
        noise_rad: standard deviation of what varies about it, slow waviness included.
    """

    level_rad: float
    noise_rad: float


def find_ground(phase_rad: NDArray[np.float32], left_out: NDArray[np.bool_] | None = None) -> Ground:
    """The background's level and noise, told from the values alone.

    Cells spread over many radians, the background over a few hundredths. So the densest values are its own, even where
    it covers a seventh of the frame. Cells lie above it, so that what lies below shows the noise undisturbed.

    Args:
        phase_rad: (H, W) float32 in rad; cells above the background.
        left_out: (H, W) bool, True on pixels without a phase.

    Returns:
        The background; of all values where no pixel is left.
    """
    if phase_rad.size > _ENOUGH:
        phase_rad, left_out = phase_rad[::2, ::2], None if left_out is None else left_out[::2, ::2]
    values = phase_rad.ravel() if left_out is None or left_out.all() else phase_rad[~left_out]
    level, noise = _densest(np.ascontiguousarray(values))
    return Ground(float(level), max(float(noise), _LEAST_NOISE_RAD))


def ground_of_region(phase_rad: NDArray[np.float32], frame: Ground) -> Ground:
    """The background's level and noise where a person says that there is nothing, though a cell may have wandered in.

    The shortest interval with a quarter of the values is the background's (Rousseeuw & Leroy, Stat. Neerl. 42, 103,
    1988, on the half), as a cell spreads over many radians. Cells lie above the background: a region that lies above
    the densest values of its frame is covered, and the frame's own ground is taken.

    Args:
        phase_rad: (n,) float32 in rad, the values in the region.
        frame: the ground of the whole frame.
    """
    if phase_rad.size == 0:
        return frame
    values = np.sort(phase_rad.astype(np.float64))
    inside = min(values.size, max(_LEAST_VALUES, values.size // 4))
    widths = values[inside - 1 :] - values[: values.size - inside + 1]
    first = int(widths.argmin())
    deviation = max(float(widths[first]) / _QUARTER_WIDTH, _LEAST_NOISE_RAD)
    level = float(np.median(values[first : first + inside]))
    level = float(np.median(values[np.abs(values - level) <= 2 * deviation]))
    if level > frame.level_rad + _COVERED * frame.noise_rad:
        return frame
    below = values[(values <= level) & (values >= level - _NOISES_AROUND * deviation)]
    return Ground(level, max(float(np.sqrt(np.mean((below - level) ** 2))), _LEAST_NOISE_RAD))


@numba.njit(nogil=True, cache=True)
def _densest(values: NDArray[np.float32]) -> tuple[float, float]:
    """The mode of `values` and the root mean square of what lies below it."""
    low, high = values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    level, noise = (low + high) / 2, (high - low) / 2
    for _ in range(_ROUNDS):  # each with finer bins around what the one before has found
        if high - low < 1e-6:
            return level, noise
        counts = np.zeros(_BINS, np.int64)
        to_bin = (_BINS - 1) / (high - low)
        inside = 0
        for value in values:
            if low <= value <= high:
                counts[int((value - low) * to_bin)] += 1
                inside += 1
        # Smoothed over so many bins that the peak does not follow single values.
        reach = max(2, int(_BINS / 64))
        best, best_count, running = 0, -1, 0
        for i in range(_BINS + reach):
            if i < _BINS:
                running += counts[i]
            if i >= 2 * reach + 1:
                running -= counts[i - 2 * reach - 1]
            if running > best_count:
                best, best_count = i - reach, running
        level = low + (best + 0.5) / to_bin
        total, squares = 0, 0.0
        limit = _NOISES_AROUND * noise
        for value in values:
            if level - limit <= value < level:
                total += 1
                squares += (value - level) ** 2
        if total == 0:
            return level, noise
        noise = np.sqrt(squares / total)
        low, high = max(low, level - 8 * noise), min(high, level + 8 * noise)
    return level, noise
