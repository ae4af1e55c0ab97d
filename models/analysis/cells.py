"""The cells of one frame, each with its figures: shape, phase, optical path, dry mass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.mass_doubt import UNCERTAIN, background_doubt_rad
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.segmentation import CellSettings, Segmentation, segment
from qpi_live.models.analysis.shape_sums import sum_shapes

Column = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What was measured of each cell of a frame.

    Attributes:
        columns: by name with its unit, each (n,). Those in pixels and rad are always there, those in µm, nm, fL and pg
            where the optics are known. Cell k has label k + 1. See `CELL_COLUMNS`.
        confluence: share of the frame that cells cover, 0 … 1, masked pixels left out.
        segmentation: where they are.
        scale: what the physical figures were computed with, α among it.
    """

    columns: dict[str, Column]
    confluence: float
    segmentation: Segmentation = field(repr=False)
    scale: Scale

    def __len__(self) -> int:
        return self.segmentation.count

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a cell, of plain numbers."""
        names = list(self.columns)
        return [
            dict(zip(names, row, strict=True)) for row in zip(*(c.tolist() for c in self.columns.values()), strict=True)
        ]


CELL_COLUMNS: dict[str, str] = {
    "label": "number in the label image",
    "y_px": "row of the centroid",
    "x_px": "column of the centroid",
    "area_px": "area",
    "perimeter_px": "length of the outline, by Crofton's formula in four directions",
    "circularity": "4π · area / perimeter², 1 for a disc",
    "eccentricity": "of the ellipse with the same second moments, 0 for a disc",
    "orientation_rad": "of that ellipse's long axis, from x towards y",
    "mean_phase_rad": "mean over the cell, from the background's level",
    "max_phase_rad": "the largest",
    "integrated_phase_rad_px": "sum over the cell's pixels",
    "integrated_phase_error_rad_px": "standard error of that sum: what the background is off around the cell",
    "integrated_phase_noise_rad_px": "the part of it that changes from frame to frame",
    "uncertain": "whether that error is above 5 % of the sum; see the background",
    "cut": "whether the frame's edge cuts it",
    "y_um": "the same in µm",
    "x_um": "the same in µm",
    "area_um2": "the same in µm²",
    "perimeter_um": "the same in µm",
    "mean_opd_nm": "mean optical path difference",
    "max_opd_nm": "the largest",
    "optical_volume_fl": "∫ OPD dA, in fL = µm³",
    "dry_mass_pg": "λ/(2πα) · ΔA · Σφ (Barer 1952)",
    "dry_mass_error_pg": "standard error: what the background is off around the cell; α's own is not in it",
    "dry_mass_density_pg_um2": "dry mass over area",
    "alpha_um3_per_pg": "α that dry mass was computed with",
}
"""Every column that a table of cells may have, in order, and what it says."""


def measure_cells(
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    scale: Scale | None = None,
    settings: CellSettings | None = None,
    background: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Cells:
    """Find the cells of a phase map and measure each.

    Args:
        phase_rad: (H, W) float32 in rad, unwrapped, finite; cells above the background.
        mask: (H, W) bool, True where there is no phase.
        scale: the optics; None: pixels and rad alone.
        settings: what counts as a cell.
        background: (H, W) bool, True where a person says that there is nothing.
        threads: CPU threads to use; None: all cores.

    Raises:
        ValueError: see `segment`.
    """
    phase_rad = np.ascontiguousarray(phase_rad, np.float32)
    found = segment(phase_rad, mask, settings, background, threads)
    return measure_labels(
        phase_rad, found, scale or Scale(), 0 if mask is None else int(np.count_nonzero(mask)), threads
    )


def measure_labels(
    phase_rad: NDArray[np.float32],
    found: Segmentation,
    scale: Scale,
    masked_px: int = 0,
    threads: int | None = None,
) -> Cells:
    """Measure each cell of a segmentation; see `measure_cells`."""
    sums = sum_shapes(found.labels, phase_rad, found.count, found.level_rad, threads)
    if (is_empty := sums.moments[:, 0] == 0).any():  # where the mask leaves blocks of a cell, and none of its pixels
        found = _without(found, is_empty)
        sums = sum_shapes(found.labels, phase_rad, found.count, found.level_rad, threads)
    area, sum_y, sum_x, yy, xx, xy, phase = sums.moments.T
    n = np.maximum(area, 1)
    y, x = sum_y / n, sum_x / n
    # A pixel's own extent, 1/12, belongs to the second moment.
    v, u, w = yy / n - y * y + 1 / 12, xx / n - x * x + 1 / 12, xy / n - x * y
    root = np.sqrt((v - u) ** 2 / 4 + w * w)
    long, short = (v + u) / 2 + root, np.maximum((v + u) / 2 - root, 0)
    perimeter = perimeter_px(sums.crossings)
    # Neighbouring pixels err alike: the noise was measured on means over blocks, and adds up block by block. The level
    # is known from the whole background, far better than that.
    blocks = n / found.block_px**2
    noise = found.noise_rad * n / np.sqrt(np.maximum(blocks / _ALIKE_BLOCKS, 1))
    doubt = noise
    if found.ground_rest_rad is not None:
        doubt = n * background_doubt_rad(found.ground_rest_rad, y, x, n, found.block_px)
    error = np.where(np.isfinite(doubt), np.hypot(doubt, noise), np.abs(phase))  # no ground at all: nothing is known
    columns: dict[str, Column] = {
        "label": np.arange(1, found.count + 1),
        "y_px": y,
        "x_px": x,
        "area_px": area.astype(np.int64),
        "perimeter_px": perimeter,
        "circularity": np.minimum(4 * pi * area / np.maximum(perimeter, 1e-9) ** 2, 1.0),
        "eccentricity": np.sqrt(np.maximum(1 - short / np.maximum(long, 1e-12), 0)),
        "orientation_rad": np.arctan2(2 * w, u - v) / 2,
        "mean_phase_rad": phase / n,
        "max_phase_rad": sums.highest.astype(np.float64),
        "integrated_phase_rad_px": phase.copy(),
        "integrated_phase_error_rad_px": error,
        "integrated_phase_noise_rad_px": noise,
        "uncertain": error > UNCERTAIN * np.abs(phase),
        "cut": sums.cut,
    }
    columns |= _physical(columns, scale)
    seen = found.labels.size - masked_px
    confluence = float(area.sum() / seen) if seen > 0 else 0.0
    return Cells(columns, confluence, found, scale)


def _without(found: Segmentation, is_empty: NDArray[np.bool_]) -> Segmentation:
    """The segmentation without some of its cells, the others numbered anew."""
    number = np.zeros(found.count + 1, np.uint16)
    number[1:][~is_empty] = np.arange(1, np.count_nonzero(~is_empty) + 1)
    coarse = number[found.coarse_labels].astype(np.int32)
    return replace(found, labels=number[found.labels], count=int(number.max()), coarse_labels=coarse)


_ALIKE_BLOCKS = 16.0  # blocks over which the background's waviness stays alike, about


def perimeter_px(crossings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Length of outlines in pixels, from (n, 4) crossings with lines along x, y and both diagonals.

    Crofton's formula over four directions: π/8 · Σ crossings · distance of the lines (Legland, Kiêu & Devaux, Image
    Anal. Stereol. 26, 83, 2007).
    """
    straight = crossings[:, 0] + crossings[:, 1]
    diagonal = (crossings[:, 2] + crossings[:, 3]) / sqrt(2)
    length: NDArray[np.float64] = pi / 8 * (straight + diagonal)
    return length


