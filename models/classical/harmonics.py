"""Tells lines from interference: the fringes of two waves are cosines, those of a grating or a print have harmonics."""

from __future__ import annotations

from math import hypot

from qpi_live.models.classical.spectrum import Frequency, Spectrum

_ORDERS = (2, 3)
# Of the fringes' power. A cosine through the gamma of a screen has 0.05 and 0.00, one that is cut off over nearly half
# of its pixels 0.11 and 0.00; lines as wide as their gaps have 0.00 and 0.07, narrower ones 0.2 and 0.01.
_MOST = {2: 0.12, 3: 0.02}
_APART, _BAND = 0.6, 0.25  # of |f|: from zero, where the objects' own spectrum lies, and from the fringes
_FEWEST_BINS = 3


def line_share(spectrum: Spectrum, frequency: Frequency, copies: tuple[Frequency, ...]) -> float:
    """The harmonics' power over that of the fringes where it is more than interference has; else 0.

    Fringes of three pixels and less have harmonics that fold back onto the rest of the spectrum. Nobody can tell there.

    Args:
        spectrum: of the frame.
        frequency: of its fringes.
        copies: frequencies around which a mosaic puts copies of everything.
    """
    apart = _APART * hypot(*frequency)
    band = max(_BAND * hypot(*frequency), _FEWEST_BINS * spectrum.bin)
    if band > apart:
        return 0.0
    opposite = (-frequency[0], -frequency[1])
    others = [(0.0, 0.0), frequency, opposite, *copies]
    shares = {}
    for order in _ORDERS:
        harmonic = (order * frequency[0], order * frequency[1])
        if min(_distance(harmonic, other) for other in others) > apart:
            shares[order] = spectrum.power(harmonic, band, frequency) / max(spectrum.power(frequency, band), 1e-30)
    is_line = any(share > _MOST[order] for order, share in shares.items())
    return sum(shares.values()) if is_line else 0.0


def _distance(one: Frequency, other: Frequency) -> float:
    y, x = one[0] - other[0], one[1] - other[1]
    return hypot(y - round(y), x - round(x))
