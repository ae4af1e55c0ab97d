"""How far to trust the phase of a frame, and the sentence for a user who should know."""

from __future__ import annotations

from math import hypot

import numpy as np
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.chain import Inverted
from qpi_live.models.engines.fringe_quality import fringe_quality
from qpi_live.models.engines.stream import Stream
from qpi_live.models.phase_frame import PhaseQuality

# Shares of the frame's pixels above which a user should be told.
_MOST_DISPUTED = 0.01
_MOST_RESIDUES = 0.003
# Links between bright pixels that cuts block, over the root of the pixels: 0.00 … 0.04 where the phase is right, 0.18
# and more where steps of 2π are to be seen.
_MOST_BRIGHT_CUTS = 0.1
_MOST_DOUBT_RAD = 0.2


def phase_quality(frame: Frame, inverted: Inverted, stream: Stream) -> PhaseQuality:
    """What can be said of a frame's phase.

    Args:
        frame: the interferogram.
        inverted: what the chain made of it.
        stream: that it belongs to.
    """
    mask = inverted.disputed_mask
    disputed_pixels = 0 if mask is None else int(np.count_nonzero(mask))
    quality = PhaseQuality(
        residues=inverted.residues,
        disputed_pixels=disputed_pixels,
        bright_cut_links=inverted.bright_cut_links,
        masked_share=0.0 if inverted.mask is None else float(inverted.mask.mean()),
        background_order=inverted.aberration.order,
        calibration_tilt_rad=hypot(*inverted.aberration.tilt_rad) if stream.is_calibrated else None,
        background_doubt_rad=inverted.aberration.doubt_rad,
        warning=_of_unwrapping(frame, inverted, disputed_pixels) or _resting(stream) or _of_background(inverted),
    )
    return fringe_quality(frame, stream.retriever, inverted, quality, stream.watch.news)


def _of_unwrapping(frame: Frame, inverted: Inverted, disputed: int) -> str | None:
    height, width = frame.shape
    residues, bright = inverted.residues, inverted.bright_cut_links
    if bright > _MOST_BRIGHT_CUTS * (height * width) ** 0.5:
        return (
            f"The phase may show steps of 2π: its {residues} residues need branch cuts across {bright} links between "
            "bright pixels. Look for vibration, dust or a sample with steep edges."
        )
    if residues > _MOST_RESIDUES * height * width:
        return (
            f"The wrapped phase has {residues} residues, whose branch cuts enclose {disputed} pixels: across them the "
            "multiple of 2π is only the likeliest one."
        )
    if disputed > _MOST_DISPUTED * height * width:
        return (
            f"Branch cuts or the mask part {disputed} pixels from the rest of the frame: their multiple of 2π is only "
            "the likeliest one."
        )
    return None


def _of_background(inverted: Inverted) -> str | None:
    if inverted.aberration.is_bent:
        return (
            "The background is bent, and only its tilt was taken off: take a new calibration frame, or allow a higher "
            "order of the background."
        )
    doubt_rad = inverted.aberration.doubt_rad
    if doubt_rad is not None and doubt_rad > _MOST_DOUBT_RAD:
        return (
            f"There is so little background that the phase's level and tilt may be off by {doubt_rad:.1f} rad: "
            "take a calibration frame."
        )
    return None


def _resting(stream: Stream) -> str | None:
    """The warning where there is a calibration frame that is not used."""
    why = stream.calibration_rests
    if why is None:
        return None
    return f"The background is fitted, since {why}; take a new one, or go back to where it was taken."
