"""Measures the newest phase frames on a thread of its own, as many as there is time for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.frame import Frame
from qpi_live.models.analysis.cells import Cells, measure_labels
from qpi_live.models.analysis.regions import RegionFigures, Role, measure_region, union, with_regions
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.segmentation import level_between_cells, segment
from qpi_live.models.analysis.tracking import Tracker
from qpi_live.service.line.beside import BesideLine
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.measuring.choices import Choices, window_of
from qpi_live.service.measuring.region_table import RegionHistory

NAME = "measuring"
_REST = 1.0  # as long as it has worked, it leaves the core to others
_LONGEST_REST_S = 0.5  # the first frame may have waited for the compiler
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of one frame.

    Attributes:
        sequence, captured_ns, epoch, source: the frame's.
        scale: what physical figures were computed with.
        cells: None where they were not looked for.
        ids: (n,) which the cells keep from frame to frame.
        regions: the figures of each region that is for measuring.
        level_rad: the background's, which all figures are counted from.
        took_ms: how long it took.
        choices: what it was measured by.
    """

    sequence: int
    captured_ns: int
    epoch: int
    source: str
    scale: Scale
    cells: Cells | None
    ids: NDArray[np.int64]
    regions: list[RegionFigures]
    level_rad: float
    took_ms: float
    choices: Choices

    def is_of(self, live: LiveFrame, choices: Choices, wants_cells: bool) -> bool:
        """Whether it is what measuring this frame by these choices would give."""
        frame = live.frame
        is_same = (self.sequence, self.epoch, self.source) == (frame.sequence, frame.epoch, source_of(live))
        alike = self.choices == replace(choices, finds_cells=self.choices.finds_cells)
        return is_same and alike and (self.cells is not None or not wants_cells)

    def is_after(self, live: LiveFrame) -> bool:
        """Whether it is of a newer frame of the same series."""
        frame = live.frame
        return (self.epoch, self.source) == (frame.epoch, source_of(live)) and self.sequence > frame.sequence


@dataclass(slots=True, eq=False)
class Series:
    """What frames of one series have in common: the cells' tracks, the regions' histories."""

    key: object = None
    tracker: Tracker = field(default_factory=Tracker)
    moments: RegionHistory = field(default_factory=RegionHistory)


