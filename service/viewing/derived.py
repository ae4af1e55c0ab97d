"""What is made of a finished phase before it is shown: another focus, and what other microscopes would show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.refocus import refocus
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.views import darkfield, dic, gradient_rad_per_px
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.view import Layer

SYNTHETIC = (Layer.GRADIENT, Layer.DIC, Layer.DARKFIELD)
REFOCUSED = (Layer.PHASE, Layer.WRAPPED, Layer.AMPLITUDE, *SYNTHETIC)
"""The layers that follow the focus; the camera's own pixels and other engines' phases do not."""


def derive(phase: PhaseFrame, layer: Layer, focus_um: float) -> PhaseFrame:
    """The phase that `layer` shows at another focus; in place of the phase of a synthetic layer, its values.

    Raises:
        ValueError: the optics are not known well enough to refocus.
    """
    if focus_um:
        phase = refocused(phase, focus_um)
    if layer not in SYNTHETIC:
        return phase
    return replace(phase, phase_rad=np.ascontiguousarray(_values(phase, layer), np.float32))


def refocused(phase: PhaseFrame, distance_um: float) -> PhaseFrame:
    """The frame as seen `distance_um` farther along the light.

    Raises:
        ValueError: the optics are not known well enough.
    """
    optics = phase.frame.optics
    there = refocus(
        phase.phase_rad,
        distance_um,
        Scale.of(optics),
        phase.amplitude,
        phase.mask,
        optics.refractive_index if optics else None,
        optics.numerical_aperture if optics else None,
    )
    return replace(
        phase,
        phase_rad=np.ascontiguousarray(there.phase_rad, np.float32),
        amplitude=None if phase.amplitude is None else np.ascontiguousarray(there.amplitude, np.float32),
    )


def _values(phase: PhaseFrame, layer: Layer) -> NDArray[np.float32]:
    if layer is Layer.GRADIENT:
        return gradient_rad_per_px(phase.phase_rad)
    if layer is Layer.DIC:
        return dic(phase.phase_rad)
    return darkfield(phase.phase_rad, phase.amplitude)
