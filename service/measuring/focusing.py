"""Where a phase frame is sharpest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from qpi_live.camera.frame import Pixels
from qpi_live.models.analysis.autofocus import DEFAULT_METRIC, Focus, Sample, around, autofocus
from qpi_live.models.analysis.refocus import depth_of_field_um, field_of
from qpi_live.models.analysis.regions import Region
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.phase_frame import PhaseFrame

_STEPS = 30
_SPOILT_LEAST = "edge_sparsity"  # of all metrics, by light that was lost to saturation (`bench/measure.py`)
_SATURATED = 1e-3  # share of the pixels that was seen to move the focus by more than the depth of field
_MIDDLE_PX = 640  # of a large frame or region, the part that is looked at: the whole would take seconds


class Found(NamedTuple):
    """The focus of a frame.

    Attributes:
        focus: where it is sharpest.
        metric: by which metric.
        depth_um: the depth of field in µm; None where it is not known.
        remark: why the focus may be off, in a sentence; "" where nothing says so.
    """

    focus: Focus
    metric: str
    depth_um: float | None
    remark: str


def find_focus(phase: PhaseFrame, range_um: float, metric: str | None, sample: Sample, region: Region | None) -> Found:
    """The focus of a frame or of a region, of the middle of a large one.

    Args:
        phase: the frame.
        range_um: what to search, in µm.
        metric: see `autofocus`; None: its default, or what saturation spoils least where there is some.
        sample: see `autofocus`.
        region: where to look; None: everywhere.

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
    remark = _remark(phase.frame.pixels[rows, columns], phase.frame.bit_depth)
    metric = metric or (_SPOILT_LEAST if remark else DEFAULT_METRIC)
    found = autofocus(field, scale, range_um, range_um / _STEPS, metric, sample, index, aperture)
    depth_um = None
    if aperture is not None and scale.wavelength_um is not None:
        depth_um = depth_of_field_um(aperture, scale.wavelength_um, index)
    return Found(found, metric, depth_um, remark)


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
