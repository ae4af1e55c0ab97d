"""What a frame's fringes are like, in numbers, in one word, and in a sentence where that is needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.chain import Inverted
from qpi_live.models.classical.crests import cut_crests
from qpi_live.models.classical.refusal import saturated_share
from qpi_live.models.classical.takeda import TakedaRetriever, band_radius
from qpi_live.models.phase_frame import FringeState, PhaseQuality

_MOST_SATURATED = 0.01
_MOST_AT_RIM = 0.05  # of the sideband's power; real holograms that come out well have up to 0.044
_LEAST_ROOM = 0.25  # of |f|, for the pass band's radius; it is a half where nothing comes near the fringes
_FULL = 0.98  # of full scale
_STEP = 7  # every seventh pixel along each axis tells the contrast


def fringe_quality(
    frame: Frame, retriever: TakedaRetriever, inverted: Inverted, quality: PhaseQuality, news: str | None
) -> PhaseQuality:
    """`quality` with what can be said of the fringes added to it.

    Args:
        frame: the interferogram.
        retriever: that of its stream.
        inverted: what the chain made of it.
        quality: what is known besides.
        news: that the fringes moved, or None.
    """
    saturated, where = _saturation(frame, retriever, inverted)
    found = _of_carrier(retriever.carrier)
    if news is not None:
        found.insert(0, (FringeState.MOVED, news))
    if saturated > _MOST_SATURATED:
        found.append(
            (FringeState.SATURATED, f"{saturated:.0%} of the pixels are saturated{where}; lower the exposure.")
        )
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


def _of_carrier(carrier: Carrier) -> list[tuple[FringeState, str]]:
    """What is to be said of the fringes of every frame with this carrier."""
    found: list[tuple[FringeState, str]] = []
    if carrier.mosaic.is_there:
        state = FringeState.MOSAIC if carrier.mosaic.is_colour else FringeState.CLEAR
        found.append((state, f"{carrier.mosaic.sentence}; the pass band leaves its copies of the fringes out."))
    room = band_radius(carrier)
    if room < _LEAST_ROOM * carrier.frequency:
        beside = "a copy of them that the mosaic makes" if carrier.mosaic.is_there else "their own mirror image"
        found.append(
            (
                FringeState.OVERLAPPING,
                f"Only detail coarser than {1 / room:.0f} px is left: at ({carrier.fy:.3f}, {carrier.fx:.3f}) cycles "
                f"per pixel the fringes lie beside {beside}. Tilt the reference a little.",
            )
        )
    elif carrier.rim_share > _MOST_AT_RIM:
        found.append(
            (
                FringeState.OVERLAPPING,
                f"The bands overlap: {carrier.rim_share:.0%} of the sideband lies at the rim of its pass band. Fringes "
                f"of {carrier.period_px:.1f} px are too coarse for this object, or the reference wave is curved.",
            )
        )
    if carrier.line_share > 0:
        found.append(
            (
                FringeState.CLEAR,
                f"The fringes have the profile of lines: their harmonics hold {carrier.line_share:.0%} of their power, "
                "as in a picture of a grating or a print, which has no phase, or from a sensor far from linear.",
            )
        )
    elif carrier.of_many > 1:
        found.append(
            (
                FringeState.CLEAR,
                f"{carrier.of_many} carriers share the frame, as of several reference beams, or of a grating before "
                f"the sensor, whose phase this is not. This is the strongest one's, of {carrier.period_px:.1f} px.",
            )
        )
    return found


def _saturation(frame: Frame, retriever: TakedaRetriever, inverted: Inverted) -> tuple[float, str]:
    """The share of saturated pixels, and where that is not full scale, at which grey value."""
    piled = saturated_share(frame.pixels, frame.bit_depth)
    cut = cut_crests(
        frame.pixels, inverted.phase_rad, inverted.amplitude, inverted.mask, inverted.aberration, retriever
    )
    if cut is None or piled > cut.share:
        return piled, ""
    full_scale = 2**frame.bit_depth - 1
    return cut.share, f", at {cut.grey:.0f} of {full_scale} grey values" if cut.grey < _FULL * full_scale else ""


def _contrast(frame: Frame, inverted: Inverted) -> float:
    """(maximum − minimum) / (maximum + minimum) of the fringes: their swing over the mean grey value."""
    amplitude, grey = inverted.amplitude[::_STEP, ::_STEP], frame.pixels[::_STEP, ::_STEP]
    if inverted.mask is not None and not (left_out := inverted.mask[::_STEP, ::_STEP]).all():
        amplitude, grey = amplitude[~left_out], grey[~left_out]
    swing = 2 * float(amplitude.mean())
    mean = float(np.mean(grey, dtype=np.float32))
    return min(swing / mean, 1.0) if mean > 0 else 0.0
