"""The strongest point of a frame's pass band: what is left to see of the carrier while frames stream."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.models.classical.carrier import LONGEST_PERIOD_PX, Carrier

_MOST_BESIDE = 2048
_FEWEST_BESIDE = 64
_AXIS_BINS = 3  # around either axis: the frame's edges put lines there


@dataclass(frozen=True, slots=True)
class BandPeak:
    """The strongest point of one frame's pass band.

    Attributes:
        fy, fx: where it lies, in cycles per pixel.
        magnitude: of the spectrum there, in grey values × pixels.
        strength: that over the median magnitude beside the band.
    """

    fy: float
    fx: float
    magnitude: float
    strength: float

    def distance(self, fy: float, fx: float) -> float:
        """From a frequency, in cycles per pixel."""
        y, x = self.fy - fy, self.fx - fx
        return hypot(y - round(y), x - round(x))


class BandView:
    """Looks for the peak in a pass band of one size, wherever the transform was made.

    Attributes:
        window: (first row, rows, first column, columns) of the band's array that hold the pass band; rows and columns
            go on at the other end of the array.
        beside: up to 2048 int32 places of the band's array, numbered through in C order, outside of the pass band.

    Args:
        shape: (H, W) of the frames in pixels.
        axis: along which the band's lines lie.
        first_line: the first one, as a place in a spectrum of the frame's length.
        weights: of the band's points, as `TakedaRetriever.filter`.
        carrier: the middle of the band.
    """

    def __init__(
        self, shape: tuple[int, int], axis: int, first_line: int, weights: NDArray[np.float32], carrier: Carrier
    ) -> None:
        self._axis, self._first_line = axis, first_line
        self._lengths = shape
        self._shape = (weights.shape[0], weights.shape[1])
        across = 1 - axis
        inside = np.flatnonzero(np.any(weights > 0, axis=axis))
        length = shape[across]
        middle = round((carrier.fy, carrier.fx)[across] * length)
        # The band is one run of lines across, which may go on at the other end.
        places = (inside - middle + length // 2) % length
        first = (int(places.min()) + middle - length // 2) % length
        run = int(places.max() - places.min()) + 1
        lines = self._shape[axis]
        self.window = (0, lines, first, run) if axis == 0 else (first, run, 0, lines)
        self.beside = self._places_beside(weights, carrier)

    def frequency(self, row: int, column: int) -> tuple[float, float]:
        """(fy, fx) of a point of the band's array, each in −0.5 … 0.5 cycles per pixel."""
        line, other = (row, column) if self._axis == 0 else (column, row)
        along = (line + self._first_line) / self._lengths[self._axis]
        across = other / self._lengths[1 - self._axis]
        along, across = along - round(along), across - round(across)
        return (along, across) if self._axis == 0 else (across, along)

    def peak(self, place: int, power: float, beside_power: NDArray[np.float32]) -> BandPeak:
        """The peak at `place`, whose power is `power`, among surroundings of this power."""
        fy, fx = self.frequency(*divmod(place, self._shape[1]))
        magnitude = float(np.sqrt(power))
        return BandPeak(fy, fx, magnitude, magnitude / max(float(np.sqrt(np.median(beside_power))), 1e-12))

    def beside_power(self, band: NDArray[np.complex64]) -> NDArray[np.float32]:
        """The power of a band at `beside`, before the filter takes it away."""
        values = band.reshape(-1)[self.beside]
        power: NDArray[np.float32] = values.real**2 + values.imag**2
        return power

    def look(self, band: NDArray[np.complex64], beside_power: NDArray[np.float32]) -> BandPeak:
        """The peak of a filtered band."""
        place, power = _strongest(band, *self.window)
        return self.peak(place, power, beside_power)

    def _places_beside(self, weights: NDArray[np.float32], carrier: Carrier) -> NDArray[np.int32]:
        axis, (height, width) = self._axis, self._lengths
        lines = (np.arange(self._shape[axis]) + self._first_line) / self._lengths[axis]
        others = scipy.fft.fftfreq(self._lengths[1 - axis])
        fy, fx = (lines[:, None], others[None, :]) if axis == 0 else (others[:, None], lines[None, :])
        fy, fx = fy - np.rint(fy), fx - np.rint(fx)
        outside = weights == 0
        conjugate_y, conjugate_x = fy + carrier.fy, fx + carrier.fx
        conjugate = np.hypot(conjugate_y - np.rint(conjugate_y), conjugate_x - np.rint(conjugate_x))
        quiet = (
            outside
            & (np.hypot(fy, fx) > 1 / LONGEST_PERIOD_PX)
            & (conjugate > carrier.frequency / 2)
            & (np.abs(fy) * height > _AXIS_BINS)
            & (np.abs(fx) * width > _AXIS_BINS)
        )
        for chosen in (quiet, outside, np.ones_like(outside)):
            places = np.flatnonzero(chosen)
            if places.size >= _FEWEST_BESIDE:
                break
        step = max(1, places.size // _MOST_BESIDE)
        return places[::step][:_MOST_BESIDE].astype(np.int32)


# No NaN comes out of a transform of grey values, so that maxima vectorise.
@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _strongest(
    band: NDArray[np.complex64], first_row: int, rows: int, first_column: int, columns: int
) -> tuple[int, float]:
    """The place of the strongest point in a window of the band, and its power."""
    height, width = band.shape
    beyond = max(first_column + columns - width, 0)
    best_row, most = 0, np.float32(-1)
    for i in range(rows):
        y = (first_row + i) % height
        row_most = np.float32(0)
        for x in range(first_column, first_column + columns - beyond):
            row_most = max(row_most, _power(band[y, x]))
        for x in range(beyond):
            row_most = max(row_most, _power(band[y, x]))
        if row_most > most:
            best_row, most = y, row_most
    best_column, found = 0, np.float32(-1)
    for j in range(columns):
        x = (first_column + j) % width
        power = _power(band[best_row, x])
        if power > found:
            best_column, found = x, power
    return best_row * width + best_column, float(found)


@numba.njit(inline="always", cache=True)
def _power(value: np.complex64) -> np.float32:
    return value.real * value.real + value.imag * value.imag
