"""A part of the live frames once more through a second engine, beside the line, to see how far the two agree."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from math import isfinite
from threading import Event, Thread
from time import perf_counter

from camera.account import AccountSnapshot, FrameAccount
from models.engine import PhaseEngine
from models.errors import EngineError, InferenceError
from models.metrics import psnr_db, rms_rad, without_level
from service.hub import Hub, Mailbox
from service.live import LiveFrame

NAME = "baseline"
_POLL_S = 0.2
_WINDOW_FRAMES = 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Means over the newest `frames` that both engines did; None before the first, `psnr_db` also for no difference."""

    frames: int
    rms_rad: float | None
    psnr_db: float | None
    latency_ms: float | None


class Baseline:
    """Runs `engine` on a part of the hub's frames in a thread of its own; it never delays the line.

    Args:
        engine: used and closed by this thread alone, tuned by any.
        fraction: part of the frames to check, 0 … 1. Frames that come while one is being checked are not waited for.
        hub: where the frames come from.
    """

    def __init__(self, engine: PhaseEngine, fraction: float, hub: Hub) -> None:
        self.engine = engine
        self.fraction = fraction
        self.last_failure: str | None = None
        self._mailbox: Mailbox[LiveFrame] = hub.subscribe(NAME)
        self._hub = hub
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=_WINDOW_FRAMES)
        self._stop = Event()
        self._warm_shape: tuple[int, int] | None = None
        self._thread = Thread(target=self._run, name=NAME, daemon=True)

    @property
    def account(self) -> AccountSnapshot:
        """What became of the frames it was offered."""
        return self._mailbox.account.snapshot()

    @property
    def agreement(self) -> Agreement:
        """How far the two engines agree at present."""
        recent = list(self._recent)
        if not recent:
            return Agreement(0, None, None, None)
        rms = sum(one[0] for one in recent) / len(recent)
        psnr = sum(one[1] for one in recent) / len(recent)
        return Agreement(len(recent), rms, psnr if isfinite(psnr) else None, recent[-1][2])

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End, and close the engine."""
        self._stop.set()
        self._hub.unsubscribe(NAME)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        account, credit = self._mailbox.account, 0.0
        while not self._stop.is_set():
            live = self._mailbox.wait(_POLL_S)
            if live is None:
                continue
            credit += self.fraction
            if credit < 1:
                account.dropped("not sampled")
                continue
            credit -= 1
            self._check(live, account)
        self.engine.close()

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
            self.last_failure = repr(error)
            account.failed("internal error")
            _log.exception("the baseline failed on frame %d", live.frame.sequence)
        else:
            account.delivered()

    def _compare(self, live: LiveFrame) -> tuple[float, float, float]:
        frame = live.frame
        if self._warm_shape != frame.shape:
            self.engine.warm_up(frame.shape, frame.bit_depth)
            self._warm_shape = frame.shape
        start = perf_counter()
        reference_rad = self.engine.retrieve(frame).phase_rad
        took_ms = (perf_counter() - start) * 1e3
        phase_rad = without_level(live.phase.phase_rad, reference_rad)
        return rms_rad(phase_rad, reference_rad), psnr_db(phase_rad, reference_rad), took_ms
