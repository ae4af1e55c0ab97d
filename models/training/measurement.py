"""Measures an instrument from a few of its real frames, so that the simulator can make more of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, sqrt
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle
from qpi_live.camera.simulation.zernike import zernike
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.carrier import Carrier, find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever, WrappedField, band_radius
from qpi_live.models.classical.unwrapping.goldstein import unwrap
from scipy.ndimage import gaussian_filter

_BACKGROUND_ORDER = 4
_NOLL_TERMS = 15
_FIT_STEP_PX = 16
_RADIUS_STEP = 0.002  # cycles per pixel, of the radial profile in which the band's edge is sought
_SMALLEST_READ_NOISE_E = 1.0
_LARGEST_NA = 1.7
_ANY_PIXEL_M = 1e-6  # of the object, where the scale is not known: only its ratio to the NA counts then
_WINDOWS = 4  # the frame is cut into 4 × 4 windows, whose contrasts say how far it varies


@dataclass(frozen=True, slots=True)
class Measurement:
    """An instrument and what was measured on the way, for people to judge it by.

    Attributes:
        instrument: for `camera.simulation.interferogram.ForwardModel`.
        frames: how many frames it was measured from.
        band_limit_cycles_per_px: radius of the sideband's disc.
        contrast_range: (lowest, highest) fringe contrast among windows of the frames.
        noise_grey: RMS of the noise outside of all bands, in grey values.
        background_rms_rad: RMS of the phase around the background's level.
    """

    instrument: Instrument
    frames: int
    band_limit_cycles_per_px: float
    contrast_range: tuple[float, float]
    noise_grey: float
    background_rms_rad: float


def measure_instrument(frames: Sequence[Frame], optics: Optics, name: str = "") -> Measurement:
    """What a simulator needs to know of the instrument that took `frames`.

    Carrier, band, envelope, contrast, noise and scatter are medians over the frames; the aberration is the
    4th-order background of the first. The sideband is the one in which cells come out positive.

    Args:
        frames: of one shape, with cells or without.
        optics: wavelength, pixel pitch and magnification; its NA is replaced by the measured band limit.
        name: for the instrument file.

    Raises:
        ValueError: no frames; no wavelength; a magnification without a pixel pitch; a scale that no objective has.
        InferenceError: the frames show no fringes; see `find_carrier`.
    """
    if not frames:
        raise ValueError("expected at least one frame of the instrument, got none; name a recording that has some")
    _check_scale(optics)
    found = [_measure_frame(frame) for frame in frames]
    first = found[0]
    carrier = first.carrier
    band_limit = float(np.median([f.band_limit for f in found]))
    noise_grey = float(np.median([f.noise_grey for f in found]))
    full_scale = 2 ** frames[0].bit_depth - 1
    level = float(np.median([f.beam.level for f in found]))
    # One frame cannot tell shot from read noise; all of it is taken as shot noise, and a token of read noise.
    full_well_e = float(np.clip(level / max(noise_grey / full_scale, 1e-5) ** 2, 100, 1e6))
    known = _with_band_limit(optics, band_limit)
    instrument = Instrument(
        shape=frames[0].shape,
        optics=known,
        fringes=Fringes((carrier.fy, carrier.fx), float(np.clip(np.median([f.contrast for f in found]), 0.01, 1))),
        beam=Beam(level, first.beam.centre, first.beam.radius),
        aberration=Aberration(first.noll_rad),
        sensor=Sensor(max(frames[0].bit_depth, 8), full_well_e, _SMALLEST_READ_NOISE_E, 0.0),
        speckle=Speckle(float(np.clip(np.median([f.speckle for f in found]), 0, 1)), 0.5),
        name=name,
    )
    return Measurement(
        instrument,
        len(frames),
        band_limit,
        (min(f.contrast_range[0] for f in found), max(f.contrast_range[1] for f in found)),
        noise_grey,
        float(np.median([f.background_rms_rad for f in found])),
    )


def _check_scale(optics: Optics) -> None:
    if optics.wavelength_m is None:
        raise ValueError("expected to know the wavelength, got a recording that does not say; add --wavelength-nm")
    if optics.pixel_pitch_m is None and optics.magnification != 1:
        raise ValueError(
            f"expected the sensor's pixel pitch beside a magnification of {optics.magnification:g}, got none; "
            "add --pixel-um, or leave both out"
        )


def _with_band_limit(optics: Optics, band_limit: float) -> Optics:
    """`optics` with the NA that stands for the measured band limit, in cycles per pixel.

    The simulator takes the band limit from the optics alone, so what it computes must be what was measured.
    """
    wavelength_m, pixel_m = optics.wavelength_m or 0.0, optics.object_pixel_m or _ANY_PIXEL_M
    aperture = band_limit * wavelength_m / pixel_m
    if aperture > _LARGEST_NA:
        raise ValueError(
            f"expected a scale at which the band limit of {band_limit:.3f} cycles per pixel is an objective's, got "
            f"{pixel_m * 1e9:.0f} nm a pixel, which needs an NA of {aperture:.2f}; check --pixel-um and --magnification"
        )
    return Optics(wavelength_m, optics.pixel_pitch_m or pixel_m, optics.magnification, aperture)


@dataclass(frozen=True, slots=True)
class _FrameMeasurement:
    carrier: Carrier
    band_limit: float
    beam: Beam
    contrast: float
    contrast_range: tuple[float, float]
    noise_grey: float
    speckle: float
    noll_rad: tuple[float, ...]
    background_rms_rad: float


def _measure_frame(frame: Frame) -> _FrameMeasurement:
    carrier = find_carrier(frame.pixels)
    spectrum = _power_spectrum(frame.pixels)
    band_limit = _band_edge(spectrum, carrier)
    envelope = gaussian_filter(frame.pixels.astype(np.float32), 4 / carrier.frequency, mode="nearest")
    retriever = TakedaRetriever(frame.shape, carrier, min(band_radius(carrier), band_limit * 1.2))
    strength = np.abs(retriever.field(frame.pixels))
    contrasts = 2 * _window_medians(strength) / _window_medians(envelope)
    field = retriever.wrapped_field(frame.pixels)
    noll_rad, background_rms_rad, is_upside_down = _background(field)
    if is_upside_down:
        carrier, noll_rad = carrier.conjugate(), tuple(-c for c in noll_rad)
    noise_grey = _noise_grey(spectrum, carrier, band_limit)
    # Of a field 1 + s, with s circular Gaussian of RMS σ, the modulus has an RMS of σ/√2 (Goodman 2007, §2.2); cells
    # leave it alone but for their edges. Of that, the noise's share is its power over the band's area.
    modulus = strength / gaussian_filter(strength, 1 / band_limit, mode="nearest") - 1
    noise_in_band = noise_grey * sqrt(np.pi) * band_limit / float(np.median(strength))
    speckle = sqrt(max(2 * _spread(modulus) ** 2 - noise_in_band**2, 0.0))
    return _FrameMeasurement(
        carrier,
        band_limit,
        _fit_beam(envelope, 2**frame.bit_depth - 1),
        float(np.median(contrasts)),
        (float(contrasts.min()), float(contrasts.max())),
        noise_grey,
        speckle,
        noll_rad,
        background_rms_rad,
    )


def _power_spectrum(pixels: Pixels) -> NDArray[np.float32]:
    """(H, W) power per sample in grey², windowed, so that white noise of variance σ² has a mean of σ²."""
    height, width = pixels.shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    windowed = (pixels - pixels.mean()) * window
    spectrum = scipy.fft.fft2(windowed.astype(np.float32))
    power: NDArray[np.float32] = (np.abs(spectrum) ** 2 / float((window**2).sum())).astype(np.float32)
    return power


def _distance(shape: tuple[int, int], fy: float, fx: float) -> NDArray[np.float64]:
    """Distance of every spectral sample from (fy, fx) in cycles per pixel, the spectrum repeating every cycle."""
    dy = scipy.fft.fftfreq(shape[0]) - fy
    dx = scipy.fft.fftfreq(shape[1]) - fx
    return np.asarray(np.hypot((dy - np.rint(dy))[:, None], (dx - np.rint(dx))[None, :]))


def _band_edge(power: NDArray[np.float32], carrier: Carrier) -> float:
    """Radius at which the sideband's median power falls off most steeply, in cycles per pixel."""
    radius = _distance((power.shape[0], power.shape[1]), carrier.fy, carrier.fx)
    widest = band_radius(carrier)
    bins = np.arange(0, widest + 6 * _RADIUS_STEP, _RADIUS_STEP)
    which = np.digitize(radius.ravel(), bins) - 1
    flat = power.ravel()
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(len(bins)))
    medians = np.array([np.median(flat[order[a:b]]) if b > a else np.nan for a, b in pairwise(edges)])
    profile = np.log(np.maximum(medians, 1e-12))
    drop = profile[:-4] - profile[4:]
    drop[: int(0.02 / _RADIUS_STEP)] = 0  # the carrier's own peak falls off steeply too
    return float(bins[int(np.nanargmax(drop)) + 2] + _RADIUS_STEP / 2)


