"""Watches the fringes of one stream from frame to frame, by what the transform of each frame shows anyway."""

from __future__ import annotations

from math import hypot
from time import perf_counter

from qpi_live.models.classical.band_peak import BandPeak
from qpi_live.models.classical.carrier import Carrier

_WEAKEST = 8.0  # peak over its surroundings; the strongest of a band of noise is 4 to 5
_NOISE = 5.0
_WEAKENED = 0.6  # of what it was when the carrier was last looked for
_FAINT = 0.25  # likewise, of its magnitude
_ASTRAY = 0.2  # of the band's radius
_ASTRAY_BINS = 1.5
_PAUSE_S = 0.5  # after a look that found the carrier where it was
_NEWS_S = 2.0  # how long a user is told that the fringes moved


class FringeWatch:
    """Tells when the carrier should be looked for again.

    Args:
        carrier: that of the stream.
        radius: of the pass band, in cycles per pixel.
        bin_width: of the spectrum, in cycles per pixel.
        news: what a user is to be told for the next seconds, or None.
    """

    def __init__(self, carrier: Carrier, radius: float, bin_width: float, news: str | None = None) -> None:
        self._expected = (carrier.fy, carrier.fx)
        self._reach = _ASTRAY * radius + _ASTRAY_BINS * bin_width
        self._weakest, self._faintest = _WEAKEST, 0.0
        self._is_settled = False
        self._next_look = 0.0
        self._news, self._news_until = news, perf_counter() + _NEWS_S

    def trusts(self, peak: BandPeak) -> bool:
        """Whether a frame with this peak still has the stream's fringes."""
        if peak.strength < self._weakest:
            return False
        if not self._is_settled:
            self._take_as_usual(peak)
            return True
        is_as_usual = peak.magnitude >= self._faintest and peak.distance(*self._expected) <= self._reach
        return is_as_usual or perf_counter() < self._next_look

    def settle(self, peak: BandPeak) -> None:
        """The carrier was looked for and is the stream's: from now on this is how it looks."""
        self._take_as_usual(peak)
        self._next_look = perf_counter() + _PAUSE_S

    def _take_as_usual(self, peak: BandPeak) -> None:
        self._expected = (peak.fy, peak.fx)
        self._weakest = max(min(_WEAKEST, _WEAKENED * peak.strength), _NOISE)
        self._faintest = _FAINT * peak.magnitude
        self._is_settled = True

    @property
    def news(self) -> str | None:
        """That the fringes moved, for a few seconds after they did."""
        return self._news if self._news is not None and perf_counter() < self._news_until else None


def moved(before: Carrier, after: Carrier) -> str:
    """The sentence that says so."""
    return (
        f"The fringes moved, from {before.period_px:.2f} px at ({before.fy:.3f}, {before.fx:.3f}) to "
        f"{after.period_px:.2f} px at ({after.fy:.3f}, {after.fx:.3f}) cycles per pixel; they were found again."
    )


def between(one: Carrier, other: Carrier) -> float:
    """The distance between two carriers in cycles per pixel."""
    y, x = one.fy - other.fy, one.fx - other.fx
    return hypot(y - round(y), x - round(x))
