"""The spectrum of one interferogram, and what can be measured in it around a spatial frequency."""

from __future__ import annotations

from functools import cached_property
from math import hypot, log

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels

Frequency = tuple[float, float]
"""(fy, fx) in cycles per pixel."""

_RINGS_PER_CYCLE = 48
_RING_HALF_WIDTH = 0.01  # cycles per pixel
_RINGS = _RINGS_PER_CYCLE  # |f| is at most √½
_MOST_SAMPLED = 110  # lines along either axis that the rings' noise is taken from
_ZOOM_STEPS = 10
_FEWEST_BLOCKS = 64


class Spectrum:
    """The magnitude of a Hann-windowed frame's spectrum; one of each pair ±f, fx ≥ 0.

    Attributes:
        shape: (H, W) of the frame in pixels.
        magnitude: (H, W // 2 + 1) float32, in grey values × pixels.
        fy, fx: (H, 1) and (1, W // 2 + 1) float32 frequencies in cycles per pixel.
        radius: |f|, as large as `magnitude`.
        bin: the wider of the two axes' bins, in cycles per pixel.

    Args:
        pixels: (H, W) uint8 or uint16 grey values.
    """

    def __init__(self, pixels: Pixels) -> None:
        height, width = self.shape = (pixels.shape[0], pixels.shape[1])
        self._windowed = _windowed(pixels)
        self.magnitude: NDArray[np.float32] = np.abs(scipy.fft.rfft2(self._windowed))
        self.fy = scipy.fft.fftfreq(height).astype(np.float32)[:, None]
        self.fx = scipy.fft.rfftfreq(width).astype(np.float32)[None, :]
        self.radius: NDArray[np.float32] = np.hypot(self.fy, self.fx)
        self.bin = 1 / min(self.shape)

    def peak(self, allowed: NDArray[np.bool_]) -> tuple[Frequency, float]:
        """The strongest allowed point and its magnitude."""
        candidates = np.where(allowed, self.magnitude, 0)
        row, column = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
        return (float(self.fy[row, 0]), float(self.fx[0, column])), float(candidates[row, column])

    def near(self, frequency: Frequency, radius: float) -> NDArray[np.bool_]:
        """Which points lie within `radius` of ±`frequency`, the spectrum's repetition every cycle considered."""
        reach = np.float32(radius**2)
        squares = []
        for sign in (1, -1):
            y = wrapped(self.fy - np.float32(sign * frequency[0]))
            x = wrapped(self.fx - np.float32(sign * frequency[1]))
            squares.append(y * y + x * x < reach)
        found: NDArray[np.bool_] = squares[0] | squares[1]
        return found

    def strength(self, frequency: Frequency, magnitude: float) -> float:
        """`magnitude` over the median of the spectrum at the same |f|."""
        ring = self.magnitude[np.abs(self.radius - hypot(*frequency)) < max(_RING_HALF_WIDTH, 1.5 * self.bin)]
        return magnitude / max(float(np.median(ring)), 1e-30)

    def share(
        self, frequencies: list[Frequency], band: float, above: float, left_out: NDArray[np.bool_] | None = None
    ) -> float:
        """How much of the picture's detail lies within `band` of ±`frequencies`: 0 … 1, noise taken off.

        Detail is what lies beyond about |f| = `above` and not in `left_out`. Noise, of any colour that does not depend
        on the direction, is the median of the rest at the same |f|.
        """
        inside = np.zeros(self.radius.shape, bool)
        for frequency in frequencies:
            inside |= self.near(frequency, band)
        first = int(above * _RINGS_PER_CYCLE)
        total, points = self._ring_totals
        noise = self._ring_noise(inside)
        if left_out is not None:
            hidden_total, hidden_points = self._sums(left_out)
            total, points = total - hidden_total, points - hidden_points
            inside &= ~left_out
        inside_total, inside_points = self._sums(inside)
        detail = float(np.maximum(total - points * noise, 0)[first:].sum())
        return float((inside_total - inside_points * noise)[first:].sum()) / max(detail, 1e-30)

    def rim_share(self, frequency: Frequency, band: float, rim: float) -> float:
        """How much of what lies within `band` of ±`frequency` lies beyond `rim` times that, noise taken off: 0 … 1."""
        inside = self.near(frequency, band)
        noise = self._ring_noise(inside)
        total, points = self._sums(inside)
        core_total, core_points = self._sums(self.near(frequency, rim * band))
        whole, core = (total - points * noise).sum(), (core_total - core_points * noise).sum()
        return float(max(whole - core, 0.0) / max(whole, 1e-30))

    def power(self, frequency: Frequency, band: float, beside: Frequency | None = None) -> float:
        """What lies within `band` of ±`frequency`, noise taken off.

        Args:
            frequency: in cycles per pixel.
            band: likewise.
            beside: no noise is looked for within `band` of this one either.
        """
        inside = self.near(frequency, band)
        noise = self._ring_noise(inside if beside is None else inside | self.near(beside, band))
        total, points = self._sums(inside)
        return float((total - points * noise).sum())

    def refine(self, frequency: Frequency) -> Frequency:
        """The peak near `frequency`, first to a tenth, then to a hundredth of a bin.

        Only the few points around the peak are computed on the finer grid (Guizar-Sicairos, Thurman, Fienup 2008,
        matrix Fourier transform).
        """
        height, width = self.shape
        # Moved to zero frequency the peak is so low that sums over small blocks of pixels show it just as well.
        block_y, block_x = (max(1, length // _FEWEST_BLOCKS) for length in self.shape)
        rows, columns = height // block_y, width // block_x
        wave_y = _wave(rows * block_y, frequency[0]).reshape(rows, block_y)
        wave_x = _wave(columns * block_x, frequency[1]).reshape(columns, block_x)
        cropped = self._windowed[: rows * block_y, : columns * block_x]
        along_x = np.einsum("ycb,cb->yc", cropped.reshape(rows * block_y, columns, block_x), wave_x)
        sums = np.einsum("rbc,rb->rc", along_x.reshape(rows, block_y, columns), wave_y)
        off_y, off_x = 0.0, 0.0
        offsets = np.arange(-_ZOOM_STEPS, _ZOOM_STEPS + 1) / _ZOOM_STEPS
        for zoom in (1.0, 1 / _ZOOM_STEPS):
            trial_y, trial_x = off_y + offsets * zoom / height, off_x + offsets * zoom / width
            waves_y = np.stack([_wave(rows, block_y * off) for off in trial_y])
            waves_x = np.stack([_wave(columns, block_x * off) for off in trial_x])
            magnitude = np.abs(waves_y @ sums @ waves_x.T)
            row, column = np.unravel_index(int(np.argmax(magnitude)), magnitude.shape)
            off_y, off_x = float(trial_y[row]), float(trial_x[column])
        return frequency[0] + off_y, frequency[1] + off_x

    @cached_property
    def _power(self) -> NDArray[np.float32]:
        return np.square(self.magnitude)

    @cached_property
    def _rings(self) -> NDArray[np.int32]:
        """The number of each point's ring."""
        return (self.radius * np.float32(_RINGS_PER_CYCLE)).astype(np.int32)

    @cached_property
    def _ring_totals(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The power on each ring, and the points."""
        return _by_ring(self._rings.reshape(-1), self._power.reshape(-1))

    def _sums(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The power of the chosen points on each ring, and their number."""
        places = np.flatnonzero(chosen)
        return _by_ring(self._rings.reshape(-1)[places], self._power.reshape(-1)[places])

    def _ring_noise(self, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The mean power of noise on each ring, from the median of a thinned spectrum outside of `inside`."""
        thin = tuple(slice(None, None, max(1, length // _MOST_SAMPLED)) for length in inside.shape)
        outside = ~inside[thin]
        power, rings = self._power[thin][outside], self._rings[thin][outside]
        order = np.argsort(rings, kind="stable")
        power, ends = power[order], np.searchsorted(rings[order], np.arange(_RINGS + 1))
        noise = np.zeros(_RINGS)
        for ring in range(_RINGS):
            on_ring = power[ends[ring] : ends[ring + 1]]
            if on_ring.size >= 8:
                noise[ring] = float(np.median(on_ring)) / log(2)  # of an exponential distribution
        return noise


def _by_ring(rings: NDArray[np.int32], power: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = np.asarray(np.bincount(rings, power, _RINGS), np.float64)
    return total, np.asarray(np.bincount(rings, minlength=_RINGS), np.float64)


def wrapped(cycles_per_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same frequencies between −0.5 and 0.5 cycles per pixel."""
    return cycles_per_px - np.rint(cycles_per_px)


def _windowed(pixels: Pixels) -> NDArray[np.float32]:
    height, width = pixels.shape
    grey = pixels.astype(np.float32)
    grey -= grey.mean(dtype=np.float64)
    window_y, window_x = (np.hanning(length + 2)[1:-1].astype(np.float32) for length in (height, width))
    grey *= window_y[:, None]
    grey *= window_x[None, :]
    return grey


def _wave(length: int, cycles_per_px: float) -> NDArray[np.complex64]:
    """(length,) exp(−2πi f x)."""
    wave: NDArray[np.complex64] = np.exp(-2j * np.pi * cycles_per_px * np.arange(length)).astype(np.complex64)
    return wave
