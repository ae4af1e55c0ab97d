"""The mean of the newest phase frames, what changed since a reference, how much each pixel fluctuates."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import AccountSnapshot
from qpi_live.models.analysis.averaging import Average, difference
from qpi_live.models.phase_frame import PhaseFrame, either
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import Layer
from qpi_live.service.viewing.worker import Worker, WorkerClosed

NAME = "averaging"
AVERAGED = (Layer.MEAN, Layer.CHANGE, Layer.FLUCTUATION)
"""The layers that are made of several frames."""
_NONE = 0, 0, 0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What later frames are compared with.

    Attributes:
        mean_rad: (H, W) float32 in rad.
        mask: (H, W) bool, True where it is no phase; None: nowhere.
        frames: how many it is the mean of.
        sequence, captured_ns: of the newest of them.
        series: see `_series_of`.
    """

    mean_rad: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    frames: int
    sequence: int
    captured_ns: int
    series: Hashable


class NoAverage(ValueError):
    """There is nothing to take as reference; the text says why."""


class Averager:
    """Averages frames of the hub while it is on, on a worker of its own. Safe to use from any thread.

    A frame that comes while another is being taken in is skipped, and counted. The mean begins anew with another
    camera, window, engine, sign or background: it would else be a mean of two things.

    Args:
        hub: where the frames come from.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._worker = Worker(NAME)
        self._lock = Lock()
        self._most = 1
        self._average = Average(1)
        self._series: Hashable = None
        self._newest = _NONE
        self._reference: Reference | None = None
        self._revision = 0
        self._complaint = ""
        self._mailbox = hub.subscribe(NAME, self._wake)

    @property
    def most(self) -> int:
        """Frames that are averaged over; 1: it is off."""
        return self._most

    @property
    def frames(self) -> int:
        """How many are in the mean at present."""
        return min(self._average.frames, self._most)

    @property
    def reference(self) -> Reference | None:
        """What `change` is counted from; None: nothing was taken."""
        return self._reference

    @property
    def revision(self) -> int:
        """Grows with each choice: what a frame that stands still shows is another thing then."""
        return self._revision

    @property
    def account(self) -> AccountSnapshot:
        """What became of the frames it was offered."""
        return self._mailbox.account.snapshot()

    def choose(self, most: int) -> None:
        """Average over so many frames, beginning anew; 1: do not.

        Raises:
            ValueError: see `Average`.
        """
        average = Average(most)
        with self._lock:
            self._most, self._average, self._newest = most, average, _NONE
            self._revision += 1

    def take_reference(self) -> Reference:
        """Let the mean as it is, or where averaging is off the newest frame, be what later frames are compared with.

        Raises:
            NoAverage: no frame has come.
        """
        live = self._hub.latest
        if live is None:
            raise NoAverage("expected a frame to take as reference, and none has come yet")
        with self._lock:
            self._take_in(live)
            mean_rad, unseen = self._average.mean_rad, self._average.unseen
            _, sequence, captured_ns = self._newest
            self._reference = Reference(mean_rad, unseen, self.frames, sequence, captured_ns, self._series)
            self._revision += 1
            return self._reference

    def drop_reference(self) -> None:
        """Compare with nothing."""
        with self._lock:
            self._reference = None
            self._revision += 1

    def layers(self, live: LiveFrame) -> list[Layer]:
        """Which of its layers there are for a frame."""
        layers = [Layer.MEAN, Layer.FLUCTUATION] if self._most > 1 else []
        return [*layers, Layer.CHANGE] if self.why_no_change(live) is None else layers

    def why_no_change(self, live: LiveFrame) -> str | None:
        """Why a frame cannot be compared with the reference, in one sentence; None: it can."""
        reference = self._reference
        if reference is None:
            return "expected a reference to compare with, got none; take one (PUT /averaging/reference)"
        if reference.series != _series_of(live):
            return (
                "the reference is of another camera, window, engine, sign or background than frames have now; "
                "take one anew"
            )
        return None

    def phase(self, live: LiveFrame, layer: Layer) -> Future[PhaseFrame]:
        """What `layer` shows with the frame and those before it, once for all who ask.

        Raises:
            ValueError: there is no such layer now; the text says what gives it.
        """
        if layer is Layer.CHANGE:
            if (why := self.why_no_change(live)) is not None:
                raise ValueError(why)
        elif self._most == 1:
            raise ValueError("expected averaging to be on, and it is off; say over how many frames (PUT /averaging)")
        return live.share((NAME, layer, self._revision), lambda: self._worker.submit(lambda: self._made(live, layer)))

    def close(self) -> None:
        """End."""
        self._hub.unsubscribe(NAME)
        self._worker.close()

    def _wake(self) -> None:
        if self._most == 1:  # told here, so that the line hands nothing over while nobody averages
            if self._mailbox.take() is not None:
                self._mailbox.account.dropped("not asked for")
            return
        with suppress(WorkerClosed):
            self._worker.submit(self._take)

    def _take(self) -> None:
        live = self._mailbox.take()
        if live is None:
            return
        account = self._mailbox.account
        try:
            with self._lock:
                if self._most == 1:
                    account.dropped("not asked for")
                elif self._take_in(live):
                    account.delivered()
                else:
                    account.dropped("superseded")
        except Exception as error:  # no memory for three frames more, say
            account.failed("internal error")
            if self._complaint != repr(error):  # once, not at the camera's rate
                _log.exception("frame %d could not be averaged", live.sequence)
            self._complaint = repr(error)

    def _take_in(self, live: LiveFrame) -> bool:
        """Let a frame go into the mean; whether it is in: one that is older than the newest is not, any more."""
        own = live.published_monotonic_ns, live.sequence, live.frame.captured_ns
        if own <= self._newest:
            return own == self._newest
        series = _series_of(live)
        if series != self._series or self._most == 1:
            self._average, self._series = Average(self._most), series
        self._average.add(live.phase.phase_rad, live.phase.mask)
        self._newest = own
        return True

    def _made(self, live: LiveFrame, layer: Layer) -> PhaseFrame:
        with self._lock:
            self._take_in(live)
            frames, reference = self.frames, self._reference
            if self._series != _series_of(live) or (layer is Layer.CHANGE and reference is None):
                raise ValueError(
                    f"expected a frame to show the {layer} with, got one from before a change; take the next"
                )
            average, mask = self._average, self._average.unseen
            values = average.deviation_rad if layer is Layer.FLUCTUATION else average.mean_rad
        if layer is Layer.CHANGE and reference is not None:
            mask = either(mask, reference.mask)
            values = difference(values, reference.mean_rad, mask=mask)
        phase = live.phase
        return PhaseFrame(values, phase.frame, phase.engine, {}, phase.quality, mask=mask, averaged_frames=frames)


def _series_of(live: LiveFrame) -> Hashable:
    """What frames must have in common to be averaged or compared."""
    frame, engine = live.frame, live.phase.engine
    made_by = engine.name, *map(engine.detail.get, ("sideband_taken", "background", "background_taken"))
    window = frame.shape, tuple(sorted(frame.sensor_window.items())), frame.origin_px
    return frame.source or live.camera.source, window, made_by