class Measurer(BesideLine):
    """Measures frames of the hub as the choices of their camera say. Safe to use from any thread.

    Args:
        hub: where frames come from.
        remembered: where choices are kept, by camera.
    """

    def __init__(self, hub: Hub, remembered: RememberedCameras) -> None:
        super().__init__(NAME, hub)
        self._remembered = remembered
        self._choices: dict[str, Choices] = {}
        self._choosing = Lock()
        self._measuring = Lock()
        self._steady = Lock()
        self._series = Series()
        self._latest: Measured | None = None
        self._latest_cells: Measured | None = None
        self._complaint = ""

    @property
    def latest(self) -> Measured | None:
        """What was measured last; None before."""
        return self._latest

    @property
    def latest_cells(self) -> Measured | None:
        """The newest frame whose cells were measured; None before."""
        return self._latest_cells

    @property
    def series(self) -> Series:
        """Tracks and histories since the camera last changed; look at it within `steady`."""
        return self._series

    @property
    def steady(self) -> Lock:
        """Whoever holds it sees a series that stands still. No pixel is looked at, nor code compiled, within it."""
        return self._steady

    def choices(self, camera: str) -> Choices:
        """What is measured of a camera's frames."""
        with self._choosing:
            if camera not in self._choices:
                self._choices[camera] = Choices.from_json(self._remembered.measuring(camera))
            return self._choices[camera]

    def choose(self, camera: str, choices: Choices) -> None:
        """Measure this from the next frame on, now and after a restart."""
        with self._choosing:
            self._choices[camera] = choices
        self._remembered.put_measuring(camera, choices.to_json())

    def leave_out(self, frame: Frame) -> Frame:
        """The frame with what a person drew on it: no engine unwraps across what is excluded, or fits the background
        to it; what is background is ground to them."""
        regions = self.choices(frame.source).regions_on(frame) if frame.source else ()
        return with_regions(frame, regions)

    def forget(self) -> None:
        """Begin tracks and histories anew."""
        with self._steady:
            self._series = Series()
            self._latest = self._latest_cells = None

    def measure(self, live: LiveFrame, finds_cells: bool | None = None) -> Measured:
        """Measure one frame in the caller's thread; one that was measured last by the same choices is not again.

        Args:
            live: the frame.
            finds_cells: whatever the choices say; None: as they say.
        """
        choices = self._bound(live)
        wants_cells = choices.finds_cells if finds_cells is None else finds_cells
        with self._measuring:
            last, newest = self._latest, self._hub.latest
            if last is not None and newest is not None and last.is_after(live):
                live = newest  # it has waited while a newer one was measured: tracks and histories only go on
            if last is not None and last.is_of(live, choices, wants_cells):
                return last
            measured = self._measured(live, choices, wants_cells)
            self._latest = measured
            if measured.cells is not None:
                self._latest_cells = measured
            return measured

    def _bound(self, live: LiveFrame) -> Choices:
        """The choices for a frame; regions that were drawn before the first one hold for its window from now on."""
        source = source_of(live)
        choices = self.choices(source)
        if not choices.regions or choices.drawn_on:
            return choices
        bound = replace(choices, drawn_on=window_of(live.frame))
        with self._choosing:
            if self._choices[source] is choices:
                self._choices[source] = bound
        return self.choices(source)

    def _take(self, live: LiveFrame, account: FrameAccount) -> float:
        if self.choices(source_of(live)).is_empty:
            account.dropped("not asked for")
            return 0.0
        start = perf_counter()
        try:
            self.measure(live)
        except Exception as error:
            account.failed("internal error")
            if self._complaint != repr(error):  # once, not at the camera's rate
                _log.exception("frame %d could not be measured", live.frame.sequence)
            self._complaint = repr(error)
        else:
            account.delivered()
        return min(_REST * (perf_counter() - start), _LONGEST_REST_S)

    def _measured(self, live: LiveFrame, choices: Choices, wants_cells: bool) -> Measured:
        start = perf_counter()
        frame, phase = live.frame, live.phase.phase_rad
        scale = Scale.of(frame.optics, choices.alpha_um3_per_pg)
        regions = choices.regions_on(frame)
        left_out = _either(live.phase.mask, union(regions, Role.EXCLUDED, frame.shape))
        background = union(regions, Role.BACKGROUND, frame.shape)
        cells = None
        if wants_cells:
            found = segment(phase, left_out, choices.cells, background)
            masked = 0 if left_out is None else int(np.count_nonzero(left_out))
            cells, level_rad = measure_labels(phase, found, scale, masked), found.level_rad
        else:
            level_rad = level_between_cells(phase, left_out, background)
        figures = [
            measure_region(phase, region, scale, left_out, level_rad)
            for region in regions
            if region.role is Role.MEASURE
        ]
        with self._steady:
            ids = self._noted(live, cells, figures)
        took_ms = (perf_counter() - start) * 1e3
        identity = frame.sequence, frame.captured_ns, frame.epoch, source_of(live)
        return Measured(*identity, scale, cells, ids, figures, level_rad, took_ms, choices)

    def _noted(self, live: LiveFrame, cells: Cells | None, figures: list[RegionFigures]) -> NDArray[np.int64]:
        """Let the series go on with a frame; the ids of its cells.

        Tracks and regions are in pixels: new optics, or the same camera connected anew, leave the series as it is.
        """
        frame = live.frame
        key = (source_of(live), window_of(frame))
        if self._series.key != key:
            self._series = Series(key)
        if figures:
            self._series.moments.note(frame.sequence, frame.captured_ns, figures)
        if cells is None:
            return np.zeros(0, np.int64)
        return self._series.tracker.update(cells, frame.captured_monotonic_ns / 1e9, frame.sequence)


def source_of(live: LiveFrame) -> str:
    """Which camera a frame is of, as choices are kept."""
    return live.frame.source or live.camera.source


def _either(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return other if one is None else one if other is None else one | other


def cell_table(measured: Measured, series: Series) -> dict[str, Any]:
    """The columns of a measured frame's cells: id first, what was measured, what their tracks tell.

    Growth is that of the dry mass, or of the integrated phase, which it is proportional to, in 1/h.
    """
    cells = measured.cells
    if cells is None:
        return {}
    tracks = {track.id: track for track in series.tracker.tracks}
    own = [tracks.get(int(one)) for one in measured.ids]
    growths = [track.growth() if track else None for track in own]
    columns: dict[str, Any] = {
        "id": measured.ids.tolist(),
        "parent": [track.parent if track else 0 for track in own],
        "merged": [" ".join(map(str, track.merged)) if track else "" for track in own],
        "seen_s": [track.seen_s - track.since_s if track else 0.0 for track in own],
    }
    columns |= {name: column.tolist() for name, column in cells.columns.items()}
    columns["growth_per_h"] = [grown.rate_per_s * 3600 if grown else None for grown in growths]
    columns["growth_error_per_h"] = [grown.rate_error_per_s * 3600 if grown else None for grown in growths]
    return columns
