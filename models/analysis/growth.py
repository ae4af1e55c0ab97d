"""How fast a cell grows: a weighted fit of its dry mass over time."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FEWEST = 3


class Growth(NamedTuple):
    """An exponential m(t) = m₀ exp(kt), as fitted.

    Attributes:
        rate_per_s: k, in 1/s.
        rate_error_per_s: its standard error.
        start: m₀ at the first time, in the unit of the masses.
        points: how many masses went in.
    """

    rate_per_s: float
    rate_error_per_s: float
    start: float
    points: int

    @property
    def doubling_s(self) -> float | None:
        """Time in which the mass doubles, in s; None where it does not grow."""
        return log(2) / self.rate_per_s if self.rate_per_s > 0 else None


def fit_growth(time_s: ArrayLike, mass: ArrayLike, error: ArrayLike | None = None) -> Growth | None:
    """The growth that explains a cell's masses best; None with fewer than 3 usable ones.

    A straight line through ln m by weighted least squares; the error of ln m is error/m (Bevington & Robinson 2003,
    §6.4). Where masses scatter more than their errors say, the rate's error is scaled up by √(χ²/ν), never down.

    Args:
        time_s: (n,) in s.
        mass: (n,) in any unit; what is not above 0 is left out.
        error: (n,) standard errors in that unit; None: all alike, and judged by the scatter.
    """
    time, masses = np.asarray(time_s, float), np.asarray(mass, float)
    errors = np.full(masses.shape, np.nan) if error is None else np.asarray(error, float)
    if not time.shape == masses.shape == errors.shape or time.ndim != 1:
        raise ValueError(f"expected as many times, masses and errors, got {time.shape}, {masses.shape}, {errors.shape}")
    usable = np.isfinite(time) & np.isfinite(masses) & (masses > 0)
    if error is not None:
        usable &= np.isfinite(errors) & (errors > 0)
    time, masses, errors = time[usable], masses[usable], errors[usable]
    if time.size < _FEWEST or np.ptp(time) == 0:
        return None
    weight = np.ones(time.size) if error is None else (masses / errors) ** 2
    return _line(time - time[0], np.log(masses), weight, error is not None)


def _line(time: NDArray[np.float64], logs: NDArray[np.float64], weight: NDArray[np.float64], known: bool) -> Growth:
    total = weight.sum()
    middle = (weight * time).sum() / total
    spread = (weight * (time - middle) ** 2).sum()
    rate = (weight * (time - middle) * logs).sum() / spread
    level = (weight * logs).sum() / total
    left = logs - level - rate * (time - middle)
    scatter = (weight * left**2).sum() / max(time.size - 2, 1)
    variance = (max(scatter, 1.0) if known else scatter) / spread
    return Growth(float(rate), float(np.sqrt(variance)), float(np.exp(level - rate * middle)), int(time.size))
