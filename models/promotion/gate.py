"""The gate before a promotion: a network beside the one in force, on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from statistics import median
from time import perf_counter, thread_time

import numpy as np
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.worker_pool import worker_pool
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.promotions import Figures, Kind
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.metrics import PHASE_RANGE_RAD, psnr_db, rms_rad, without_level
from qpi_live.models.phase_frame import PhaseFrame, seen_by_both, seen_pixels
from qpi_live.models.promotion.registry import Entry
from qpi_live.models.sideband import Sideband
from qpi_live.models.training.simulate import simulate_pair

CONDITIONS = ("nominal", "dense", "harsh")
_TYPICAL = "nominal"  # whose frames stand for the microscope's own where none are given
_SEED = 0  # sets of pairs have seeds from 1, so no training saw these
_WORSE_DB, _WORSE_RAD, _SLOWER, _SLOWER_MS = 0.1, 0.01, 1.25, 5.0  # what is left to chance
_LEAST_TURNS, _MOST_TURNS, _TIMED_S = 7, 100, 1.0  # the shortest of many is the same on a busy machine too
_CPU = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A simulated frame: (H, W) grey values, its true phase in rad, and its condition."""

    frame: Frame
    true_rad: np.ndarray
    condition: str


@dataclass(frozen=True, slots=True)
class Examination:
    """The frames that networks are judged on.

    Attributes:
        instrument: that the simulated ones are of.
        simulated: frames with their truth.
        recorded: of the user's own microscope; none: the nominal simulated ones take their place.
        optics: of the recorded ones.
    """

    instrument: Instrument
    simulated: Sequence[Simulated]
    recorded: Sequence[Frame] = ()
    optics: Optics | None = None

    def classical_options(self, frame: Frame) -> EngineOptions:
        """For the classical chain on a frame; of simulated frames the sideband is known."""
        if any(frame is recorded for recorded in self.recorded):
            return EngineOptions(optics=self.optics)
        is_upper = Carrier(*self.instrument.fringes.carrier_cycles_per_px).is_upper
        sideband = Sideband.UPPER if is_upper else Sideband.LOWER
        return EngineOptions(optics=self.instrument.optics, sideband=sideband)

    @property
    def compared(self) -> Sequence[Frame]:
        """The frames on which a network is compared with the classical chain."""
        return self.recorded or [one.frame for one in self.simulated if one.condition == _TYPICAL]


def simulate(
    instrument: Instrument, per_condition: int, processes: int = 1, on_frame: Callable[[], None] = lambda: None
) -> list[Simulated]:
    """So many frames of each of `CONDITIONS`, which no training saw."""
    asked = [(condition, _SEED + n) for condition in CONDITIONS for n in range(per_condition)]
    conditions, seeds = zip(*asked, strict=True)
    made = []
    with worker_pool(processes) as pool:
        for pair in pool.map(partial(simulate_pair, instrument), conditions, seeds):
            frame = _frame(pair.pixels, instrument.sensor.bit_depth)
            made.append(Simulated(frame, np.clip(pair.phase_rad, 0, PHASE_RANGE_RAD), pair.condition))
            on_frame()
    return made


