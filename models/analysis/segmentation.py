"""Which pixels are cells, and of which cell.

What rises out of the background's noise is cell; cells that touch are parted where the landscape phase × depth sinks
between them. Found on a map of reduced resolution, on which a frame takes milliseconds; outlines follow the full one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.basins import depth_px, root_of, split_hills
from qpi_live.models.analysis.fine_labels import above_threshold, labels_of_pixels
from qpi_live.models.analysis.ground import Ground, find_ground
from qpi_live.models.analysis.landscape import kept, landscape_of
from qpi_live.models.analysis.mass_doubt import ground_rest
from qpi_live.models.classical.bands import begun

_MOST_CELLS = 65_535
_STANDS_OUT = 2.0  # times the threshold: a cell's least height at its highest point


@dataclass(frozen=True, slots=True)
class CellSettings:
    """What counts as a cell.

    Attributes:
        threshold_rad: a cell's least height over the background, in rad; None: `noises` times the background's noise.
        noises: see there.
        least_px: a cell's least area, in pixels of the frame; what is smaller is dust.
        dip: touching cells are parted where phase × depth sinks by more than this share between them, 0 … 1.
        clear_border: leave out cells that the frame's edge cuts, whose mass is not known.

    Raises:
        ValueError: one of them is beyond its range.
    """

    threshold_rad: float | None = None
    noises: float = 5.0
    least_px: int = 200
    dip: float = 0.3
    clear_border: bool = False

    def __post_init__(self) -> None:
        if self.threshold_rad is not None and not 0 < self.threshold_rad < 1000:
            raise ValueError(f"expected a threshold in rad above 0, got {self.threshold_rad!r}")
        if not 1 <= self.noises <= 100:
            raise ValueError(f"expected a threshold of 1 … 100 times the noise, got {self.noises!r}")
        if not 1 <= self.least_px <= 10**8:
            raise ValueError(f"expected a least area of 1 pixel or more, got {self.least_px!r}")
        if not 0 <= self.dip < 1:
            raise ValueError(f"expected a dip of 0 … 1, got {self.dip!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The cells of one frame.

    Attributes:
        labels: (H, W) uint16, 1 … count on cells, 0 elsewhere.
        count: of cells.
        level_rad: the background's level, which a cell's phase is counted from.
        noise_rad: the background's noise, of means over `block_px`² pixels.
        threshold_rad: the height over the level at which cells begin.
        block_px: edge of the blocks on which the cells were told apart, in pixels.
        coarse_labels: (H // block, W // block) int32, the same labels on blocks.
        ground_rest_rad: of the same shape, float32, what the ground is off the level, NaN on cells; None: not known.
    """

    labels: NDArray[np.uint16]
    count: int
    level_rad: float
    noise_rad: float
    threshold_rad: float
    block_px: int
    coarse_labels: NDArray[np.int32]
    ground_rest_rad: NDArray[np.float32] | None = None


