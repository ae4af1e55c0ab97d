"""Phase as other microscopes would show it: differential interference contrast, dark field, its gradient."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import scipy.fft
from numpy.typing import NDArray


def gradient_rad_per_px(phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """|∇φ|, (H, W) float32 in rad per pixel, by central differences, one-sided at the edge."""
    down, right = np.gradient(phase_rad)
    steepness: NDArray[np.float32] = np.hypot(down, right).astype(np.float32)
    return steepness


def dic(
    phase_rad: NDArray[np.float32], shear_px: float = 1.0, direction_deg: float = 45.0, bias_rad: float = np.pi / 2
) -> NDArray[np.float32]:
    """What differential interference contrast would show, (H, W) float32, 0 … 1, ½ where the phase is level.

    Intensity of two images sheared against each other, (1 − cos(Δφ + bias))/2, with Δφ from the gradient along the
    shear (Preza, Snyder & Conchello, J. Opt. Soc. Am. A 16, 2185, 1999, eq. 3, with a small shear).

    Args:
        phase_rad: (H, W) float32 in rad.
        shear_px: distance of the two images, in pixels.
        direction_deg: of the shear, from x towards y.
        bias_rad: phase between the two images on level ground.
    """
    down, right = np.gradient(phase_rad)
    angle = radians(direction_deg)
    step = shear_px * (sin(angle) * down + cos(angle) * right)
    intensity: NDArray[np.float32] = ((1 - np.cos(step + bias_rad)) / 2).astype(np.float32)
    return intensity


def darkfield(
    phase_rad: NDArray[np.float32], amplitude: NDArray[np.float32] | None = None, stop: float = 0.01
) -> NDArray[np.float32]:
    """What a dark field would show, (H, W) float32 ≥ 0: the intensity of all light but the undeflected.

    The field's spectrum within a disc around its centre is blocked (Goodman 2005, §8.1); intensities are relative to
    the mean of the whole field.

    Args:
        phase_rad: (H, W) float32 in rad.
        amplitude: (H, W) float32; None: 1.
        stop: radius of the disc, in cycles per pixel.
    """
    if not 0 <= stop < 0.5:
        raise ValueError(f"expected a stop of 0 … 0.5 cycles per pixel, got {stop!r}")
    field = np.exp(1j * phase_rad).astype(np.complex64)
    if amplitude is not None:
        field *= amplitude
    spectrum = scipy.fft.fft2(field)
    fy, fx = scipy.fft.fftfreq(field.shape[0])[:, None], scipy.fft.fftfreq(field.shape[1])[None, :]
    power = float(np.mean(np.abs(field) ** 2))
    spectrum[fy**2 + fx**2 <= stop**2] = 0
    scattered: NDArray[np.float32] = (np.abs(scipy.fft.ifft2(spectrum)) ** 2 / max(power, 1e-30)).astype(np.float32)
    return scattered
