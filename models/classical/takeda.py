"""Takeda's Fourier-transform method: from an interferogram to the wrapped phase of its object field."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.band_peak import BandPeak, BandView
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.errors import InferenceError

_TAPER = 0.2  # share of the pass band's radius over which it falls from 1 to 0
_PI = np.float32(np.pi)
_HALF_PI = np.float32(np.pi / 2)
_TWO_PI = np.float32(2 * np.pi)
_PER_TURN = np.float32(1 / (2 * np.pi))


def band_radius(carrier: Carrier, band_limit_cycles_per_px: float | None = None) -> float:
    """The radius of the pass band around the carrier, in cycles per pixel.

    Half the way to the nearest of what must stay out: the zero order, the conjugate sideband, and the copies of both
    that a mosaic puts beside them. The spectrum repeats every cycle per pixel, so with fine fringes the conjugate comes
    round the corner. It is not more than what the objective passes, where that is known; the taper lies outside of it.
    """
    fy, fx = carrier.fy, carrier.fx
    obstacles = [
        distance
        for line_fy, line_fx in ((0.0, 0.0), *carrier.mosaic.lines)
        for distance in (
            hypot(_wrap_frequency(fy - line_fy), _wrap_frequency(fx - line_fx)),
            hypot(_wrap_frequency(2 * fy - line_fy), _wrap_frequency(2 * fx - line_fx)),
        )
    ]
    widest = 0.5 * min(obstacles)
    if band_limit_cycles_per_px is None:
        return widest
    return min(widest, band_limit_cycles_per_px / (1 - _TAPER))


def _wrap_frequency(cycles_per_px: float) -> float:
    return cycles_per_px - round(cycles_per_px)


@dataclass(frozen=True, slots=True, eq=False)
class WrappedField:
    """The object field of one interferogram, as its wrapped phase and its amplitude.

    Attributes:
        phase_rad: (H, W) float32 in rad, in [−π, π], less the reference.
        amplitude: (H, W) float32 in grey values: the field's modulus, half of what the fringes' cosine swings by.
            Where it is small, the phase is noise.
        peak: the strongest point of the pass band.
    """

    phase_rad: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    peak: BandPeak


class TakedaRetriever:
    """Wrapped phase from interferograms of one size and one carrier (Takeda, Ina, Kobayashi 1982, eq. 4–8).

    One axis is transformed first. Of the result only the lines inside of the pass band are kept, filtered along the
    other axis and transformed back. So about two thirds of a full pair of 2-D transforms are never computed. The
    sideband is not moved to the origin in the spectrum. Its carrier is subtracted from the phase instead, as
    `reference_rad`, together with everything else that belongs to the instrument. With a calibration frame that is the
    phase of the calibration frame's own field, to which the very same steps apply.

    Attributes:
        axis: the one that is transformed first.
        first_line: the pass band's first line along `axis`, as a frequency's place in a spectrum of the frame's length;
            negative where the band reaches across zero. In `field` it stands at zero frequency.
        filter: float32 weights of the band's points, lines along `axis` by all frequencies along the other.
        reference_rad: (H, W) float32, what is subtracted from the field's argument.
        view: looks for the peak in the pass band.

    Args:
        shape: (H, W) of the frames in pixels.
        carrier: of the sideband whose phase is wanted.
        radius: of the pass band in cycles per pixel; None takes `band_radius(carrier)`.
        threads: CPU threads to use, None for all cores.

    Raises:
        InferenceError: `no band`: the pass band is narrower than one line of the spectrum.
    """

    def __init__(
        self, shape: tuple[int, int], carrier: Carrier, radius: float | None = None, threads: int | None = None
    ) -> None:
        self.shape = shape
        self.carrier = carrier
        self.radius = band_radius(carrier) if radius is None else radius
        if not self.radius * min(shape) >= 1:
            raise InferenceError(
                "no band",
                f"expected a pass band wider than a spectral line of {shape[0]} × {shape[1]} px frames, got a radius "
                f"of {self.radius:.2g} cycles per pixel around ({carrier.fy:.3g}, {carrier.fx:.3g}): check the "
                "carrier, and wavelength, pixel pitch, magnification and NA where they are set",
            )
        self._bands = RowBands(shape[0], threads)
        # The axis that is transformed as real numbers, which costs half: the one along which the carrier is steeper,
        # since there the pass band never reaches across zero frequency.
        self.axis = 0 if abs(carrier.fy) > abs(carrier.fx) else 1
        self._plan_band()
        self.reference_rad = self._carrier_ramp()

    def use_calibration(self, pixels: Pixels | None) -> None:
        """Subtract the phase of this sample-free interferogram from now on; None: only the carrier's own ramp."""
        self.reference_rad = self._carrier_ramp() if pixels is None else wrap_angle(self.field(pixels), self._bands)

    def fringe_angle(self, at: tuple[NDArray[np.int64], ...]) -> NDArray[np.float32]:
        """What the fringes' argument has beside the phase, at some rows and columns of the frame, in rad.

        Args:
            at: as `np.ix_` gives them.
        """
        turns = at[self.axis] * (self.first_line / self.shape[self.axis])
        angle: NDArray[np.float32] = self.reference_rad[at] + (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
        return angle

    def wrapped_field(self, pixels: Pixels) -> WrappedField:
        """The wrapped phase less the reference, and the amplitude.

        Raises:
            InferenceError: `wrong shape`: the frame is not of this retriever's shape.
        """
        field, peak = self._field_and_peak(pixels)
        phase, amplitude = np.empty(self.shape, np.float32), np.empty(self.shape, np.float32)
        self._bands.run(_split_field, field, self.reference_rad, phase, amplitude)
        return WrappedField(phase, amplitude, peak)

    def wrapped_phase(self, pixels: Pixels) -> NDArray[np.float32]:
        """The phase alone of `wrapped_field`."""
        return self.wrapped_field(pixels).phase_rad

    def field(self, pixels: Pixels) -> NDArray[np.complex64]:
        """The complex object field on its carrier, (H, W) complex64.

        Raises:
            InferenceError: `wrong shape`: the frame is not of this retriever's shape.
        """
        return self._field_and_peak(pixels)[0]

    def _field_and_peak(self, pixels: Pixels) -> tuple[NDArray[np.complex64], BandPeak]:
        if pixels.shape != self.shape:
            raise InferenceError(
                "wrong shape",
                f"expected a frame of {self.shape[0]} × {self.shape[1]} px like the rest of the stream, "
                f"got {pixels.shape[0]} × {pixels.shape[1]}",
            )
        workers = self._bands.threads
        along, across = self.axis, 1 - self.axis
        spectrum = scipy.fft.rfft(pixels.astype(np.float32), axis=along, workers=workers)
        band = np.take(spectrum, self._lines, axis=along)
        if self._mirrored.any():
            np.conjugate(band, where=self._mirrored, out=band)
        band = scipy.fft.fft(band, axis=across, workers=workers, overwrite_x=True)
        points: NDArray[np.complex64] = band.astype(np.complex64, copy=False)
        beside_power = self.view.beside_power(points)
        points *= self.filter
        peak = self.view.look(points, beside_power)
        filtered = scipy.fft.ifft(points, axis=across, workers=workers, overwrite_x=True)
        field = scipy.fft.ifft(filtered, n=self.shape[along], axis=along, workers=workers)
        return field.astype(np.complex64, copy=False), peak

    def _plan_band(self) -> None:
        """Which lines of the half spectrum hold the pass band, and the filter on them."""
        frequency = (self.carrier.fy, self.carrier.fx)
        along, across = self.axis, 1 - self.axis
        length = self.shape[along]
        self.first_line = int(np.ceil((frequency[along] - self.radius) * length))
        last_line = int(np.floor((frequency[along] + self.radius) * length))
        lines = np.arange(self.first_line, last_line + 1)
        # Real input: the spectrum at −f is the conjugate of the one at f, and only 0 … Nyquist is computed.
        folded = lines % length
        mirrored = folded > length // 2
        self._lines = np.where(mirrored, length - folded, folded)
        self._mirrored = np.expand_dims(mirrored, across)
        offset_along = np.expand_dims(lines / length - frequency[along], across)
        offset_across = np.expand_dims(scipy.fft.fftfreq(self.shape[across]) - frequency[across], along)
        offset_across -= np.rint(offset_across)
        offset = np.hypot(offset_along, offset_across) / self.radius
        self.filter: NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * np.clip((1 - offset) / _TAPER, 0, 1))).astype(
            np.float32
        )
        self.view = BandView(self.shape, along, self.first_line, self.filter, self.carrier)

    def _carrier_ramp(self) -> NDArray[np.float32]:
        """The phase that the bare carrier has in `field`, wrapped, in rad.

        The pass band's first line stands at zero frequency in `field`, since the transform back pads it only behind.
        """
        frequency = [self.carrier.fy, self.carrier.fx]
        frequency[self.axis] -= self.first_line / self.shape[self.axis]
        turns_y, turns_x = (np.arange(n) * f for n, f in zip(self.shape, frequency, strict=True))
        turns = turns_y[:, None] + turns_x[None, :]
        return (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)


