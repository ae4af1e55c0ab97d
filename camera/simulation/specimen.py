"""Living specimens for the simulator: cells that move, and the exact phase they give the light.

A cell's phase is the optical path through it, (2π/λ)·∫Δn dz, as a thin object (Born & Wolf §8.6; Park, Depeursinge &
Popescu, Nat. Photonics 12, 578 (2018)). Cells beside each other push rather than pile up: phases are joined by (Σφ⁴)^¼,
a maximum without a crease. Every motion runs through a whole number of its periods in one turn of the loop, so the loop
has no seam. It depends on the seed and the turn alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from qpi_live.camera.simulation.cells import AdherentCell, Cell, RoundCell, add_fourth_power
from scipy.ndimage import distance_transform_edt

Kind = Literal["ellipsoids", "adherent", "mixed"]
_COARSE_PX = 8  # pitch of the raster on which coverage is counted
_MOST_CELLS = 2000
_HEADROOM = 0.92  # the peak is set from a coarse raster at four instants, which misses the finest detail


@dataclass(frozen=True, slots=True)
class Specimen:
    """What lies under the objective.

    Attributes:
        kind: `ellipsoids` (round cells in suspension), `adherent` (spread, irregular cells) or `mixed`.
        coverage: part of the frame that cells cover, 0 … 0.95.
        peak_rad: the highest phase of all the cells, in rad; reached to a few percent, never passed.
        cell_px: diameter of a typical cell, in pixels.
    """

    kind: Kind = "adherent"
    coverage: float = 0.4
    peak_rad: float = 9.0
    cell_px: float = 220.0

    def __post_init__(self) -> None:
        if self.kind not in ("ellipsoids", "adherent", "mixed"):
            raise ValueError(f"expected cells among ellipsoids, adherent, mixed, got {self.kind!r}")
        if not 0 <= self.coverage <= 0.95:
            raise ValueError(f"expected a coverage in 0 … 0.95, got {self.coverage!r}")
        if not 0 < self.peak_rad <= 40:
            raise ValueError(f"expected a peak phase in rad of 0 … 40, got {self.peak_rad!r}")
        if not 16 <= self.cell_px <= 4096:
            raise ValueError(f"expected a cell diameter in pixels of 16 … 4096, got {self.cell_px!r}")


class Culture:
    """One population of a specimen's cells, over a frame of one size."""

    def __init__(self, specimen: Specimen, shape: tuple[int, int], seed: int) -> None:
        self.shape = shape
        self._peak_rad = np.float32(specimen.peak_rad)
        rng = default_rng([seed, 0xCE11])
        self._cells: list[Cell] = []
        margin_px = specimen.cell_px / 2  # cells may lie across the frame's edge
        covered = np.zeros([int((edge + 2 * margin_px) / _COARSE_PX) + 1 for edge in shape], bool)
        inside = tuple(slice(int(margin_px / _COARSE_PX), int((margin_px + edge) / _COARSE_PX) + 1) for edge in shape)
        while covered[inside].mean() < specimen.coverage and len(self._cells) < _MOST_CELLS:
            centre_px = _empty_place(covered, margin_px, rng)
            grow = RoundCell if _is_round(specimen.kind, rng) else AdherentCell
            cell = grow(centre_px, specimen.cell_px, specimen.peak_rad, rng)
            self._cells.append(cell)
            shadow = np.zeros(covered.shape, np.float32)
            add_fourth_power(cell, shadow, 0.0, margin_px, _COARSE_PX)
            covered |= shadow > 0
        highest = max(float(self._joined(turn, _COARSE_PX).max()) for turn in (0.0, 0.25, 0.5, 0.75))
        self._scale = np.float32(_HEADROOM * specimen.peak_rad / highest if highest else 0.0)

    def __len__(self) -> int:
        return len(self._cells)

    def phase_rad(self, turn: float, step_px: int = 1) -> NDArray[np.float32]:
        """The cells' phase at `turn` (0 and 1 are the same instant), on every `step_px`-th pixel.

        Returns:
            (H, W) float32 in rad, both sides over `step_px` and rounded up; 0 where there is no cell, owned by the
            caller.
        """
        phase: NDArray[np.float32] = np.minimum(self._joined(turn, step_px) * self._scale, self._peak_rad)
        return phase

    def _joined(self, turn: float, step_px: int = 1) -> NDArray[np.float32]:
        """(Σφ⁴)^¼ of all cells, on every `step_px`-th pixel."""
        fourth_power = np.zeros([ceil(edge / step_px) for edge in self.shape], np.float32)
        for cell in self._cells:
            add_fourth_power(cell, fourth_power, turn, step_px=step_px)
        joined: NDArray[np.float32] = np.sqrt(np.sqrt(fourth_power))
        return joined


def _is_round(kind: Kind, rng: Generator) -> bool:
    return kind == "ellipsoids" or (kind == "mixed" and rng.random() < 0.4)


def _empty_place(covered: NDArray[np.bool_], margin_px: float, rng: Generator) -> tuple[float, float]:
    """A place in pixels of the frame, the likelier the farther it is from any cell."""
    free = distance_transform_edt(~covered) ** 3 if covered.any() else np.ones(covered.shape)
    cumulative = np.cumsum(free.ravel())
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1]))
    y, x = divmod(index, covered.shape[1])
    return y * _COARSE_PX - margin_px, x * _COARSE_PX - margin_px
