"""Which of the two sidebands of an off-axis interferogram is demodulated."""

from __future__ import annotations

from qpi_live.camera.words import Word


class Sideband(Word):
    """The sideband to take: it decides the sign of the phase."""

    AUTO = "auto", "the one in which cells come out positive"
    UPPER = "upper", "the one with the carrier in the spectrum's upper half"
    LOWER = "lower", "its conjugate: the phase's sign flips"
