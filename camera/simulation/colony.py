"""A colony with a memory: cells that wander, grow and divide, each with an id and a known mass in every frame.

The loops of `specimen` have no growth and no descent, which is what measuring and tracking are judged by. Cells are
ellipsoids in suspension (`RoundCell`). They wander as an Ornstein–Uhlenbeck process (persistent random motion: Selmeczi
et al., Biophys. J. 89, 912, 2005). They push each other away where they touch. They grow exponentially in volume, each
at a rate of its own (Mir et al., PNAS 108, 13124, 2011). A cell that has doubled divides in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, exp, log, sin, tau
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.cells import Cell, RoundCell, add_fourth_power
from qpi_live.camera.simulation.interferogram import ForwardModel

_PERSISTENCE_FRAMES = 20.0
_ROUNDS = 2  # of pushing apart, each frame
_CLOSEST = 0.97  # of the sum of two radii: cells touch a little


@dataclass(frozen=True, slots=True)
class ColonySpecimen:
    """What the colony is like.

    Attributes:
        cells: how many there are at the start.
        cell_px: diameter of a typical cell at the start, in pixels.
        peak_rad: phase through the middle of a typical cell at the start.
        step_px: how far a cell wanders from frame to frame, root mean square in pixels.
        growth_per_frame: rate at which volumes grow, ln(V₂/V₁) a frame; 0: they do not.
        growth_spread: standard deviation of the cells' own rates, as a part of that.
        divides: whether a cell that has doubled divides.
    """

    cells: int = 70
    cell_px: float = 75.0
    peak_rad: float = 4.0
    step_px: float = 1.5
    growth_per_frame: float = 0.0
    growth_spread: float = 0.2
    divides: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= 2000:
            raise ValueError(f"expected 1 … 2000 cells, got {self.cells!r}")
        if not 8 <= self.cell_px <= 4096:
            raise ValueError(f"expected a cell diameter in pixels of 8 … 4096, got {self.cell_px!r}")
        if not 0 < self.peak_rad <= 40:
            raise ValueError(f"expected a peak phase in rad of 0 … 40, got {self.peak_rad!r}")
        if not 0 <= self.step_px <= self.cell_px:
            raise ValueError(f"expected a step in pixels of 0 … {self.cell_px:g}, got {self.step_px!r}")
        if not 0 <= self.growth_per_frame <= 0.5:
            raise ValueError(f"expected a growth of 0 … 0.5 a frame, got {self.growth_per_frame!r}")


class ColonyCell(NamedTuple):
    """One cell in one frame.

    Attributes:
        id: its own for all its life, from 1.
        parent: the id of the cell that it came from; 0 for those of the first frame.
        y_px, x_px: its centre.
        scale: its size over the one of its shape.
        shape: what it looks like.
        rate_per_frame: at which its volume grows.
    """

    id: int
    parent: int
    y_px: float
    x_px: float
    scale: float
    shape: RoundCell
    rate_per_frame: float


class Colony:
    """The lives of a colony's cells over `frames` frames of `shape`; the same seed gives the same lives."""

    def __init__(self, specimen: ColonySpecimen, shape: tuple[int, int], seed: int, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"expected 1 frame or more, got {frames}")
        self.specimen = specimen
        self.shape = shape
        self._rng = default_rng([seed, 0xC010])
        self._frames: list[list[ColonyCell]] = []
        cells, at, speed = self._founders()
        for _ in range(frames):
            self._frames.append(
                [c._replace(y_px=float(p[0]), x_px=float(p[1])) for c, p in zip(cells, at, strict=True)]
            )
            cells, at, speed = self._grown(cells, at, speed)
            at, speed = self._moved(cells, at, speed)

    def __len__(self) -> int:
        return len(self._frames)

    def cells(self, frame: int) -> list[ColonyCell]:
        """Those that live in frame `frame`."""
        return self._frames[frame]

    def phase_rad(self, frame: int) -> NDArray[np.float32]:
        """(H, W) float32 in rad, background 0, owned by the caller."""
        return self.drawn(frame)[0]

    def labels(self, frame: int) -> NDArray[np.int32]:
        """(H, W) int32, on each pixel the id of the cell whose phase is the largest there; 0 where there is none."""
        return self.drawn(frame)[1]

    def drawn(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """`phase_rad` and `labels` at once."""
        total, highest = np.zeros(self.shape, np.float32), np.zeros(self.shape, np.float32)
        labels = np.zeros(self.shape, np.int32)
        for cell in self._frames[frame]:
            placed = _Placed(cell)
            box = _box(placed, self.shape)
            if box is None:
                continue
            here = np.zeros(total[box].shape, np.float32)
            add_fourth_power(_Shifted(placed, (box[0].start, box[1].start)), here, 0.0)
            total[box] += here
            wins = here > highest[box]
            highest[box][wins] = here[wins]
            labels[box][wins] = cell.id
        return np.sqrt(np.sqrt(total)), labels

    def _founders(self) -> tuple[list[ColonyCell], NDArray[np.float64], NDArray[np.float64]]:
        specimen, rng = self.specimen, self._rng
        self._next_id = 1
        cells = [self._newborn(0, rng.uniform(0.8, 1.15)) for _ in range(specimen.cells)]
        # From places at random to places apart: pushed until nobody touches, or for long enough.
        at = rng.uniform(0, 1, (specimen.cells, 2)) * self.shape
        for _ in range(400):
            at = self._pushed(cells, at)
        speed = rng.normal(0, specimen.step_px / np.sqrt(2), (specimen.cells, 2))
        return cells, at, speed

    def _newborn(self, parent: int, scale: float, shape: RoundCell | None = None) -> ColonyCell:
        specimen, rng = self.specimen, self._rng
        shape = shape or RoundCell((0.0, 0.0), specimen.cell_px, specimen.peak_rad, rng)
        rate = specimen.growth_per_frame * max(0.0, 1 + specimen.growth_spread * rng.standard_normal())
        cell = ColonyCell(self._next_id, parent, 0.0, 0.0, scale, shape, rate)
        self._next_id += 1
        return cell

    def _grown(
        self, cells: list[ColonyCell], at: NDArray[np.float64], speed: NDArray[np.float64]
    ) -> tuple[list[ColonyCell], NDArray[np.float64], NDArray[np.float64]]:
        grown: list[ColonyCell] = []
        places: list[NDArray[np.float64]] = []
        speeds: list[NDArray[np.float64]] = []
        for cell, place, its_speed in zip(cells, at, speed, strict=True):
            older = cell._replace(scale=cell.scale * exp(cell.rate_per_frame / 3))
            if self.specimen.divides and 3 * log(older.scale) > log(1.9):
                angle = self._rng.uniform(0, tau)
                apart = 0.5 * older.shape.reach_px * older.scale * np.array([sin(angle), cos(angle)])
                for side in (-1, 1):
                    grown.append(self._newborn(cell.id, older.scale / 2 ** (1 / 3), older.shape))
                    places.append(place + side * apart)
                    speeds.append(its_speed)
                continue
            grown.append(older)
            places.append(place)
            speeds.append(its_speed)
        return grown, np.array(places), np.array(speeds)

    def _moved(
        self, cells: list[ColonyCell], at: NDArray[np.float64], speed: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        keep = exp(-1 / _PERSISTENCE_FRAMES)
        kick = self.specimen.step_px / np.sqrt(2) * np.sqrt(1 - keep * keep)
        speed = keep * speed + kick * self._rng.standard_normal(speed.shape)
        moved = at + speed
        for _ in range(_ROUNDS):
            moved = self._pushed(cells, moved)
        for axis, edge in enumerate(self.shape):  # they turn at the frame's edge
            turned = (moved[:, axis] < 0) | (moved[:, axis] > edge - 1)
            speed[turned, axis] *= -1
            moved[:, axis] = np.clip(moved[:, axis], 0, edge - 1)
        return moved, speed

    def _pushed(self, cells: list[ColonyCell], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """A step towards places where cells no more than touch."""
        radius = np.array([cell.shape.reach_px * cell.scale for cell in cells])
        apart = at[:, None] - at[None, :]
        distance = np.sqrt((apart**2).sum(axis=2)) + 1e-6
        overlap = np.maximum(_CLOSEST * (radius[:, None] + radius[None, :]) - distance, 0)
        np.fill_diagonal(overlap, 0)
        shift = (apart / distance[..., None] * overlap[..., None]).sum(axis=1) * 0.25
        step = np.hypot(shift[:, 0], shift[:, 1])[:, None]
        shift *= np.minimum(1, 0.05 * self.specimen.cell_px / np.maximum(step, 1e-6))
        pushed: NDArray[np.float64] = np.clip(at + shift, 0, np.array(self.shape) - 1.0)
        return pushed


class ColonyScene:
    """A colony under an instrument: interferograms with the truth behind each, as `Scene`, but once, not in a loop."""

    def __init__(self, model: ForwardModel, specimen: ColonySpecimen, seed: int = 0, frames: int = 1) -> None:
        self.model = model
        self.seed = seed
        self.colony = Colony(specimen, model.instrument.shape, seed, frames)

    def true_phase_rad(self, frame: int) -> NDArray[np.float32]:
        """The specimen's phase in frame `frame`, (H, W) float32 in rad, background 0."""
        return self.colony.phase_rad(frame)

    def pixels(self, frame: int) -> Pixels:
        """The interferogram of frame `frame`, (H, W) uint8 or uint16, owned by the caller."""
        return self.model.interferogram(self.true_phase_rad(frame), self._rng(frame), frame / len(self.colony))

    def _rng(self, frame: int) -> Generator:
        return default_rng([self.seed, 3, frame])


class _Placed:
    """A cell's shape at its place and in its size; both its width and its height grow."""

    def __init__(self, cell: ColonyCell) -> None:
        self._cell = cell
        self.reach_px = cell.shape.reach_px * cell.scale

    def centre_px(self, turn: float) -> tuple[float, float]:
        """See `Cell.centre_px`."""
        return self._cell.y_px, self._cell.x_px

    def phase_rad(self, y: NDArray[np.float32], x: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
        """See `Cell.phase_rad`."""
        scale = np.float32(self._cell.scale)
        phase: NDArray[np.float32] = scale * self._cell.shape.phase_rad(y / scale, x / scale, turn)
        return phase


class _Shifted:
    """A cell as seen from another first pixel."""

    def __init__(self, cell: Cell, origin_px: tuple[float, float]) -> None:
        self._origin_px = origin_px
        y, x = cell.centre_px(0.0)
        self._centre_px = y - origin_px[0], x - origin_px[1]
        self.reach_px = cell.reach_px
        self.phase_rad = cell.phase_rad

    def centre_px(self, turn: float) -> tuple[float, float]:
        """See `Cell.centre_px`."""
        return self._centre_px


def _box(cell: _Placed, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """The rows and columns that the cell may reach; None where that is none."""
    spans = []
    for centre, edge in zip(cell.centre_px(0.0), shape, strict=True):
        first, last = max(0, int(centre - cell.reach_px) - 1), min(edge, int(centre + cell.reach_px) + 2)
        if last <= first:
            return None
        spans.append(slice(first, last))
    return spans[0], spans[1]
