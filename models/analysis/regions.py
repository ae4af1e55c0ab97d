"""What a person drew on the picture, and what the phase is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from math import ceil, hypot, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.phase_frame import either
from scipy.ndimage import map_coordinates

Point = tuple[float, float]
_FARTHEST_PX = 1e6
_MOST_POINTS = 1000
_BINS = 64


class Shape(StrEnum):
    """The shapes of regions."""

    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    POLYGON = "polygon"
    LINE = "line"


class Role(StrEnum):
    """What a region is for."""

    MEASURE = "measure"
    BACKGROUND = "background"  # there is nothing: level and noise are taken there
    EXCLUDED = "excluded"  # nothing is measured or fitted there


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture.

    Attributes:
        name: a person's, and no other region's.
        shape: see `Shape`.
        points: (y, x) in pixels of the frame, pixel i covers i … i + 1. Two opposite corners of a rectangle, or of the
            box around an ellipse; three or more corners of a polygon; two or more points of a line.
        role: see `Role`.

    Raises:
        ValueError: too few points for the shape, too many, or a point that is no number.
    """

    name: str
    shape: Shape
    points: tuple[Point, ...]
    role: Role = Role.MEASURE

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", Shape(self.shape))
        object.__setattr__(self, "role", Role(self.role))
        object.__setattr__(self, "points", tuple((float(y), float(x)) for y, x in self.points))
        if not isinstance(self.name, str):
            raise ValueError(f"expected a region's name, got {self.name!r}")
        if not 1 <= len(self.name) <= 80:
            raise ValueError(f"expected a region's name of 1 … 80 letters, got {len(self.name)}")
        fewest = 3 if self.shape is Shape.POLYGON else 2
        most = 2 if self.shape in (Shape.RECTANGLE, Shape.ELLIPSE) else _MOST_POINTS
        if not fewest <= len(self.points) <= most:
            raise ValueError(
                f"expected {fewest if fewest == most else f'{fewest} … {most}'} points of a {self.shape}, "
                f"got {len(self.points)}"
            )
        for y, x in self.points:
            if not (isfinite(y) and isfinite(x) and max(abs(y), abs(x)) <= _FARTHEST_PX):
                raise ValueError(f"expected points in pixels, got ({y}, {x})")
        if self.shape is Shape.LINE and self.role is not Role.MEASURE:
            raise ValueError(f"expected an area for a region of role {self.role}, got a line")

    @property
    def length_px(self) -> float:
        """Of a line from its first to its last point; of another shape, its outline's corners once around."""
        ends = self.points if self.shape is Shape.LINE else (*self.points, self.points[0])
        return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ends))

    def inside(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) bool, read-only, True on pixels whose middle lies in the region; a line has none."""
        return _inside(self, shape)


@dataclass(frozen=True, slots=True, eq=False)
class RegionFigures:
    """What was measured in a region; None where there is nothing to measure, or the optics are not known.

    Attributes:
        name: the region's.
        values: the figures by name with unit.
        histogram: (n,) counts of the phase.
        edges_rad: (n + 1,) where its bins begin and end.
    """

    name: str
    values: dict[str, float | None]
    histogram: NDArray[np.int64]
    edges_rad: NDArray[np.float64]


REGION_COLUMNS: dict[str, str] = {
    "pixels": "pixels that were measured, or samples along a line",
    "mean_phase_rad": "mean",
    "spread_phase_rad": "standard deviation over the region",
    "min_phase_rad": "the smallest",
    "max_phase_rad": "the largest",
    "integrated_phase_rad_px": "sum over the pixels; along a line, over its samples",
    "length_um": "of a line",
    "area_um2": "area",
    "mean_opd_nm": "mean optical path difference",
    "spread_opd_nm": "its standard deviation over the region",
    "min_opd_nm": "the smallest",
    "max_opd_nm": "the largest",
    "optical_volume_fl": "∫ OPD dA, in fL = µm³",
    "dry_mass_pg": "λ/(2πα) · ΔA · Σφ (Barer 1952)",
    "alpha_um3_per_pg": "α that dry mass was computed with",
}
"""The figures of a region, in order, and what each says."""


def measure_region(
    phase_rad: NDArray[np.float32],
    region: Region,
    scale: Scale | None = None,
    left_out: NDArray[np.bool_] | None = None,
    level_rad: float = 0.0,
) -> RegionFigures:
    """What the phase is in a region.

    Args:
        phase_rad: (H, W) float32 in rad.
        region: where.
        scale: the optics; None: pixels and rad alone.
        left_out: (H, W) bool, True on pixels without a phase, or that a person excluded.
        level_rad: the phase that counts as 0, such as `level_between_cells` gives.
    """
    scale = scale or Scale()
    shape = phase_rad.shape[0], phase_rad.shape[1]
    is_line = region.shape is Shape.LINE
    if is_line:
        profile = line_profile(phase_rad, region.points, left_out)
        chosen = profile[np.isfinite(profile)]
    else:
        inside = region.inside(shape)
        chosen = phase_rad[inside if left_out is None else inside & ~left_out]
    values = chosen.astype(np.float64) - level_rad
    figures: dict[str, float | None] = {"pixels": float(values.size)}
    if values.size:
        rad = {
            "mean": float(values.mean()),
            "spread": float(values.std()),
            "min": float(values.min()),
            "max": float(values.max()),
        }
        figures |= {f"{name}_phase_rad": value for name, value in rad.items()}
        figures["integrated_phase_rad_px"] = float(values.sum())
        if scale.nm_per_rad is not None:
            figures |= {f"{name}_opd_nm": value * scale.nm_per_rad for name, value in rad.items()}
        if not is_line:
            figures |= _areal(values, scale)
    if is_line and scale.pixel_um is not None:
        figures["length_um"] = region.length_px * scale.pixel_um
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    histogram, edges = np.histogram(values, _BINS, (low, high if high > low else low + 1e-3))
    return RegionFigures(region.name, {name: figures.get(name) for name in REGION_COLUMNS}, histogram, edges)


def _areal(values: NDArray[np.float64], scale: Scale) -> dict[str, float | None]:
    areal: dict[str, float | None] = {}
    total = float(values.sum())
    if scale.um2_per_px is not None:
        areal["area_um2"] = values.size * scale.um2_per_px
    if scale.fl_per_rad_px is not None and scale.pg_per_rad_px is not None:
        areal["optical_volume_fl"] = total * scale.fl_per_rad_px
        areal["dry_mass_pg"] = total * scale.pg_per_rad_px
        areal["alpha_um3_per_pg"] = scale.alpha_um3_per_pg
    return areal


def union(regions: Iterable[Region], role: Role, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """(H, W) bool, True inside of all regions of a role; None where there is none."""
    masks = [region.inside(shape) for region in regions if region.role is role]
    return np.logical_or.reduce(masks) if masks else None


def with_regions(frame: Frame, regions: Iterable[Region]) -> Frame:
    """The frame as engines shall see it: excluded pixels are missing, and background is ground to fit to.

    Regions that exclude the whole frame exclude nothing: there would be no phase.
    """
    drawn = tuple(regions)
    excluded, ground = union(drawn, Role.EXCLUDED, frame.shape), union(drawn, Role.BACKGROUND, frame.shape)
    if excluded is not None and excluded.all():
        excluded = None
    if excluded is None and ground is None:
        return frame
    return replace(frame, missing=either(frame.missing, excluded), ground=ground)


def line_profile(
    phase_rad: NDArray[np.float32], points: Iterable[Point], left_out: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Phase along a line, about one sample a pixel, (n,) float32; NaN outside of the frame and where it is left out."""
    corners = [(y - 0.5, x - 0.5) for y, x in points]  # of a pixel's middle, as arrays count
    samples: list[NDArray[np.float64]] = []
    for (y0, x0), (y1, x1) in pairwise(corners):
        steps = max(1, ceil(hypot(y1 - y0, x1 - x0)))
        samples.append(np.linspace((y0, x0), (y1, x1), steps, endpoint=False))
    samples.append(np.array([corners[-1]]))
    at = np.concatenate(samples).T
    profile: NDArray[np.float32] = map_coordinates(phase_rad, at, order=1, mode="constant", cval=np.nan)
    if left_out is not None:
        touched = map_coordinates(left_out.astype(np.float32), at, order=1) > 0
        profile[touched] = np.nan
    return profile


