"""The forward model: how a phase becomes an off-axis interferogram on a sensor.

    o = P{exp(iφ) + s}                                     the object field through the objective's pupil, with speckle
    I = E/2 · (1 + |o|²) + E·γ · Re{o · exp(i(2π f·r + A))}          two beams of equal strength under an envelope E

which for an unlimited pupil is I = |R|² + |O|² + 2γ|R||O| cos(2π f·r + φ + A) (Leith & Upatnieks 1962; Goodman,
Introduction to Fourier Optics, 3rd ed., §9.4), then electrons, noise and grey values.

Signs: φ is positive where the sample delays light. A is the aberration between the beams. The carrier f = (fy, fx) is
signed: φ adds to 2π f·r. So demodulating with exp(−2πi f·r) gives back +φ, and the conjugate sideband at −f gives −φ.
Pixel (0, 0) is the origin of r, in pixels.
"""

from __future__ import annotations

from math import ceil, hypot, sin, sqrt, tau

import numpy as np
import scipy.fft
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.zernike import zernike

_WIDEST_MARGIN_PX = 64
_WATER = 1.33  # refractive index of a medium that is not stated


class ForwardModel:
    """Renders one instrument's interferograms; what does not change from frame to frame is computed once.

    Threads may share it: nothing in it changes after construction (the `rng` that they pass is theirs to keep apart).
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        height, width = instrument.shape
        fy, fx = instrument.fringes.carrier_cycles_per_px
        # Separable and in double precision: at the far edge 2π f·r is thousands of rad, too many for float32.
        tilt = np.exp(tau * 1j * fy * np.arange(height))[:, None] * np.exp(tau * 1j * fx * np.arange(width))[None, :]
        tilt *= np.exp(1j * _sum_of_zernikes(instrument.aberration.noll_rad, instrument.shape))
        self._reference = (2 * instrument.fringes.contrast * tilt).astype(np.complex64)
        drift = instrument.aberration.drift_noll_rad
        self._drift_rad = _sum_of_zernikes(drift, instrument.shape).astype(np.float32) if any(drift) else None
        self._envelope = _envelope(instrument)
        self._pupil = _pupil(instrument)
        self._static_speckle: NDArray[np.complex64] | None = None
        if self._pupil is not None and instrument.speckle is not None:
            speckle = instrument.speckle
            rms = speckle.strength * sqrt(speckle.static_share)
            self._static_speckle = _speckle_spectrum(self._pupil, rms, default_rng(speckle.seed))

    def interferogram(self, phase_rad: NDArray[np.floating], rng: Generator | None = None, turn: float = 0.0) -> Pixels:
        """The interferogram of a specimen.

        Args:
            phase_rad: (H, W) true phase in rad, background 0, positive where the specimen delays light.
            rng: source of the noise and of the moving speckle; None leaves both out.
            turn: where the drifting aberration stands, in turns of its loop.

        Returns:
            (H, W) uint8 or uint16, owned by the caller.

        Raises:
            ValueError: the phase has not the instrument's shape.
        """
        if phase_rad.shape != self.instrument.shape:
            raise ValueError(f"expected a phase of shape {self.instrument.shape}, got {phase_rad.shape}")
        object_field = self._object_field(phase_rad.astype(np.float32, copy=False), rng)
        beat = object_field * self._reference
        if self._drift_rad is not None:
            beat *= _phasor(np.float32(sin(tau * turn)) * self._drift_rad)
        intensity = object_field.real**2
        intensity += object_field.imag**2
        intensity += 1
        intensity += beat.real
        intensity *= self._envelope
        return self.instrument.sensor.expose(intensity, rng)

    def calibration(self, rng: Generator | None = None, turn: float = 0.0) -> Pixels:
        """The interferogram without a specimen, which calibrates the carrier, the envelope and the aberration."""
        return self.interferogram(np.zeros(self.instrument.shape, np.float32), rng, turn)

    def _object_field(self, phase_rad: NDArray[np.float32], rng: Generator | None) -> NDArray[np.complex64]:
        """o: the specimen's transmission and the speckle behind the pupil, over the undisturbed object field."""
        if self._pupil is None:
            return _phasor(phase_rad)
        height, width = self.instrument.shape
        below, right = self._pupil.shape[0] - height, self._pupil.shape[1] - width
        top, left = below // 2, right // 2
        # The specimen goes on beyond the frame: mirroring it keeps the transform from joining opposite edges.
        padded = np.pad(phase_rad, [(top, below - top), (left, right - left)], "symmetric")
        spectrum = scipy.fft.fft2(_phasor(padded), overwrite_x=True)
        spectrum *= self._pupil
        if self._static_speckle is not None:
            spectrum += self._static_speckle
        speckle = self.instrument.speckle
        if speckle is not None and rng is not None:
            spectrum += _speckle_spectrum(self._pupil, speckle.strength * sqrt(1 - speckle.static_share), rng)
        inside: NDArray[np.complex64] = scipy.fft.ifft2(spectrum, overwrite_x=True)
        return inside[top : top + height, left : left + width]


