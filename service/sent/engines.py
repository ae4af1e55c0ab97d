"""The engines for frames that are sent: kept for the sizes seen last, within one budget of memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from math import isfinite, log10
from time import monotonic_ns, perf_counter

import numpy as np
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import PhaseEngine, TunableEngine, open_engine, working_bytes
from qpi_live.models.metrics import psnr_db, rms_rad, ssim, without_level
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.sent.task import AskedEngine, Decoded, EnginesCompared, SentRefused, SentTooLarge

_MOST_ENGINES = 4


class SentEngines:
    """Inverts tasks one after the other; not for several threads.

    Args:
        budget_bytes: what all engines that are open may take at once.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._engines: OrderedDict[tuple[object, ...], tuple[PhaseEngine, int]] = OrderedDict()

    def retrieve(self, asked: AskedEngine, task: Decoded) -> LiveFrame:
        """The phase that the engine makes of the task.

        Raises:
            EngineError: no such engine, or it cannot invert the frame.
            SentTooLarge: it would take more memory than there is.
        """
        opened, taken_ns = self._engine(asked, task), monotonic_ns()
        return LiveFrame.timed(opened.retrieve(task.frame), task.camera, taken_ns)

    def compare(self, a: AskedEngine, b: AskedEngine, task: Decoded) -> EnginesCompared:
        """How far two engines agree on the task, and what each takes.

        Raises:
            EngineError: no such engine, or it cannot invert the frame.
            SentTooLarge: one would take more memory than there is.
        """
        (phase_a, a_ms), (phase_b, b_ms) = self._timed(a, task), self._timed(b, task)
        a_rad, b_rad, missing = phase_a.phase_rad, phase_b.phase_rad, task.frame.missing
        share = 1.0
        if missing is not None:  # what is made up there does not count
            level = np.median((a_rad - b_rad)[~missing])
            a_rad = np.where(missing, b_rad + level, a_rad)
            share = 1 - float(missing.mean())
        shifted = without_level(a_rad, b_rad)
        rms = rms_rad(shifted, b_rad) / share**0.5
        psnr = psnr_db(shifted, b_rad) + 10 * log10(share)
        return EnginesCompared(
            rms,
            psnr if isfinite(psnr) else None,
            ssim(shifted, b_rad),
            a_ms,
            b_ms,
            task.frame.shape,
        )

    def close(self) -> None:
        """Let go of all engines."""
        while self._engines:
            self._close_oldest()

    def _timed(self, asked: AskedEngine, task: Decoded) -> tuple[PhaseFrame, float]:
        engine = self._engine(asked, task)
        engine.retrieve(task.frame)  # finds the carrier, which a stream does once and no frame waits for
        start = perf_counter()
        phase = engine.retrieve(task.frame)
        return phase, (perf_counter() - start) * 1e3

    def _engine(self, asked: AskedEngine, task: Decoded) -> PhaseEngine:
        # One thread: the other cores are the live engine's.
        options, frame = replace(task.options, threads=1), task.frame
        key = (asked, frame.shape, frame.bit_depth, replace(options, sideband=Sideband.AUTO))
        engine, needed = self._engines.pop(key, (None, 0))
        if engine is None:
            engine = open_engine(asked.name, options, may_be_file=asked.may_be_file)
            needed = self._needed(asked, engine, frame)
            while self._engines and sum(kept for _, kept in self._engines.values()) + needed > self._budget_bytes:
                self._close_oldest()
            engine.warm_up(frame.shape, frame.bit_depth)
        self._engines[key] = engine, needed
        while len(self._engines) > _MOST_ENGINES:
            self._close_oldest()
        _check_demodulation(asked, engine, task)
        if isinstance(engine, TunableEngine):
            engine.use_sideband(options.sideband)
            engine.use_calibration(task.calibration, force=True)
            engine.forget_instrument()
        return engine

    def _needed(self, asked: AskedEngine, engine: PhaseEngine, frame: Frame) -> int:
        needed = working_bytes(engine, frame.shape)
        if needed <= self._budget_bytes:
            return needed
        engine.close()
        fitting_px = self._budget_bytes * frame.pixels.size // needed
        raise SentTooLarge(
            f"expected at most {fitting_px} pixels for the engine {asked.name!r} within sent_memory_mb = "
            f"{self._budget_bytes >> 20}, got {frame.shape[0]} × {frame.shape[1]}; crop it or take another engine"
        )

    def _close_oldest(self) -> None:
        self._engines.popitem(last=False)[1][0].close()


def _check_demodulation(asked: AskedEngine, engine: PhaseEngine, task: Decoded) -> None:
    """That nothing the task asks for would be left undone in silence."""
    options, calibration = task.options, task.calibration
    is_asked_for = options.sideband is not Sideband.AUTO or options.carrier_cycles_per_px or calibration
    if is_asked_for and not task.is_offered and not isinstance(engine, TunableEngine):
        raise SentRefused(
            f"expected no sideband, carrier or calibration frame for the engine {asked.name!r}, which has none; leave "
            "them out, or take goldstein"
        )
    if calibration is not None and calibration.shape != task.frame.shape:
        raise SentRefused(
            f"expected an interferogram of the calibration frame's shape {calibration.shape}, got {task.frame.shape}"
        )