def segment(
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    settings: CellSettings | None = None,
    background: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Segmentation:
    """The cells of a phase map.

    Args:
        phase_rad: (H, W) float32 in rad, unwrapped, finite; cells above the background.
        mask: (H, W) bool, True where there is no phase; no cell is there.
        settings: see `CellSettings`.
        background: (H, W) bool, True where a person says that there is nothing; level and noise are taken there.
        threads: CPU threads to use; None: all cores.

    Raises:
        ValueError: the phase is no picture, or a mask has another shape.
    """
    settings = settings or CellSettings()
    if phase_rad.ndim != 2 or min(phase_rad.shape) < 8:
        raise ValueError(f"expected a phase map of at least 8 × 8 pixels, got shape {phase_rad.shape}")
    for name, layer in (("mask", mask), ("background", background)):
        if layer is not None and layer.shape != phase_rad.shape:
            raise ValueError(f"expected a {name} of the phase's shape {phase_rad.shape}, got {layer.shape}")
    phase_rad = kept(phase_rad)
    ground, smooth, dark, block_px = landscape_of(phase_rad, mask, background, threads)
    rise = ground.noise_rad * settings.noises if settings.threshold_rad is None else settings.threshold_rad
    # The second core looks for the rims while this one parts the hills.
    is_above = begun(threads, _above_rim, phase_rad, ground, rise, block_px, settings)
    is_hill = (smooth > ground.level_rad + rise) & ~dark
    least = max(1, round(settings.least_px / block_px**2))
    _fill_and_clean(is_hill, least)
    height, depth = smooth - np.float32(ground.level_rad), depth_px(is_hill)
    basins = split_hills(height * depth, is_hill, settings.dip, least)
    # What nowhere stands out, or is a thread, is the background's waviness, a fringe or the rim of a mask.
    high, deep = np.float32(_STANDS_OUT * rise), np.float32(sqrt(least / pi) / 2)
    is_cell = _stand_out(basins, height, depth, high, deep, least, settings.clear_border)
    count = _number(basins, is_cell)
    labels = labels_of_pixels(is_above(), basins, block_px, mask, threads)
    rest = ground_rest(smooth, dark, basins, ground.level_rad, rise)
    return Segmentation(labels, count, ground.level_rad, ground.noise_rad, rise, block_px, basins, rest)


def _above_rim(
    phase_rad: NDArray[np.float32], ground: Ground, rise: float, block_px: int, settings: CellSettings
) -> NDArray[np.bool_]:
    """(H, W) bool, which pixels are high enough for the rim of a cell: above the noise of single pixels too."""
    if settings.threshold_rad is None:
        fine = find_ground(_means_of_nine(phase_rad, 2 * block_px))
        rise = max(rise, settings.noises * min(fine.noise_rad, 3 * ground.noise_rad))
    return above_threshold(phase_rad, ground.level_rad + rise, 1)


def level_between_cells(
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    background: NDArray[np.bool_] | None = None,
) -> float:
    """The level in rad that `segment` counts from, without looking for cells; arguments as there."""
    return landscape_of(np.ascontiguousarray(phase_rad, np.float32), mask, background).ground.level_rad


@numba.njit(nogil=True, cache=True)
def _fill_and_clean(is_hill: NDArray[np.bool_], least: int) -> None:
    """Fill holes and take away specks of fewer than `least` blocks; what touches the frame's edge is no hole.

    Runs of a row that touch runs of the row above belong together (Rosenfeld & Pfaltz, JACM 13, 471, 1966).
    """
    rows, columns = is_hill.shape
    most = rows * columns
    starts, ends, row_of = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    parent, sizes, at_edge = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.bool_)
    count, above = 0, 0
    for y in range(rows):
        first, x = count, 0
        while x < columns:
            kind, start = is_hill[y, x], x
            while x < columns and is_hill[y, x] == kind:
                x += 1
            starts[count], ends[count], row_of[count], parent[count], sizes[count] = start, x, y, count, x - start
            at_edge[count] = y == 0 or y == rows - 1 or start == 0 or x == columns
            for other in range(above, first):  # those of the row above that are not yet behind
                if starts[other] >= x:
                    break
                if ends[other] <= start:
                    above = other + 1
                elif is_hill[y - 1, starts[other]] == kind:
                    _unite(parent, sizes, at_edge, count, other)
            count += 1
        above = first
    for run in range(count):
        root = root_of(parent, run)
        kind = is_hill[row_of[run], starts[run]]
        if sizes[root] < least and (kind or not at_edge[root]):
            is_hill[row_of[run], starts[run] : ends[run]] = not kind


@numba.njit(nogil=True, cache=True)
def _unite(
    parent: NDArray[np.int32], sizes: NDArray[np.int32], at_edge: NDArray[np.bool_], one: int, other: int
) -> None:
    one, other = root_of(parent, one), root_of(parent, other)
    if one != other:
        parent[one] = other
        sizes[other] += sizes[one]
        at_edge[other] |= at_edge[one]


@numba.njit(nogil=True, cache=True)
def _stand_out(
    labels: NDArray[np.int32],
    height: NDArray[np.float32],
    depth: NDArray[np.float32],
    least_height: np.float32,
    least_depth: np.float32,
    least: int,
    clear_border: bool,
) -> NDArray[np.bool_]:
    """For each label: whether it is that high, and that deep, somewhere, and large enough, and not cut where asked."""
    rows, columns = labels.shape
    most = 0
    for y in range(rows):
        for x in range(columns):
            most = max(most, labels[y, x])
    is_high, is_deep, sizes = np.zeros(most + 1, np.bool_), np.zeros(most + 1, np.bool_), np.zeros(most + 1, np.int64)
    for y in range(rows):
        for x in range(columns):
            label = labels[y, x]
            if label:
                sizes[label] += 1
                is_high[label] |= height[y, x] >= least_height
                is_deep[label] |= depth[y, x] >= least_depth
                if clear_border and (y == 0 or x == 0 or y == rows - 1 or x == columns - 1):
                    sizes[label] -= rows * columns
    return is_high & is_deep & (sizes >= least)


@numba.njit(nogil=True, cache=True)
def _number(labels: NDArray[np.int32], is_cell: NDArray[np.bool_]) -> int:
    """Number the labels of cells from 1 on in raster order, in place; what is no cell becomes 0."""
    rows, columns = labels.shape
    number = np.zeros(is_cell.size, np.int32)
    count = 0
    for y in range(rows):
        for x in range(columns):
            label = labels[y, x]
            if label:
                if number[label] == 0 and is_cell[label] and count < _MOST_CELLS:
                    count += 1
                    number[label] = count
                labels[y, x] = number[label]
    return count


@numba.njit(nogil=True, cache=True)
def _means_of_nine(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means over 3 × 3 pixels around every `step`-th one, the outermost left out."""
    rows, columns = (values.shape[0] - 2) // step, (values.shape[1] - 2) // step
    means = np.empty((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            total = np.float32(0)
            for y in range(row * step, row * step + 3):
                for x in range(column * step, column * step + 3):
                    total += values[y, x]
            means[row, column] = total / np.float32(9)
    return means
