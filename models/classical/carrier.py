"""Finds the carrier: the spatial frequency of the fringes."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, inf

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.errors import InferenceError

LONGEST_PERIOD_PX = 25.0  # fringes coarser than this drown in the object's own spectrum
WEAKEST_CARRIER = 20.0  # peak over ring median; noise alone reaches about 5, the weakest real hologram at hand 120
_ZOOM_STEPS = 10


@dataclass(frozen=True, slots=True)
class Carrier:
    """The carrier of one stream.

    Attributes:
        fy, fx: spatial frequency in cycles per pixel along y and x, each in −0.5 … 0.5. Of the two conjugate sidebands
            `find_carrier` gives the one that `is_upper`.
        strength: the spectral peak over the median of the spectrum at the same |f|; inf for a carrier that was given.
    """

    fy: float
    fx: float
    strength: float = inf

    @property
    def frequency(self) -> float:
        """|f| in cycles per pixel."""
        return hypot(self.fy, self.fx)

    @property
    def is_upper(self) -> bool:
        """Whether this is the sideband called `upper`, the other one being `lower`: fy + fx/8 > 0.

        Upright fringes, the commonest of all, have fy = 0 but for noise, and the line between the two names must not
        run there: noise would name the sidebands, and flip the phase, anew each time that the carrier is found.
        """
        return self.fy + self.fx / 8 > 0

    @property
    def period_px(self) -> float:
        """The fringe period in pixels."""
        return 1 / self.frequency

    def conjugate(self) -> Carrier:
        """The other sideband; the phase's sign flips."""
        return Carrier(-self.fy, -self.fx, self.strength)


def find_carrier(pixels: Pixels) -> Carrier:
    """The strongest carrier of an interferogram, to a hundredth of a spectral bin.

    The peak of the Hann-windowed spectrum outside of the zero order is refined on a finer grid, of which only the
    few points around the peak are computed (Guizar-Sicairos, Thurman, Fienup 2008, matrix Fourier transform).

    Args:
        pixels: (H, W) uint8 or uint16 grey values, both sides at least 32.

    Raises:
        InferenceError: `no carrier`: nothing in the spectrum stands out, so the picture shows no fringes.
    """
    height, width = pixels.shape
    if min(height, width) < 32:
        raise InferenceError("no carrier", f"expected an interferogram of at least 32 × 32 px, got {height} × {width}")
    windowed = _windowed(pixels)
    spectrum = np.abs(scipy.fft.rfft2(windowed))
    fy = scipy.fft.fftfreq(height)[:, None]
    fx = scipy.fft.rfftfreq(width)[None, :]
    radius = np.hypot(fy, fx)
    candidates = np.where(radius > 1 / LONGEST_PERIOD_PX, spectrum, 0)
    row, column = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
    peak = float(candidates[row, column])
    ring = spectrum[np.abs(radius - radius[row, column]) < 0.01]
    strength = peak / max(float(np.median(ring)), 1e-30)
    if not strength > WEAKEST_CARRIER:
        raise InferenceError(
            "no carrier",
            f"expected fringes finer than {LONGEST_PERIOD_PX:.0f} px, got a picture whose spectral peak "
            f"is only {strength:.0f} times its surroundings ({WEAKEST_CARRIER:.0f} needed): check the reference beam",
        )
    found_fy, found_fx = _refine(windowed, float(fy[row, 0]), float(fx[0, column]))
    carrier = Carrier(found_fy, found_fx, strength)
    return carrier if carrier.is_upper else carrier.conjugate()


def _windowed(pixels: Pixels) -> NDArray[np.float32]:
    height, width = pixels.shape
    grey = pixels.astype(np.float32)
    grey -= grey.mean(dtype=np.float64)
    window_y, window_x = (np.hanning(length + 2)[1:-1].astype(np.float32) for length in (height, width))
    grey *= window_y[:, None]
    grey *= window_x[None, :]
    return grey


def _refine(windowed: NDArray[np.float32], fy: float, fx: float) -> tuple[float, float]:
    """The spectrum's peak near (fy, fx), first to a tenth, then to a hundredth of a bin."""
    height, width = windowed.shape
    offsets = np.arange(-_ZOOM_STEPS, _ZOOM_STEPS + 1) / _ZOOM_STEPS
    for zoom in (1.0, 1 / _ZOOM_STEPS):
        trial_fy = fy + offsets * zoom / height
        trial_fx = fx + offsets * zoom / width
        along_x = windowed @ _waves(width, trial_fx)
        spectrum = np.abs(_waves(height, trial_fy).T @ along_x)
        row, column = np.unravel_index(int(np.argmax(spectrum)), spectrum.shape)
        fy, fx = float(trial_fy[row]), float(trial_fx[column])
    return fy, fx


def _waves(length: int, frequencies: NDArray[np.float64]) -> NDArray[np.complex64]:
    """(length, n) columns exp(−2πi f x)."""
    turns = np.arange(length)[:, None] * frequencies[None, :]
    waves: NDArray[np.complex64] = np.exp(-2j * np.pi * turns).astype(np.complex64)
    return waves