def wrap_angle(field: NDArray[np.complex64], bands: RowBands) -> NDArray[np.float32]:
    """The argument of each point of a field, (H, W) float32 in rad."""
    angle, amplitude = np.empty(field.shape, np.float32), np.empty(field.shape, np.float32)
    bands.run(_split_field, field, np.zeros(field.shape, np.float32), angle, amplitude)
    return angle


@numba.njit(inline="always", cache=True)
def _arctan2(y: np.float32, x: np.float32) -> np.float32:
    """atan2 to 2e-7 rad without branches, so that the loop around it vectorises (polynomial fitted in float64)."""
    absolute_y, absolute_x = abs(y), abs(x)
    larger, smaller = max(absolute_x, absolute_y), min(absolute_x, absolute_y)
    ratio = smaller / max(larger, np.float32(1e-30))
    square = ratio * ratio
    angle = np.float32(0.0)
    for coefficient in _ARCTAN:
        angle = angle * square + coefficient
    angle *= ratio
    angle = _HALF_PI - angle if absolute_y > absolute_x else angle
    angle = _PI - angle if x < 0 else angle
    return -angle if y < 0 else angle


def _fit_arctan() -> tuple[np.float32, ...]:
    """Coefficients of arctan(t)/t as a polynomial in t² on 0 … 1, highest power first, fitted at Chebyshev nodes."""
    nodes = 0.5 - 0.5 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    ratio = np.sqrt(nodes)
    fit = np.polynomial.chebyshev.Chebyshev.fit(nodes, np.arctan(ratio) / ratio, 9, domain=[0, 1])
    return tuple(np.float32(value) for value in fit.convert(kind=np.polynomial.Polynomial).coef[::-1])


_ARCTAN = _fit_arctan()


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _split_field(
    first_row: int,
    last_row: int,
    field: NDArray[np.complex64],
    reference_rad: NDArray[np.float32],
    wrapped: NDArray[np.float32],
    amplitude: NDArray[np.float32],
) -> None:
    """wrapped = arg(field) − reference, brought back into [−π, π]; amplitude = |field|."""
    for y in range(first_row, last_row):
        for x in range(field.shape[1]):
            value = field[y, x]
            difference = _arctan2(value.imag, value.real) - reference_rad[y, x]
            wrapped[y, x] = difference - _TWO_PI * np.rint(difference * _PER_TURN)
            amplitude[y, x] = np.sqrt(value.real * value.real + value.imag * value.imag)