class Gate:
    """Judges networks by one examination.

    Args:
        examination: the frames.
        on_frame: called after each frame that a network or the classical chain has done.
    """

    def __init__(self, examination: Examination, on_frame: Callable[[], None] = lambda: None) -> None:
        self._on_frame = on_frame
        self.examination = examination
        self._classical = [(frame, self._by_classical_chain(frame)) for frame in examination.compared]

    def why_not(self, network: Entry) -> str | None:
        """Why `network` does not take the examination's frames; None if it does."""
        if not isinstance(network.card, NetworkCard):
            return None
        frames = [*(one.frame for one in self.examination.simulated), *self.examination.recorded]
        refusals = (network.card.why_not(frame.shape, frame.bit_depth) for frame in frames)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def classical_db(self) -> dict[str, float]:
        """PSNR of the classical chain, without a calibration frame, the median of each condition."""
        return self._psnr_db(lambda frame: ClassicalEngine(self.examination.classical_options(frame)))

    def figures(self, networks: Sequence[Entry]) -> list[Figures]:
        """What is measured of each; their times are taken in turns, and the shortest counts: other work only adds.

        Raises:
            EngineUnavailable: one cannot be opened.
        """
        latencies_ms = self._latencies_ms(networks)
        return [self._figures(network, took_ms) for network, took_ms in zip(networks, latencies_ms, strict=True)]

    def _figures(self, network: Entry, latency_ms: float) -> Figures:
        opened = _Opened(network, self.examination)
        apart_rad = [
            _difference_rad(phase, classical)
            for frame, classical in self._classical
            # A background is the classical chain with another fit: to differ from the polynomial is what it is for.
            if network.kind is Kind.NETWORK
            if classical is not None and (phase := _phase(opened(frame), frame)) is not None
        ]
        return Figures(
            psnr_db=self._psnr_db(opened),
            seen_on="recorded" if self.examination.recorded else "simulated",
            difference_rad=median(apart_rad) if apart_rad else None,
            largest_difference_rad=max(apart_rad) if apart_rad else None,
            latency_ms=latency_ms,
        )

    def _psnr_db(self, engine_for: Callable[[Frame], PhaseEngine]) -> dict[str, float]:
        scores: dict[str, list[float]] = {}
        for one in self.examination.simulated:
            phase = _phase(engine_for(one.frame), one.frame)
            # A frame that cannot be inverted counts as a flat phase.
            phase_rad = np.zeros_like(one.true_rad) if phase is None else np.clip(phase.phase_rad, 0, PHASE_RANGE_RAD)
            scores.setdefault(one.condition, []).append(psnr_db(phase_rad, one.true_rad))
            self._on_frame()
        return {condition: float(np.median(values)) for condition, values in scores.items()}

    def _by_classical_chain(self, frame: Frame) -> PhaseFrame | None:
        phase = _phase(ClassicalEngine(self.examination.classical_options(frame)), frame)
        self._on_frame()
        return phase

    def _latencies_ms(self, networks: Sequence[Entry]) -> list[float]:
        frame = self.examination.compared[0]
        engines = [_Opened(network, self.examination, threads=1)(frame) for network in networks]
        # The time of this thread: on a busy machine nothing else is the same twice. A GPU's is none of it.
        clock = thread_time if all(engine.identity.device == _CPU for engine in engines) else perf_counter
        took: list[list[float]] = [[] for _ in engines]
        until = clock() + _TIMED_S
        for turn in range(_MOST_TURNS + 1):
            for engine, times in zip(engines, took, strict=True):
                began = clock()
                _phase(engine, frame)
                if turn:  # the first one lays out memory
                    times.append((clock() - began) * 1e3)
            if turn >= _LEAST_TURNS and clock() > until:
                break
        shortest: dict[str, float] = {}  # the same file is as fast as itself
        for network, times in zip(networks, took, strict=True):
            shortest[network.sha256] = min(*times, shortest.get(network.sha256, inf))
        return [shortest[network.sha256] for network in networks]


class _Opened:
    """An engine with a network, for one frame after the other; with a background, a chain that knows no other frame."""

    def __init__(self, network: Entry, examination: Examination, threads: int | None = None) -> None:
        self._network = network
        self._examination = examination
        self._threads = threads
        is_network = network.kind is Kind.NETWORK
        self._engine = OnnxEngine(EngineOptions(threads=threads), network.path) if is_network else None

    def __call__(self, frame: Frame) -> PhaseEngine:
        if self._engine is not None:
            return self._engine
        options = self._examination.classical_options(frame)
        return ClassicalEngine(replace(options, background=str(self._network.path), threads=self._threads))


def why_refused(name: str, new: Figures, before_name: str, before: Figures) -> str | None:
    """In which figures a network is worse than the one in force, in a sentence; None if in none.

    A figure that is no number is worse than any.
    """
    worse = [
        f"{condition} frames at {new.psnr_db.get(condition, float('nan')):.1f} dB instead of {old_db:.1f}"
        for condition, old_db in before.psnr_db.items()
        if not new.psnr_db.get(condition, float("nan")) >= old_db - _WORSE_DB
    ]
    if before.difference_rad is not None and not (
        new.difference_rad is not None and new.difference_rad <= before.difference_rad + _WORSE_RAD
    ):
        got = "no phase" if new.difference_rad is None else f"{new.difference_rad:.2f} rad"
        worse.append(
            f"{got} from the classical chain on {new.seen_on} frames instead of {before.difference_rad:.2f} rad"
        )
    if not new.latency_ms <= _SLOWER * before.latency_ms + _SLOWER_MS:
        worse.append(f"{new.latency_ms:.0f} ms a frame instead of {before.latency_ms:.0f}")
    if not worse:
        return None
    return f"expected {name} to be no worse than {before_name}, which is in force, got {'; '.join(worse)}"


def _phase(engine: PhaseEngine, frame: Frame) -> PhaseFrame | None:
    """The phase; None where the engine can make none."""
    try:
        return engine.retrieve(frame)
    except InferenceError:
        return None


def _difference_rad(phase: PhaseFrame, reference: PhaseFrame) -> float:
    """As the live service measures it beside the line."""
    seen = seen_by_both(phase, reference)
    phase_rad, reference_rad = (seen_pixels(made.phase_rad, seen) for made in (phase, reference))
    return rms_rad(without_level(phase_rad, reference_rad), reference_rad)


def _frame(pixels: Pixels, bit_depth: int) -> Frame:
    return Frame(pixels, bit_depth, sequence=0, captured_ns=0, captured_monotonic_ns=0)
