"""Plain fringes of a known phase, independent of the simulator."""

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels

SHAPE = (256, 320)


def bump(shape: tuple[int, int] = SHAPE, peak_rad: float = 8.0) -> NDArray[np.float64]:
    """One round cell a little off the middle."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    square = ((y - 0.55 * shape[0]) ** 2 + (x - 0.45 * shape[1]) ** 2) / (0.2 * min(shape)) ** 2
    return peak_rad * np.sqrt(np.clip(1 - square, 0, None)) ** 1.5


def interferogram(
    phase_rad: NDArray[np.floating],
    carrier: tuple[float, float] = (0.21, 0.26),
    bit_depth: int = 8,
    noise: float = 0.01,
    seed: int = 0,
) -> Pixels:
    """Fringes 0.5 + 0.4 cos(2π f·r + φ) of full scale with a little noise."""
    y, x = np.mgrid[: phase_rad.shape[0], : phase_rad.shape[1]]
    level = 0.5 + 0.4 * np.cos(2 * np.pi * (carrier[0] * y + carrier[1] * x) + phase_rad)
    level += np.random.default_rng(seed).normal(0, noise, phase_rad.shape)
    full_scale = 2**bit_depth - 1
    return np.rint(np.clip(level, 0, 1) * full_scale).astype(np.uint8 if bit_depth <= 8 else np.uint16)


def frame(pixels: Pixels, bit_depth: int = 8, sequence: int = 0) -> Frame:
    """A frame around pixels, captured at time 0."""
    return Frame(pixels, bit_depth, sequence, captured_ns=0, captured_monotonic_ns=0)
