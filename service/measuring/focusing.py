"""Where a phase frame is sharpest."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.frame import Pixels
from qpi_live.models.analysis.autofocus import Focus, Sample, around, autofocus
from qpi_live.models.analysis.refocus import depth_of_field_um, field_of
from qpi_live.models.analysis.regions import Region
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.phase_frame import PhaseFrame

_STEPS = 30
_SATURATED = 1e-3  # share of the pixels that was seen to move the focus by more than the depth of field
_MIDDLE_PX = 640  # of a large frame or region, the part that is looked at: the whole would take seconds


def find_focus(
    phase: PhaseFrame, range_um: float, metric: str, sample: Sample, region: Region | None
) -> tuple[Focus, float | None, str]:
    """The focus of a frame or of a region, of the middle of a large one; the depth of field in µm, if known; a remark.

    Raises:
        ValueError: the optics are not known, or the region lies outside of the frame.
    """
    optics = phase.frame.optics
    scale = Scale.of(optics)
    height, width = phase.frame.shape
    ys, xs = zip(*region.points, strict=True) if region is not None else ((0, height - 1), (0, width - 1))
    top, bottom = _middle(max(0, int(min(ys))), min(height, int(max(ys)) + 1))
    left, right = _middle(max(0, int(min(xs))), min(width, int(max(xs)) + 1))
    rows, columns = around((top, left, bottom, right), (height, width))
    if rows.stop - rows.start < 16 or columns.stop - columns.start < 16:
        raise ValueError("expected a region of at least 16 × 16 pixels inside of the frame to focus on")
    field = field_of(phase.phase_rad, phase.amplitude)[rows, columns]
    index = optics.refractive_index if optics else None
    aperture = optics.numerical_aperture if optics else None
    found = autofocus(field, scale, range_um, range_um / _STEPS, metric, sample, index, aperture)
    depth_um = None
    if aperture is not None and scale.wavelength_um is not None:
        depth_um = depth_of_field_um(aperture, scale.wavelength_um, index)
    return found, depth_um, _remark(phase.frame.pixels[rows, columns], phase.frame.bit_depth)


def _remark(pixels: Pixels, bit_depth: int) -> str:
    """Why the focus may be off, in a sentence; "" where nothing says so."""
    share = float(np.count_nonzero(pixels >= (1 << bit_depth) - 1)) / pixels.size
    if share < _SATURATED:
        return ""
    return (
        f"{100 * share:.2g} % of the pixels are saturated: where cells focus the light, some of it is lost, and the "
        "focus found may be off by micrometres. Lower the exposure."
    )


def _middle(begin: int, end: int) -> tuple[int, int]:
    """The middle of a stretch, `_MIDDLE_PX` of it at most."""
    surplus = max(0, end - begin - _MIDDLE_PX)
    return begin + surplus // 2, end - (surplus - surplus // 2)
