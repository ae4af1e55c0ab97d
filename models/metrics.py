"""Measures of agreement between two phase images: RMS in rad, PSNR and SSIM on the paper's scale of 0 … 12 rad."""

from __future__ import annotations

from math import inf, log10

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

PHASE_RANGE_RAD = 12.0

Phase = NDArray[np.floating]

_SIGMA_PX = 1.5
_RADIUS_PX = 5  # 11 × 11 pixels
_K1, _K2 = 0.01, 0.03


def without_level(phase_rad: Phase, reference_rad: Phase) -> Phase:
    """`phase_rad` (H, W) shifted by a constant, so that its difference from the reference has the median zero.

    Unwrapping leaves a phase undetermined by a constant (2πk, and the choice of background). The median, unlike the
    mean, does not follow a region that is wrong by a whole turn.

    Raises:
        ValueError: the two are not 2-D and of one shape.
    """
    _check(phase_rad, reference_rad)
    shifted: Phase = phase_rad - np.median(phase_rad - reference_rad).astype(phase_rad.dtype)
    return shifted


def rms_rad(phase_rad: Phase, reference_rad: Phase) -> float:
    """Root mean square difference of two (H, W) phases, in rad.

    Raises:
        ValueError: the two are not 2-D and of one shape.
    """
    _check(phase_rad, reference_rad)
    return float(np.sqrt(np.mean(np.square(phase_rad - reference_rad, dtype=np.float64))))


def psnr_db(phase_rad: Phase, reference_rad: Phase, range_rad: float = PHASE_RANGE_RAD) -> float:
    """Peak signal-to-noise ratio of two (H, W) phases in dB, 20 log10(range / RMS); infinite where they are equal.

    Where one of them is not finite it is NaN or −∞, so that every comparison by "better than" fails.

    Raises:
        ValueError: the two are not 2-D and of one shape.
    """
    error_rad = rms_rad(phase_rad, reference_rad)
    if error_rad == 0:
        return inf
    return 20 * log10(range_rad / error_rad) if error_rad < inf else error_rad * -1


def ssim(phase_rad: Phase, reference_rad: Phase, range_rad: float = PHASE_RANGE_RAD) -> float:
    """Mean structural similarity of two (H, W) phases (Wang et al. 2004, eqs. 13 and 17), 1 where they are equal.

    Gaussian window of 11 × 11 pixels with σ = 1.5, K1 = 0.01, K2 = 0.03. Windows that reach over the border are left
    out of the mean, as in the paper.

    Raises:
        ValueError: the two are not 2-D and of one shape, or smaller than the window.
    """
    _check(phase_rad, reference_rad)
    if min(phase_rad.shape) <= 2 * _RADIUS_PX:
        raise ValueError(f"expected phases of at least 11 × 11 pixels, got {phase_rad.shape}")
    x, y = phase_rad.astype(np.float64), reference_rad.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * range_rad) ** 2, (_K2 * range_rad) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    inside = slice(_RADIUS_PX, -_RADIUS_PX)
    return float(np.mean((luminance * structure)[inside, inside]))


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = gaussian_filter(values, _SIGMA_PX, radius=_RADIUS_PX)
    return blurred


def _check(phase_rad: Phase, reference_rad: Phase) -> None:
    if phase_rad.ndim != 2 or phase_rad.shape != reference_rad.shape:
        raise ValueError(f"expected two 2-D phases of one shape, got {phase_rad.shape} and {reference_rad.shape}")
