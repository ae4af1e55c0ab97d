"""Phase maps of which everything is known: discs and caps on a noisy ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def caps(
    shape: tuple[int, int],
    cells: list[tuple[float, float, float, float]],
    noise_rad: float = 0.0,
    level_rad: float = 0.0,
) -> NDArray[np.float32]:
    """Half ellipsoids (y, x, radius in px, height in rad), which touch like cells: the larger phase wins."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    phase = np.zeros(shape)
    for y, x, radius, height in cells:
        cap = np.sqrt(np.maximum(1 - ((rows - y) ** 2 + (columns - x) ** 2) / radius**2, 0))
        phase = np.maximum(phase, height * cap)
    phase += level_rad + np.random.default_rng(0).normal(0, noise_rad, shape)
    return phase.astype(np.float32)


def cap_sum(radius: float, height: float) -> float:
    """Σφ of a cap, in rad·px: 2/3 π r² h."""
    return 2 / 3 * np.pi * radius**2 * height
