"""Finds the carrier: the spatial frequency of the fringes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot, inf

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.harmonics import line_share
from qpi_live.models.classical.mosaic import NO_MOSAIC, Mosaic, find_mosaic, is_quad_mosaic
from qpi_live.models.classical.refusal import refusal
from qpi_live.models.classical.spectrum import Frequency, Spectrum, wrapped
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import FringeState

LONGEST_PERIOD_PX = 25.0  # fringes coarser than this drown in the object's own spectrum
SMALLEST_EDGE_PX = 32
_PERIOD_MARGIN = 1.03  # what still counts as `LONGEST_PERIOD_PX`
WEAKEST_CARRIER = 20.0  # peak over ring median; noise alone reaches about 5, the weakest real hologram at hand 94
# A weaker peak is a carrier too where nearly all of the picture's detail lies around it.
_WEAKEST_CLEAR_CARRIER, _CLEAR_SHARE = 10.0, 0.9
# Detail of real holograms around their carrier: 0.85 and more; of letters, plots, textures: 0.66 and less.
_SMALLEST_SHARE = 0.75
_SMALLEST_SHARE_OF_MANY = 0.85  # where several carriers share a frame
_WEAKEST_OF_MANY = 60.0
_MOST_CARRIERS = 3
_SELF_CONJUGATE: tuple[Frequency, ...] = ((0.0, 0.5), (0.5, 0.0), (0.5, 0.5))
_CORE_BINS = 2.5  # half the width of a line under a Hann window, and a little
_WEAKEST_COARSE, _COARSE_SHARE = 11.0, 0.6
_MOST_HARMONIC = 8
_RIM = 0.8  # of the pass band's radius


@dataclass(frozen=True, slots=True)
class Carrier:
    """The carrier of one stream.

    Attributes:
        fy, fx: spatial frequency in cycles per pixel along y and x, each in −0.5 … 0.5. Of the two conjugate sidebands
            `find_carrier` gives the one that `is_upper`.
        strength: the spectral peak over the median of the spectrum at the same |f|; inf for a carrier that was given.
        rim_share: how much of the sideband's power lies at the rim of the pass band, 0 … 1; where that is much, the
            band cuts the object off, or the zero order reaches into it.
        mosaic: the pattern of the pixels' gain, whose copies of the fringes the pass band has to leave out.
        line_share: the power of the fringes' harmonics over theirs, where they have the profile of lines rather than of
            interference; else 0.
        of_many: how many carriers of like strength share the frame, this one, the strongest, among them.
    """

    fy: float
    fx: float
    strength: float = inf
    rim_share: float = 0.0
    mosaic: Mosaic = NO_MOSAIC
    of_many: int = 1
    line_share: float = 0.0

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
        return replace(self, fy=-self.fy, fx=-self.fx)

    def nearest_to(self, other: Carrier) -> Carrier:
        """Of the two sidebands the one that lies on the side of `other`: fringes that moved keep the phase's sign."""
        return self if self.fy * other.fy + self.fx * other.fx >= 0 else self.conjugate()


def find_carrier(pixels: Pixels, bit_depth: int | None = None) -> Carrier:
    """The strongest carrier of an interferogram, to a hundredth of a spectral bin.

    The peak of the Hann-windowed spectrum outside of the zero order, if it is a carrier: it stands above the spectrum
    at the same |f|, it is no harmonic of coarser fringes, and most of the picture's detail lies around it. In letters,
    plots and textures it does not, whose patterns are spread over many frequencies.

    Args:
        pixels: (H, W) uint8 or uint16 grey values, both sides at least 32.
        bit_depth: how many bits of a grey value matter; None: all of its type's.

    Raises:
        InferenceError: there is none; the reason is the `FringeState` that says why, and the text says so to a person.
    """
    height, width = pixels.shape
    if min(height, width) < SMALLEST_EDGE_PX:
        raise InferenceError(
            FringeState.NO_FRINGES,
            f"expected an interferogram of at least {SMALLEST_EDGE_PX} × {SMALLEST_EDGE_PX} px, got {height} × {width}",
        )
    search = _Search(Spectrum(pixels), find_mosaic(pixels))
    is_quad = is_quad_mosaic(pixels)
    found = None if is_quad else search.find()
    if found is None:
        raise refusal(
            pixels,
            bit_depth or 8 * pixels.dtype.itemsize,
            search.spectrum,
            search.coarse_period_px,
            search.pattern,
            LONGEST_PERIOD_PX,
            is_quad_mosaic=is_quad,
        )
    return found