def _window_medians(values: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = np.array_split(values, _WINDOWS, axis=0)
    return np.array([[np.median(window) for window in np.array_split(row, _WINDOWS, axis=1)] for row in rows])


def _fit_beam(envelope: NDArray[np.float32], full_scale: int) -> Beam:
    """The Gaussian envelope E = level · exp(−2 d²/w²): a paraboloid through log E."""
    height, width = envelope.shape
    half_diagonal = hypot(height, width) / 2
    y = np.arange(0, height, _FIT_STEP_PX) / half_diagonal
    x = np.arange(0, width, _FIT_STEP_PX) / half_diagonal
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    log_level = np.log(np.maximum(envelope[::_FIT_STEP_PX, ::_FIT_STEP_PX], 0.5) / full_scale).ravel()
    flat_y, flat_x = grid_y.ravel(), grid_x.ravel()
    design = np.stack([np.ones_like(flat_y), flat_y, flat_x, flat_y**2 + flat_x**2], axis=1)
    level, slope_y, slope_x, curvature = np.linalg.lstsq(design, log_level, rcond=None)[0]
    if curvature > -2 / 10**2:  # flatter than a beam ten half diagonals wide, or hollow: no Gaussian says more
        return Beam(float(np.clip(np.exp(log_level.mean()), 0, 1)), (0.5, 0.5), 10.0)
    centre_y, centre_x = -slope_y / (2 * curvature), -slope_x / (2 * curvature)
    peak = float(np.exp(level - curvature * (centre_y**2 + centre_x**2)))
    relative = (centre_y * half_diagonal / (height - 1), centre_x * half_diagonal / (width - 1))
    return Beam(min(peak, 1.0), relative, sqrt(-2 / curvature))


def _background(field: WrappedField) -> tuple[tuple[float, ...], float, bool]:
    """The aberration as Noll coefficients, the background's RMS in rad, and whether cells come out negative."""
    phase_rad = unwrap(field.phase_rad, field.amplitude).phase_rad
    flat = phase_rad.copy()
    BackgroundFit(flat.shape, _BACKGROUND_ORDER).remove(flat)
    is_upside_down = float(np.mean(flat**3)) < 0
    aberration = (phase_rad - flat)[::_FIT_STEP_PX, ::_FIT_STEP_PX].ravel()
    shape = (phase_rad.shape[0], phase_rad.shape[1])
    modes = [zernike(j, shape)[::_FIT_STEP_PX, ::_FIT_STEP_PX].ravel() for j in range(1, _NOLL_TERMS + 1)]
    coefficients = np.linalg.lstsq(np.stack(modes, axis=1), aberration, rcond=None)[0]
    return tuple(round(float(c), 4) for c in coefficients), _spread(flat), is_upside_down


def _spread(values: NDArray[np.floating[Any]]) -> float:
    """The Gaussian σ that the median absolute deviation stands for; a minority of outliers does not move it."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _noise_grey(power: NDArray[np.float32], carrier: Carrier, band_limit: float) -> float:
    """RMS in grey values of the noise, from the spectrum outside of the zero order and the sidebands."""
    shape = (power.shape[0], power.shape[1])
    outside = _distance(shape, 0, 0) > 2.2 * band_limit
    for sign in (1, -1):
        outside &= _distance(shape, sign * carrier.fy, sign * carrier.fx) > 1.5 * band_limit
    # White noise has exponentially distributed power: its mean is its median over ln 2, which lines do not move.
    return sqrt(float(np.median(power[outside])) / np.log(2))