@lru_cache(maxsize=64)
def _inside(region: Region, shape: tuple[int, int]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, np.bool_)
    if region.shape is not Shape.LINE:
        ys, xs = zip(*region.points, strict=True)
        rows = np.arange(max(0, int(min(ys))), min(shape[0], ceil(max(ys)) + 1))
        columns = np.arange(max(0, int(min(xs))), min(shape[1], ceil(max(xs)) + 1))
        if rows.size and columns.size:
            part = _shape_at(region, rows[:, None] + 0.5, columns[None, :] + 0.5)
            inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = part
    inside.flags.writeable = False
    return inside


def _shape_at(region: Region, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.bool_]:
    if region.shape is Shape.POLYGON:
        return _polygon_at(region.points, y, x)
    (y0, x0), (y1, x1) = region.points
    if region.shape is Shape.RECTANGLE:
        inside: NDArray[np.bool_] = (np.abs(y - (y0 + y1) / 2) <= abs(y1 - y0) / 2) & (
            np.abs(x - (x0 + x1) / 2) <= abs(x1 - x0) / 2
        )
        return inside
    v, u = (y - (y0 + y1) / 2) / max(abs(y1 - y0) / 2, 1e-9), (x - (x0 + x1) / 2) / max(abs(x1 - x0) / 2, 1e-9)
    ellipse: NDArray[np.bool_] = v * v + u * u <= 1
    return ellipse


def _polygon_at(points: tuple[Point, ...], y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.bool_]:
    """Even–odd rule: a ray to the left crosses the outline an odd number of times (Shimrat, CACM 5, 434, 1962)."""
    inside = np.zeros((y.shape[0], x.shape[1]), np.bool_)
    for (y0, x0), (y1, x1) in zip(points, (*points[1:], points[0]), strict=True):
        if y0 == y1:
            continue
        rows = np.flatnonzero(((y > min(y0, y1)) & (y <= max(y0, y1)))[:, 0])
        at = x0 + (y[rows] - y0) * ((x1 - x0) / (y1 - y0))
        inside[rows] ^= x > at
    return inside