class _Search:
    """One look for a carrier.

    Attributes:
        spectrum: of the frame.
        coarse_period_px: of fringes too coarse to be used, once they were found; else None.
        pattern: (period in px, share of the detail) of the strongest pattern that is no carrier, or None.
    """

    def __init__(self, spectrum: Spectrum, mosaic: Mosaic) -> None:
        self.spectrum = spectrum
        self.coarse_period_px: float | None = None
        self.pattern: tuple[float, float] | None = None
        self._mosaic = mosaic
        self._nowhere = np.zeros(spectrum.magnitude.shape, bool)
        for frequency in _SELF_CONJUGATE:
            self._nowhere |= spectrum.near(frequency, (_CORE_BINS + 0.5) * spectrum.bin)
        if mosaic.is_there:  # around its lines lie copies of what lies around zero
            for frequency in mosaic.lines:
                self._nowhere |= spectrum.near(frequency, 1 / LONGEST_PERIOD_PX)

    def find(self) -> Carrier | None:
        """The carrier, or None."""
        spectrum = self.spectrum
        coarse = self._coarse()
        fine = (spectrum.radius > 1 / (LONGEST_PERIOD_PX * _PERIOD_MARGIN)) & ~self._nowhere
        frequency, magnitude = spectrum.peak(fine)
        if coarse is not None and self._is_of(coarse, frequency):
            self.coarse_period_px = 1 / hypot(*coarse)
            return None
        strength = spectrum.strength(frequency, magnitude)
        if strength <= _WEAKEST_CLEAR_CARRIER:
            if coarse is not None:
                self.coarse_period_px = 1 / hypot(*coarse)
            return None
        share, together, carriers = self._shares(frequency, fine)
        is_carrier = (
            (strength > WEAKEST_CARRIER and share > _SMALLEST_SHARE)
            or share > _CLEAR_SHARE
            or together > _SMALLEST_SHARE_OF_MANY
        )
        if not is_carrier:
            self.coarse_period_px = None if coarse is None else 1 / hypot(*coarse)
            self.pattern = (1 / hypot(*frequency), share)
            return None
        fy, fx = spectrum.refine(frequency)
        rim_share = spectrum.rim_share(frequency, self._band(frequency), _RIM)
        lines = line_share(spectrum, (fy, fx), self._mosaic.lines)
        carrier = Carrier(fy, fx, strength, rim_share, self._mosaic, carriers, lines)
        return carrier if carrier.is_upper else carrier.conjugate()

    def _coarse(self) -> Frequency | None:
        """The strongest line outside of the zero order, if it is one of fringes coarser than can be used."""
        spectrum = self.spectrum
        frequency, magnitude = spectrum.peak((spectrum.radius > _CORE_BINS * spectrum.bin) & ~self._nowhere)
        if hypot(*frequency) > 1 / (LONGEST_PERIOD_PX * _PERIOD_MARGIN):
            return None
        frequency = spectrum.refine(frequency)
        distance = hypot(*frequency)
        if distance >= 1 / (LONGEST_PERIOD_PX * _PERIOD_MARGIN):
            return None
        band = max(distance / 2, 1.5 * spectrum.bin)
        is_line = (
            spectrum.strength(frequency, magnitude) > _WEAKEST_COARSE
            and spectrum.share([frequency], band, band, self._nowhere) > _COARSE_SHARE
        )
        return frequency if is_line else None

    def _is_of(self, coarse: Frequency, frequency: Frequency) -> bool:
        """Whether `frequency` is the foot of the coarse line or a harmonic of it."""
        for order in range(1, _MOST_HARMONIC + 1):
            for sign in (1, -1):
                off = hypot(frequency[0] - sign * order * coarse[0], frequency[1] - sign * order * coarse[1])
                if off < max(2 * _CORE_BINS * self.spectrum.bin, 0.25 * hypot(*coarse)):
                    return True
        return False

    def _shares(self, frequency: Frequency, allowed: NDArray[np.bool_]) -> tuple[float, float, int]:
        """The share of the picture's detail around the peak, and around it and the next strongest ones, as many."""
        spectrum, band = self.spectrum, self._band(frequency)
        above = hypot(*frequency) / 2
        share = spectrum.share(self._copies(frequency), band, above, self._nowhere)
        if share > _SMALLEST_SHARE:
            return share, share, 1
        peaks = [frequency]
        while len(peaks) < _MOST_CARRIERS:
            allowed = allowed & ~spectrum.near(peaks[-1], band)
            other, magnitude = spectrum.peak(allowed)
            if spectrum.strength(other, magnitude) < _WEAKEST_OF_MANY:
                break
            peaks.append(other)
        if len(peaks) == 1:
            return share, share, 1
        every = [copy for peak in peaks for copy in self._copies(peak)]
        return share, spectrum.share(every, band, above, self._nowhere), len(peaks)

    def _band(self, frequency: Frequency) -> float:
        conjugate = hypot(*wrapped(2 * np.array(frequency, np.float32)))
        return float(max(0.5 * min(hypot(*frequency), conjugate), 3 * self.spectrum.bin))

    def _copies(self, frequency: Frequency) -> list[Frequency]:
        lines = self._mosaic.lines if self._mosaic.is_there else ()
        return [frequency, *((frequency[0] + fy, frequency[1] + fx) for fy, fx in lines)]