def _physical(columns: dict[str, Column], scale: Scale) -> dict[str, Column]:
    """The columns in µm, nm, fL and pg that `scale` allows."""
    physical: dict[str, Column] = {}
    phase, error = columns["integrated_phase_rad_px"], columns["integrated_phase_error_rad_px"]
    if scale.pixel_um is not None:
        for name in ("y", "x", "perimeter"):
            physical[f"{name}_um"] = columns[f"{name}_px"] * scale.pixel_um
        physical["area_um2"] = columns["area_px"] * scale.pixel_um**2
    if scale.nm_per_rad is not None:
        for name in ("mean", "max"):
            physical[f"{name}_opd_nm"] = columns[f"{name}_phase_rad"] * scale.nm_per_rad
    if scale.fl_per_rad_px is not None and scale.pg_per_rad_px is not None:
        physical["optical_volume_fl"] = phase * scale.fl_per_rad_px
        physical["dry_mass_pg"] = phase * scale.pg_per_rad_px
        physical["dry_mass_error_pg"] = error * scale.pg_per_rad_px
        physical["dry_mass_density_pg_um2"] = physical["dry_mass_pg"] / np.maximum(physical["area_um2"], 1e-12)
        physical["alpha_um3_per_pg"] = np.full(len(phase), scale.alpha_um3_per_pg)
    return {name: physical[name] for name in CELL_COLUMNS if name in physical}
