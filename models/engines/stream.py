"""What a classical engine keeps for the frames of one stream: its carrier, its chain, and what is known of its sign."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, StreamKey
from qpi_live.models.classical.aberration import Background
from qpi_live.models.classical.chain import Chain, Inverted, Trust
from qpi_live.models.classical.sign import sign_of_objects
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engines.fringe_watch import FringeWatch
from qpi_live.models.phase_frame import either

_RINGING = 2.0  # periods of the band's edge, as far as the frame's own edges ring inwards
_LOST_RAD, _LOST = 0.1, 2.0  # doubt about the ground that shows a sign to be wrong, and over the other sign's


@dataclass(frozen=True, slots=True)
class Stream:
    """Frames of one stream (`Frame.stream`), with the carrier that was found in them.

    Attributes:
        key: which stream.
        retriever: filters its sideband, at its carrier.
        background: takes the instrument's phase off.
        chain: the steps, laid out.
        watch: tells when the carrier should be looked for again.
        is_sign_known: whether it is known that cells come out positive.
        is_calibrated: whether a calibration frame is divided out.
        calibration_rests: why that is not used, half a sentence; None where it is, or there is none.
        missing: (H, W) bool, True where the calibration frame has no pixels; None where it has all.
    """

    key: StreamKey
    retriever: TakedaRetriever
    background: Background
    chain: Chain
    watch: FringeWatch
    is_sign_known: bool
    is_calibrated: bool
    calibration_rests: str | None
    missing: NDArray[np.bool_] | None

    def has(self, frame: Frame) -> bool:
        """Whether a frame belongs to it, and the chain still works."""
        return self.chain.is_usable and self.key == frame.stream

    def invert(self, frame: Frame, trusts: Trust | None = None) -> Inverted:
        """What the chain makes of a frame, less what the calibration frame misses."""
        if self.missing is not None:
            frame = replace(frame, missing=either(frame.missing, self.missing))
        return self.chain.invert(frame, trusts)

    def sign_in(self, inverted: Inverted) -> int:
        """+1 where cells come out positive, −1 where negative, 0 where there is no telling."""
        doubt_rad = inverted.aberration.doubt_rad
        if doubt_rad is not None:
            # In crowded cells a learned background finds the ground, but is lost in their negative: it has seen none.
            other_rad = self.background.alone().remove(-inverted.phase_rad, inverted.mask).doubt_rad
            if other_rad is not None and max(doubt_rad, other_rad) > max(_LOST_RAD, _LOST * min(doubt_rad, other_rad)):
                return 1 if doubt_rad < other_rad else -1
        return sign_of_objects(inverted.phase_rad, inverted.mask, _RINGING / self.retriever.radius, inverted.amplitude)
