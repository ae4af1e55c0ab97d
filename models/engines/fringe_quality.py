"""What a frame's fringes are like, in numbers, in one word, and in a sentence where that is needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.chain import Inverted
from qpi_live.models.classical.refusal import saturated_share
from qpi_live.models.phase_frame import FringeState, PhaseQuality

_MOST_SATURATED = 0.01
_MOST_AT_RIM = 0.05  # of the sideband's power; real holograms that come out well have up to 0.044
_STEP = 7  # every seventh pixel along each axis tells the contrast


def fringe_quality(
    frame: Frame, carrier: Carrier, inverted: Inverted, quality: PhaseQuality, news: str | None
) -> PhaseQuality:
    """`quality` with what can be said of the fringes added to it.

    Args:
        frame: the interferogram.
        carrier: that of its stream.
        inverted: what the chain made of it.
        quality: what is known besides.
        news: that the fringes moved, or None.
    """
    saturated = saturated_share(frame.pixels, frame.bit_depth)
    found: list[tuple[FringeState, str]] = []
    if news is not None:
        found.append((FringeState.MOVED, news))
    if carrier.mosaic.is_there:
        state = FringeState.MOSAIC if carrier.mosaic.is_colour else FringeState.CLEAR
        found.append((state, f"{carrier.mosaic.sentence}; the pass band leaves its copies of the fringes out."))
    if carrier.rim_share > _MOST_AT_RIM:
        found.append(
            (
                FringeState.OVERLAPPING,
                f"The bands overlap: {carrier.rim_share:.0%} of the sideband lies at the rim of its pass band. Fringes "
                f"of {carrier.period_px:.1f} px are too coarse for this object, or the reference wave is curved.",
            )
        )
    if carrier.of_many > 1:
        found.append(
            (
                FringeState.CLEAR,
                f"{carrier.of_many} carriers share the frame, as of several reference beams, or of a grating before "
                f"the sensor, whose phase this is not. This is the strongest one's, of {carrier.period_px:.1f} px.",
            )
        )
    if saturated > _MOST_SATURATED:
        found.append((FringeState.SATURATED, f"{saturated:.0%} of the pixels are saturated; lower the exposure."))
    sentences = [sentence for _, sentence in found]
    if quality.warning is not None:
        sentences.insert(0, quality.warning)
    states = [state for state, _ in found if state is not FringeState.CLEAR]
    return replace(
        quality,
        carrier_strength=inverted.peak.strength,
        fringe_contrast=_contrast(frame, inverted),
        saturated_share=saturated,
        fringes=states[0] if states else FringeState.CLEAR,
        warning=" ".join(sentences) or None,
    )


def _contrast(frame: Frame, inverted: Inverted) -> float:
    """(maximum − minimum) / (maximum + minimum) of the fringes: their swing over the mean grey value."""
    amplitude, grey = inverted.amplitude[::_STEP, ::_STEP], frame.pixels[::_STEP, ::_STEP]
    if inverted.mask is not None and not (left_out := inverted.mask[::_STEP, ::_STEP]).all():
        amplitude, grey = amplitude[~left_out], grey[~left_out]
    swing = 2 * float(amplitude.mean())
    mean = float(np.mean(grey, dtype=np.float32))
    return min(swing / mean, 1.0) if mean > 0 else 0.0
