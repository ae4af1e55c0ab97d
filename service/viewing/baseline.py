"""A part of the live frames once more through a second engine, beside the line, to see how far the two agree."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean
from time import perf_counter

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.frame import Frame
from qpi_live.models.artifacts.promotions import Figures
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.errors import EngineError, InferenceError
from qpi_live.models.metrics import psnr_db, rms_rad, without_level
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame, seen_by_both, seen_pixels
from qpi_live.service.line.beside import BesideLine
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.viewing.drift import Drift, DriftAlarm
from qpi_live.service.viewing.worker import Worker

NAME = "baseline"
_CLASSICAL = "classical"
_WINDOW_FRAMES = 30
_LAST_FRAME_S = 60.0
_TOOK = "retrieval"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BaselineAgreement:
    """Means over the newest `frames` that both engines did; None before the first, `psnr_db` also for no difference.

    The two errors are root mean squares against the true phase, None for frames that were not simulated.
    """

    frames: int
    rms_rad: float | None = None
    psnr_db: float | None = None
    latency_ms: float | None = None
    engine_error_rad: float | None = None
    baseline_error_rad: float | None = None


@dataclass(frozen=True, slots=True)
class _Compared:
    rms_rad: float
    psnr_db: float
    latency_ms: float
    engine_error_rad: float | None
    baseline_error_rad: float | None


class Baseline(BesideLine):
    """Runs `engine` on a part of the hub's frames, and on those that somebody wants to see; it never delays the line.

    One thread samples and compares; the engine runs on a worker of its own, once a frame.

    Args:
        engine: the baseline's from now on; tuned by any thread.
        fraction: part of the frames to check, 0 … 1. Frames that come while one is being checked are not waited for.
        hub: where the frames come from.

    Attributes:
        figures_of: what the gate measured of an engine's network; the alarm compares with it.
    """

    def __init__(self, engine: EngineSwitch, fraction: float, hub: Hub) -> None:
        super().__init__(NAME, hub)
        self.engine = engine
        self.figures_of: Callable[[EngineIdentity], Figures | None] = lambda engine: None
        self._alarm = DriftAlarm()
        self.fraction = fraction
        self.last_failure: str | None = None
        self._credit = 0.0
        self._recent: deque[_Compared] = deque(maxlen=_WINDOW_FRAMES)
        self._recent_of: tuple[object, ...] = ()
        self.worker = Worker("baseline engine")
        self._warm_for: tuple[tuple[int, int], int] | None = None

    @property
    def agreement(self) -> BaselineAgreement:
        """How far the two engines agree at present."""
        recent = list(self._recent)
        if not recent:
            return BaselineAgreement(0)
        psnr = fmean(one.psnr_db for one in recent)
        return BaselineAgreement(
            len(recent),
            fmean(one.rms_rad for one in recent),
            psnr if isfinite(psnr) else None,
            recent[-1].latency_ms,
            _mean_or_none([one.engine_error_rad for one in recent]),
            _mean_or_none([one.baseline_error_rad for one in recent]),
        )

    @property
    def drift(self) -> Drift | None:
        """Whether the two differ by more than the gate saw; None where there is nothing to compare with."""
        return self._alarm.now

    def is_beside(self, live: LiveFrame) -> bool:
        """Whether it is another engine than the one that made the frame's phase."""
        return live.phase.engine.name != self.engine.identity.name

    def phase(self, live: LiveFrame) -> Future[PhaseFrame]:
        """What the baseline makes of the frame, once for all who ask, on its worker; EngineError where it cannot."""
        return live.share(NAME, lambda: self.worker.submit(lambda: self._retrieve(live.frame)))

    def _take(self, live: LiveFrame, account: FrameAccount) -> float:
        if not self.is_beside(live):
            account.dropped("same engine")
            self._recent.clear()
            self._alarm.see(None, 0, None)
            return 0.0
        self._credit += self.fraction
        if self._credit < 1:
            account.dropped("not sampled")
            return 0.0
        self._credit -= 1
        self._check(live, account)
        return 0.0

    def _end(self) -> None:
        self.worker.submit(self.engine.close)
        self.worker.close()
        self.worker.join(_LAST_FRAME_S)

    def _check(self, live: LiveFrame, account: FrameAccount) -> None:
        try:
            self._recent.append(self._compare(live))
        except InferenceError as error:
            self.last_failure = str(error)
            account.failed(error.reason)
        except EngineError as error:
            self.last_failure = str(error)
            account.failed("engine unavailable")
        except Exception as error:
            if self.last_failure != repr(error):  # once, not at the camera's rate
                _log.exception("the baseline failed on frame %d", live.frame.sequence)
            self.last_failure = repr(error)
            account.failed("internal error")
        else:
            self._watch_drift(live.phase.engine)
            account.delivered()

    def _watch_drift(self, engine: EngineIdentity) -> None:
        """The gate compared with the classical chain; what another baseline says is not held against its figures."""
        figures = self.figures_of(engine) if self.engine.identity.kind == _CLASSICAL else None
        agreement = self.agreement
        self._alarm.see(agreement.rms_rad, agreement.frames, figures)

    def _retrieve(self, frame: Frame) -> PhaseFrame:
        if self._warm_for != (frame.shape, frame.bit_depth):
            self.engine.warm_up(frame.shape, frame.bit_depth)
            self._warm_for = frame.shape, frame.bit_depth
        start = perf_counter()
        phase = self.engine.retrieve(frame)
        return replace(phase, stages_ms={**phase.stages_ms, _TOOK: (perf_counter() - start) * 1e3})

    def _compare(self, live: LiveFrame) -> _Compared:
        engine = live.phase.engine
        of = live.frame.source, engine.name, engine.version, engine.detail.get("file")
        if of != self._recent_of:
            self._recent.clear()
            self._recent_of = of
        reference = self.phase(live).result()
        seen = seen_by_both(live.phase, reference)
        phase_rad, reference_rad = (seen_pixels(made.phase_rad, seen) for made in (live.phase, reference))
        levelled = without_level(phase_rad, reference_rad)
        true_rad = seen_pixels(live.frame.true_phase_rad(), seen) if live.frame.true_phase_rad else None
        return _Compared(
            rms_rad(levelled, reference_rad),
            psnr_db(levelled, reference_rad),
            reference.stages_ms[_TOOK],
            None if true_rad is None else rms_rad(phase_rad, true_rad),
            None if true_rad is None else rms_rad(reference_rad, true_rad),
        )


def _mean_or_none(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
