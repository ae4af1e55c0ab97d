"""Ids that cells keep from frame to frame, and what becomes of them: new, lost, divided, merged.

Each frame's cells are assigned to the tracks so that the sum of costs is least (Jonker–Volgenant, as Jaqaman et al.,
Nat. Methods 5, 695, 2008, use it). A cost is how far a cell lies from where its track expects it, and how unlike its
mass is. What lies beyond the gate is never assigned.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.cells import Cells
from qpi_live.models.analysis.growth import Growth, fit_growth
from scipy.optimize import linear_sum_assignment

_MASS_WEIGHT = 1.0  # a mass twice as large costs as much as ln 2 gates of distance
_STEADY = 0.5  # share of a new step in the speed that a track expects
_MOST_POINTS = 1024  # of a history; twice as sparse each time it is full
_MOST_ENDED = 1000
_SUM_TOLERANCE = 0.3  # parts and whole weigh the same to within this share
_LOG_LIMIT = 1.5


HISTORY = (
    "frame",
    "time_s",
    "y_px",
    "x_px",
    "area_px",
    "integrated_phase_rad_px",
    "integrated_phase_noise_rad_px",
    "integrated_phase_error_rad_px",
)
"""What is kept of a cell in each frame."""


class Event(NamedTuple):
    """What happened to a cell.

    Attributes:
        kind: `divided` (the id gave rise to `others`) or `merged` (`others` went up in the id).
        id: see there.
        others: ids.
        time_s: when.
    """

    kind: Literal["divided", "merged"]
    id: int
    others: tuple[int, ...]
    time_s: float


@dataclass(slots=True, eq=False)
class Track:
    """One cell through time.

    Attributes:
        id: from 1, never used again.
        parent: the id of the cell that divided into this one and another; 0 where none did.
        since_s: when it was first seen.
        seen_s: when it was last seen.
        y_px, x_px, area_px, phase: as last seen; `phase` is the integrated phase in rad·px.
        merged: ids that went up in it: its mass is theirs too.

    A long history is thinned, so that any life takes little memory.
    """

    id: int
    parent: int
    since_s: float
    seen_s: float
    y_px: float
    x_px: float
    area_px: float
    phase: float
    speed_y: float = 0.0
    speed_x: float = 0.0
    merged: tuple[int, ...] = ()
    missed: int = 0
    _points: array[float] = field(default_factory=lambda: array("d"))
    _stride: int = 1
    _seen: int = 0

    @property
    def history(self) -> NDArray[np.float64]:
        """(n, 8) a row for each frame in which it was seen: see `HISTORY`."""
        return np.array(self._points).reshape(-1, len(HISTORY))

    def note(self, point: tuple[float, ...]) -> None:
        """Add a row to the history."""
        at = len(self._points) - len(HISTORY)
        if at >= 0 and self._points[at] == point[0] and self._points[at + 1] == point[1]:
            self._points[at:] = array("d", point)
            return
        if self._seen % self._stride == 0:
            self._points.extend(point)
            if len(self._points) >= _MOST_POINTS * len(HISTORY):
                self._points = array("d", self.history[::2].tobytes())
                self._stride *= 2
        self._seen += 1

    def growth(self) -> Growth | None:
        """How fast it grows; None before its third point."""
        rows = self.history
        return fit_growth(rows[:, 1], rows[:, 5], rows[:, 6])


class Tracker:
    """Gives the cells of one frame after the other their ids. One thread at a time calls it.

    Args:
        gate: how far a cell may be from where it is expected, in its own diameters.
        patience: frames for which a cell may go unseen and still be found again.

    Attributes:
        events: the newest divisions and merges.
        ended: the tracks that ended last.
    """

    def __init__(self, gate: float = 1.0, patience: int = 5) -> None:
        if not 0 < gate <= 100 or not 0 <= patience <= 10_000:
            raise ValueError(
                f"expected a gate of 0 … 100 diameters and a patience of 0 … 10000, got {gate}, {patience}"
            )
        self.gate = gate
        self.patience = patience
        self.events: deque[Event] = deque(maxlen=1000)
        self.ended: deque[Track] = deque(maxlen=_MOST_ENDED)
        self._tracks: list[Track] = []
        self._next_id = 1
        self._last: tuple[int, float] | None = None

    @property
    def tracks(self) -> list[Track]:
        """The cells that are there, or were a moment ago."""
        return list(self._tracks)

    def update(self, cells: Cells, time_s: float, frame: int = 0) -> NDArray[np.int64]:
        """The ids of a frame's cells, (n,), in the order of its table.

        The same frame once more, measured by other choices, takes the place of what it said before.

        Args:
            cells: what was measured of the frame.
            time_s: when it was taken, in s of any clock; frames come in order.
            frame: its number, for the history.
        """
        is_again, self._last = (frame, time_s) == self._last, (frame, time_s)
        if is_again:  # what began in this very frame begins anew
            self._tracks = [track for track in self._tracks if track.since_s < time_s or track.parent]
        columns = cells.columns
        y, x, area = columns["y_px"], columns["x_px"], columns["area_px"]
        phase, noise = columns["integrated_phase_rad_px"], columns["integrated_phase_noise_rad_px"]
        error = columns["integrated_phase_error_rad_px"]
        ids = np.zeros(len(cells), np.int64)
        taken, found = self._assigned(y, x, area, phase)
        before = {self._tracks[t].id: self._tracks[t].phase for t in taken}
        of_cell: dict[int, Track] = {}
        for t, c in zip(taken, found, strict=True):
            _follow(self._tracks[t], float(y[c]), float(x[c]), float(area[c]), float(phase[c]), time_s)
            of_cell[c] = self._tracks[t]
        gone_on = set(taken)
        lost = [track for t, track in enumerate(self._tracks) if t not in gone_on]
        if not is_again:
            self._note_merges(lost, cells, of_cell, before, time_s)
        for c in range(len(cells)):
            if c not in of_cell:
                of_cell[c] = self._begin(c, cells, of_cell, before, time_s)
        for c, point in enumerate(zip(*(one.tolist() for one in (y, x, area, phase, noise, error)), strict=True)):
            of_cell[c].note((frame, time_s, *point))
            ids[c] = of_cell[c].id
        for track in () if is_again else lost:
            track.missed += 1
        self.ended.extend(track for track in self._tracks if track.missed > self.patience)
        self._tracks = [track for track in self._tracks if track.missed <= self.patience]
        return ids

    def _assigned(
        self, y: NDArray[np.float64], x: NDArray[np.float64], area: NDArray[np.int64], phase: NDArray[np.float64]
    ) -> tuple[list[int], list[int]]:
        """Which track goes on in which cell."""
        if not self._tracks or not len(y):
            return [], []
        known = np.array([(t.y_px, t.x_px, t.speed_y, t.speed_x, t.missed, t.area_px, t.phase) for t in self._tracks])
        late = (known[:, 4] + 1)[:, None]
        down = known[:, 0:1] + known[:, 2:3] * late - y
        right = known[:, 1:2] + known[:, 3:4] * late - x
        reach = self.gate * 2 * np.sqrt(np.maximum(known[:, 5:6], area) / pi)
        distance = np.hypot(down, right) / reach
        ratio = np.abs(np.log(np.maximum(phase, 1e-3) / np.maximum(known[:, 6:7], 1e-3)))
        cost = distance**2 + _MASS_WEIGHT * np.minimum(ratio, _LOG_LIMIT) ** 2
        allowed = distance <= 1
        rows, columns = linear_sum_assignment(np.where(allowed, cost, 1e6))
        kept = allowed[rows, columns]
        return rows[kept].tolist(), columns[kept].tolist()

    def _note_merges(
        self, lost: list[Track], cells: Cells, of_cell: dict[int, Track], before: dict[int, float], time_s: float
    ) -> None:
        """A track that is gone, where a neighbour has gained what it weighed, went up in that one."""
        labels, (height, width) = cells.segmentation.labels, cells.segmentation.labels.shape
        for track in lost:
            if track.missed:
                continue
            place = min(max(round(track.y_px), 0), height - 1), min(max(round(track.x_px), 0), width - 1)
            heir = of_cell.get(int(labels[place]) - 1)
            if heir is None or heir.id not in before:
                continue
            gained = heir.phase - before[heir.id]
            if abs(gained - track.phase) <= _SUM_TOLERANCE * track.phase:
                heir.merged += (track.id, *track.merged)
                self.events.append(Event("merged", heir.id, (track.id,), time_s))

    def _begin(
        self, cell: int, cells: Cells, of_cell: dict[int, Track], before: dict[int, float], time_s: float
    ) -> Track:
        """A new track; the daughter of a neighbour that has lost what it weighs."""
        columns = cells.columns
        y, x, area, phase = (
            float(columns[name][cell]) for name in ("y_px", "x_px", "area_px", "integrated_phase_rad_px")
        )
        parent = 0
        nearest = _nearest(y, x, [track for track in of_cell.values() if track.id in before])
        if nearest is not None and np.hypot(nearest.y_px - y, nearest.x_px - x) < 2 * sqrt(2 * area / pi) * self.gate:
            freed = before[nearest.id] - nearest.phase
            if abs(freed - phase) <= _SUM_TOLERANCE * phase:
                parent = nearest.id
        track = Track(self._next_id, parent, time_s, time_s, y, x, area, phase)
        self._next_id += 1
        self._tracks.append(track)
        if parent and nearest is not None:
            if nearest.merged:  # what had merged parts again
                nearest.merged = ()
                track.parent = 0
            else:
                nearest = self._daughter(nearest, of_cell, time_s)
                self.events.append(Event("divided", parent, (nearest.id, track.id), time_s))
        return track

    def _daughter(self, mother: Track, of_cell: dict[int, Track], time_s: float) -> Track:
        """The other daughter, in place of the mother's track: a cell that divided is no more."""
        daughter = Track(
            self._next_id,
            mother.id,
            time_s,
            time_s,
            mother.y_px,
            mother.x_px,
            mother.area_px,
            mother.phase,
            mother.speed_y,
            mother.speed_x,
        )
        self._next_id += 1
        self._tracks[self._tracks.index(mother)] = daughter
        self.ended.append(mother)
        for cell, track in of_cell.items():
            if track is mother:
                of_cell[cell] = daughter
        return daughter


def _follow(track: Track, y: float, x: float, area: float, phase: float, time_s: float) -> None:
    frames = track.missed + 1
    track.speed_y += _STEADY * ((y - track.y_px) / frames - track.speed_y)
    track.speed_x += _STEADY * ((x - track.x_px) / frames - track.speed_x)
    track.y_px, track.x_px, track.area_px, track.phase = y, x, area, phase
    track.seen_s, track.missed = time_s, 0


def _nearest(y: float, x: float, tracks: list[Track]) -> Track | None:
    return min(tracks, key=lambda track: (track.y_px - y) ** 2 + (track.x_px - x) ** 2, default=None)
