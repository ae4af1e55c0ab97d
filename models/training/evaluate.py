"""Measures networks on pairs that training never saw, beside the classical chain on the same frames."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.engine import POLYNOMIAL, EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.metrics import PHASE_RANGE_RAD, psnr_db, ssim
from qpi_live.models.sideband import Sideband
from qpi_live.models.training.pairs import PairSet
from qpi_live.models.training.simulate import simulate_pair

Phase = NDArray[np.float32]
Method = Callable[[Pixels, int], Phase]
"""(H, W) phase in rad of (H, W) grey values, given also the pair's number in the set."""


@dataclass(frozen=True, slots=True)
class Score:
    """How one method did on one pair, on the 0–12 rad scale."""

    method: str
    number: int
    condition: str
    psnr_db: float
    ssim: float


def evaluate(
    pairs: PairSet, methods: Mapping[str, Method], folder: Path, on_pair: Callable[[], None] = lambda: None
) -> list[Score]:
    """Every method on every pair, written to `folder` as `scores.csv` and pictures of each method's extremes.

    The truth is cut to 0 … 12 rad as in training, and what a method says is cut likewise. So none is punished for noise
    around zero that another cannot express.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores: list[Score] = []
    for number, condition in enumerate(pairs.conditions):
        pixels = pairs.pixels(number)
        truth = _cut(pairs.phase_rad(number))
        for name, method in methods.items():
            phase_rad = _cut(method(pixels, number))
            scores.append(Score(name, number, condition, psnr_db(phase_rad, truth), ssim(phase_rad, truth)))
        on_pair()
    _write_scores(scores, folder / "scores.csv")
    for name, method in methods.items():
        _write_pictures(name, [score for score in scores if score.method == name], pairs, method, folder)
    return scores


def classical_method(pairs: PairSet, *, calibrated: bool, background: str = POLYNOMIAL) -> Method:
    """Takeda and Goldstein with a background of order 4, or with the pair's own sample-free frame.

    The carrier is found in each frame (or calibration frame) by itself; its sign is the instrument's.
    A frame that cannot be inverted counts as a flat phase.
    """
    instrument, seed = pairs.card.origin.instrument, pairs.card.origin.seed
    if instrument is None or seed is None:
        raise ValueError("expected pairs of a simulated instrument, whose sideband is known, got others")
    numbers: Sequence[int] = pairs.numbers
    is_upper = Carrier(*instrument.fringes.carrier_cycles_per_px).is_upper
    sideband = Sideband.UPPER if is_upper else Sideband.LOWER

    def method(pixels: Pixels, number: int) -> Phase:
        engine = ClassicalEngine(EngineOptions(optics=instrument.optics, sideband=sideband, background=background))
        try:
            if calibrated:
                pair = simulate_pair(instrument, pairs.conditions[number], seed * 10**6 + numbers[number])
                engine.use_calibration(_frame(pair.calibration(), pairs.bit_depth), force=True)
            return engine.retrieve(_frame(pixels, pairs.bit_depth)).phase_rad
        except (InferenceError, ValueError):
            return np.zeros(pixels.shape, np.float32)

    return method


def table(scores: Sequence[Score]) -> list[tuple[str, str, int, float, float, float]]:
    """Rows (condition, method, frames, median PSNR, worst PSNR, median SSIM); the condition `all` comes last."""
    rows = []
    methods = list(dict.fromkeys(score.method for score in scores))
    for condition in [*sorted({score.condition for score in scores}), "all"]:
        for method in methods:
            chosen = [s for s in scores if s.method == method and condition in ("all", s.condition)]
            psnrs = [s.psnr_db for s in chosen]
            similarity = float(np.median([s.ssim for s in chosen]))
            rows.append((condition, method, len(chosen), float(np.median(psnrs)), min(psnrs), similarity))
    return rows


def _cut(phase_rad: NDArray[np.floating[Any]]) -> Phase:
    cut: Phase = np.clip(phase_rad, 0, PHASE_RANGE_RAD).astype(np.float32)
    return cut


def _frame(pixels: Pixels, bit_depth: int) -> Frame:
    return Frame(pixels, bit_depth, sequence=0, captured_ns=0, captured_monotonic_ns=0)


def _write_scores(scores: Sequence[Score], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "pair", "condition", "psnr_db", "ssim"])
        for score in scores:
            writer.writerow([score.method, score.number, score.condition, f"{score.psnr_db:.3f}", f"{score.ssim:.4f}"])


def _write_pictures(name: str, scores: Sequence[Score], pairs: PairSet, method: Method, folder: Path) -> None:
    """Truth, the method's phase and their difference (±1 rad) side by side, for its best, median and worst pair."""
    ranked = sorted(scores, key=lambda score: score.psnr_db)
    for label, score in (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1])):
        truth = _cut(pairs.phase_rad(score.number))
        phase_rad = _cut(method(pairs.pixels(score.number), score.number))
        panels = [truth / PHASE_RANGE_RAD, phase_rad / PHASE_RANGE_RAD, (phase_rad - truth) / 2 + 0.5]
        grey = (np.clip(np.hstack(panels), 0, 1) * 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / f"{name}-{label}-{score.condition}-{score.psnr_db:.1f}dB.png")
