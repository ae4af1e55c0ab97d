"""Measures the newest phase frames on a thread of its own, as many as there is time for."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field, replace
from threading import Event, Lock, Thread
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.frame import Frame
from qpi_live.models.analysis.cells import Cells, measure_labels
from qpi_live.models.analysis.regions import RegionFigures, Role, level_of, measure_region, union
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.segmentation import segment
from qpi_live.models.analysis.tracking import Tracker
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.measuring.choices import Choices

NAME = "measuring"
_POLL_S = 0.2
_REST = 1.0  # as long as it has worked, it leaves the core to others
_LONGEST_REST_S = 0.5  # the first frame may have waited for the compiler
_HISTORY = 12_000  # moments of the regions' history: ten minutes at 20 frames a second
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


@dataclass(slots=True, eq=False)
class Series:
    """What frames of one series have in common: the cells' tracks, the regions' histories."""

    key: object = None
    tracker: Tracker = field(default_factory=Tracker)
    moments: deque[tuple[int, int, list[RegionFigures]]] = field(default_factory=lambda: deque(maxlen=_HISTORY))


class Measurer:
    """Measures frames of the hub as the choices of their camera say. Safe to use from any thread.

    Args:
        hub: where frames come from.
        remembered: where choices are kept, by camera.
    """

    def __init__(self, hub: Hub, remembered: RememberedCameras) -> None:
        self._hub = hub
        self._remembered = remembered
        self._mailbox = hub.subscribe(NAME)
        self._choices: dict[str, Choices] = {}
        self._choosing = Lock()
        self._measuring = Lock()
        self._series = Series()
        self._latest: Measured | None = None
        self._complaint = ""
        self._stop = Event()
        self._thread = Thread(target=self._run, name=NAME, daemon=True)

    @property
    def account(self) -> AccountSnapshot:
        """What became of the frames it was offered."""
        return self._mailbox.account.snapshot()

    @property
    def latest(self) -> Measured | None:
        """What was measured last; None before."""
        return self._latest

    @property
    def series(self) -> Series:
        """Tracks and histories since the camera last changed; look at it within `steady`."""
        return self._series

    @property
    def steady(self) -> Lock:
        """Held while a frame is measured: whoever holds it sees a series that stands still."""
        return self._measuring

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End."""
        self._stop.set()
        self._hub.unsubscribe(NAME)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

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
        """The frame without what a person excluded: no engine unwraps across that, or fits the background to it."""
        regions = self.choices(frame.source).regions if frame.source else ()
        excluded = union(regions, Role.EXCLUDED, frame.shape)
        if excluded is None or excluded.all():
            return frame
        return replace(frame, missing=_either(frame.missing, excluded))

    def forget(self) -> None:
        """Begin tracks and histories anew."""
        with self._measuring:
            self._series = Series()
            self._latest = None

    def measure(self, live: LiveFrame, finds_cells: bool | None = None) -> Measured:
        """Measure one frame in the caller's thread; one that was measured last is not measured again.

        Args:
            live: the frame.
            finds_cells: whatever the choices say; None: as they say.
        """
        source = source_of(live)
        choices = self.choices(source)
        wants_cells = choices.finds_cells if finds_cells is None else finds_cells
        with self._measuring:
            last = self._latest
            is_same = last is not None and (last.sequence, last.epoch, last.source) == _identity(live)
            if last is not None and is_same and (last.cells is not None or not wants_cells):
                return last
            self._latest = self._measured(live, choices, wants_cells)
            return self._latest

    def _run(self) -> None:
        account = self._mailbox.account
        while not self._stop.is_set():
            live = self._mailbox.wait(_POLL_S)
            if live is None:
                continue
            if self.choices(source_of(live)).is_empty:
                account.dropped("not asked for")
                continue
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
            del live
            self._stop.wait(min(_REST * (perf_counter() - start), _LONGEST_REST_S))

    def _measured(self, live: LiveFrame, choices: Choices, wants_cells: bool) -> Measured:
        start = perf_counter()
        frame, phase = live.frame, live.phase.phase_rad
        scale = Scale.of(frame.optics, choices.alpha_um3_per_pg)
        key = (source_of(live), frame.epoch, frame.shape, scale)
        if self._series.key != key:
            self._series = Series(key)
        left_out = _either(live.phase.mask, union(choices.regions, Role.EXCLUDED, frame.shape))
        background = union(choices.regions, Role.BACKGROUND, frame.shape)
        cells, ids = None, np.zeros(0, np.int64)
        level_rad = level_of(phase, background, left_out)
        if wants_cells:
            found = segment(phase, left_out, choices.cells, background)
            masked = 0 if left_out is None else int(np.count_nonzero(left_out))
            cells = measure_labels(phase, found, scale, masked)
            ids = self._series.tracker.update(cells, frame.captured_monotonic_ns / 1e9, frame.sequence)
            if background is None:
                level_rad = found.level_rad
        figures = [
            measure_region(phase, region, scale, left_out, level_rad)
            for region in choices.regions
            if region.role is Role.MEASURE
        ]
        if figures:
            self._series.moments.append((frame.sequence, frame.captured_ns, figures))
        took_ms = (perf_counter() - start) * 1e3
        return Measured(*_identity_first(live), scale, cells, ids, figures, level_rad, took_ms)


def source_of(live: LiveFrame) -> str:
    """Which camera a frame is of, as choices are kept."""
    return live.frame.source or live.camera.source


def _identity(live: LiveFrame) -> tuple[int, int, str]:
    return live.frame.sequence, live.frame.epoch, source_of(live)


def _identity_first(live: LiveFrame) -> tuple[int, int, int, str]:
    return live.frame.sequence, live.frame.captured_ns, live.frame.epoch, source_of(live)


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