def _speckle_spectrum(
    pupil: NDArray[np.float32] | NDArray[np.complex64], rms: float, rng: Generator
) -> NDArray[np.complex64]:
    """Spectrum of the scattered field: white noise in the pupil, whose inverse transform has the asked RMS."""
    noise = np.empty(pupil.shape, np.complex64)
    noise.real, noise.imag = rng.standard_normal((2, *pupil.shape), np.float32)
    noise *= pupil * np.float32(rms * pupil.size / sqrt(2 * float(np.abs(pupil).sum())))
    return noise


def _phasor(phase_rad: NDArray[np.float32]) -> NDArray[np.complex64]:
    phasor = np.empty(phase_rad.shape, np.complex64)
    np.cos(phase_rad, out=phasor.real)
    np.sin(phase_rad, out=phasor.imag)
    return phasor


def _sum_of_zernikes(noll_rad: tuple[float, ...], shape: tuple[int, int]) -> NDArray[np.float64]:
    total = np.zeros(shape)
    for index, coefficient_rad in enumerate(noll_rad, start=1):
        if coefficient_rad:
            total += coefficient_rad * zernike(index, shape)
    return total


def _envelope(instrument: Instrument) -> NDArray[np.float32]:
    """E/2 over the frame, as a part of full scale."""
    beam = instrument.beam
    height, width = instrument.shape
    waist_px = beam.radius * hypot(height, width) / 2
    y = (np.arange(height) - beam.centre[0] * (height - 1)) / waist_px
    x = (np.arange(width) - beam.centre[1] * (width - 1)) / waist_px
    envelope = beam.level / 2 * np.exp(-2 * y**2)[:, None] * np.exp(-2 * x**2)[None, :]
    halved: NDArray[np.float32] = envelope.astype(np.float32)
    return halved


def _pupil(instrument: Instrument) -> NDArray[np.float32] | NDArray[np.complex64] | None:
    """The coherent transfer function, of modulus 1 inside the circle NA/λ (Goodman 2005, §6.2), with a margin around.

    A defocus delays its plane waves (§6.4.4), by what they travel more or less than the straight one.

    None where nothing is filtered: no known NA, and no speckle that needs a band.
    """
    band_limit = instrument.optics.band_limit_cycles_per_px
    if band_limit is None and instrument.speckle is None:
        return None
    # Four periods of the finest detail: beyond that the pupil's ringing across the frame's edge is lost in the noise.
    margin = 0 if band_limit is None else min(ceil(4 / band_limit), _WIDEST_MARGIN_PX)
    height, width = (scipy.fft.next_fast_len(edge + 2 * margin) for edge in instrument.shape)
    if band_limit is None:
        return np.ones((height, width), np.float32)
    frequency = np.hypot(scipy.fft.fftfreq(height)[:, None], scipy.fft.fftfreq(width)[None, :])
    pupil: NDArray[np.float32] = (frequency <= band_limit).astype(np.float32)
    if not instrument.defocus_m:
        return pupil
    optics = instrument.optics
    pixel_m, wavelength_m = optics.object_pixel_m, optics.wavelength_m
    if pixel_m is None or wavelength_m is None:  # `Instrument` has refused it
        return pupil
    wave = (optics.refractive_index or _WATER) * pixel_m / wavelength_m
    along = np.sqrt(np.maximum(wave**2 - frequency**2, 0)) - wave
    defocused: NDArray[np.complex64] = (pupil * np.exp(1j * tau * along * instrument.defocus_m / pixel_m)).astype(
        np.complex64
    )
    return defocused
