"""Seeded pairs of a measured instrument: what the networks train on and are measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf, pi
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.instrument import Instrument, Speckle
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture, Kind, Specimen
from qpi_live.models.training.pairs import PairWriter

_NOLL_TERMS = 15  # piston to the fourth order, which is also what the classical background fit takes off
_ROOM_BELOW_NYQUIST = 0.49

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """How far frames of one kind differ from the measured instrument; each range is drawn from uniformly, per frame.

    Attributes:
        contrast: factor on the instrument's fringe contrast, or the contrast itself where `contrast_is_absolute`.
        level: factor on the beam's level.
        steady_noll_rad: aberration that every such frame has beside the instrument's own, Noll coefficients in rad.
        tilt_rad: RMS of the drift of the carrier, as a tilt, in rad over the disc around the frame.
        aberration_rad: RMS of the drift of the aberration, Noll 4 … 15, in rad.
        speckle: strength of the scattered field.
        coverage: part of the frame that cells cover.
        peak_rad: the highest phase of the frame's cells.
        cell_px: diameter of a typical cell.
        kinds: cell kinds, chosen from evenly.
    """

    contrast: Range = (0.8, 1.1)
    contrast_is_absolute: bool = False
    level: Range = (0.75, 1.25)
    steady_noll_rad: tuple[float, ...] = ()
    tilt_rad: Range = (0.0, 0.8)
    aberration_rad: Range = (0.0, 0.4)
    speckle: Range = (0.02, 0.2)
    coverage: Range = (0.05, 0.5)
    peak_rad: Range = (2.0, 12.0)
    cell_px: Range = (90.0, 600.0)
    kinds: tuple[Kind, ...] = ("adherent", "adherent", "ellipsoids", "mixed")


CONDITIONS: Mapping[str, Condition] = {
    "nominal": Condition(),
    "harsh": Condition(
        contrast=(0.3, 0.4),
        contrast_is_absolute=True,
        # Some 40 rad from the deepest to the highest point of the frame, and a tenth of it drifts.
        steady_noll_rad=(0.0, 2.0, -3.0, 9.0, 1.5, -2.0, 0.6, -0.5, 0.3, 0.2, 0.5),
        tilt_rad=(0.0, 1.5),
        aberration_rad=(0.0, 1.0),
        speckle=(0.15, 0.35),
    ),
    "dense": Condition(coverage=(0.8, 0.93)),
}
"""The three conditions of every accuracy table: what a bench looks like, a bad day, and no background to fit."""

TRAINING_MIX = {"nominal": 0.6, "dense": 0.3, "harsh": 0.1}


def parse_mix(text: str) -> dict[str, float]:
    """The shares in `nominal=0.6,harsh=0.4`; what is not named has none. They need not add up to one.

    Raises:
        ValueError: an unknown condition, or a share that is not a positive number.
    """
    mix = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            mix[name] = float(share)
        except ValueError:
            mix[name] = 0.0
        if name not in CONDITIONS or not 0 < mix[name] < inf:
            raise ValueError(f"expected CONDITION=SHARE with one of {', '.join(CONDITIONS)}, got {part.strip()!r}")
    return mix


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPair:
    """An interferogram, its truth, and the instrument that took it (sample-free frames of it calibrate the pair).

    `pixels` is (H, W) uint8 or uint16; `phase_rad` is (H, W) float32, 0 … 12 rad, background 0.
    """

    pixels: Pixels
    phase_rad: NDArray[np.float32]
    instrument: Instrument
    condition: str

    def calibration(self, seed: int = 0) -> Pixels:
        """(H, W) sample-free interferogram with noise of its own."""
        return ForwardModel(self.instrument).calibration(default_rng([seed, 0xCA11]))


def simulate_pair(instrument: Instrument, condition: str, seed: int) -> SimulatedPair:
    """The pair that `seed` stands for: same instrument, condition and seed, same bytes.

    Raises:
        KeyError: no such condition.
    """
    ranges = CONDITIONS[condition]
    rng = default_rng([seed, *condition.encode()])
    taken_with = _on_another_day(instrument, ranges, rng)
    specimen = Specimen(
        kind=ranges.kinds[int(rng.integers(len(ranges.kinds)))],
        coverage=rng.uniform(*ranges.coverage),
        peak_rad=rng.uniform(*ranges.peak_rad),
        cell_px=rng.uniform(*ranges.cell_px),
    )
    phase_rad = Culture(specimen, instrument.shape, seed).phase_rad(0.0)
    pixels = ForwardModel(taken_with).interferogram(phase_rad, rng)
    return SimulatedPair(pixels, phase_rad, taken_with, condition)


def simulate_pairs(
    instrument: Instrument,
    folder: Path,
    splits: Mapping[str, int],
    seed: int,
    mix: Mapping[str, float] = TRAINING_MIX,
    processes: int = 1,
    on_pair: Callable[[], None] = lambda: None,
) -> None:
    """Write a folder of pairs whose conditions are mixed in the given shares.

    Args:
        instrument: as measured.
        folder: to be made.
        splits: pairs per split.
        seed: of the whole set; pair n of it has the seed `seed · 10⁶ + n`, so no two splits share a cell.
        mix: share of each condition.
        processes: how many simulate side by side; the pairs do not depend on it.
        on_pair: called after each pair, for a progress bar.

    Raises:
        DataError: the folder holds a set already.
    """
    names = sorted(mix)
    shares = np.cumsum([mix[name] for name in names]) / sum(mix.values())
    # The golden ratio's multiples spread the conditions evenly over every stretch of the set.
    places = (np.arange(sum(splits.values())) * 0.6180339887498949) % 1
    conditions = [names[index] for index in np.searchsorted(shares, places, side="right")]
    seeds = range(seed * 10**6, seed * 10**6 + len(conditions))
    origin = {"kind": "simulated", "seed": seed, "mix": dict(mix), "instrument": instrument.to_json()}
    with (
        PairWriter(folder, splits, instrument.shape, instrument.sensor.bit_depth, origin) as writer,
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
    ):
        for pair in pool.map(partial(simulate_pair, instrument), conditions, seeds):
            writer.add(pair.pixels, pair.phase_rad, pair.condition)
            on_pair()


def _on_another_day(instrument: Instrument, ranges: Condition, rng: Generator) -> Instrument:
    """The instrument with this frame's contrast, light, aberration and scatter."""
    fringes = instrument.fringes
    contrast = rng.uniform(*ranges.contrast) * (1.0 if ranges.contrast_is_absolute else fringes.contrast)
    noll_rad = np.zeros(_NOLL_TERMS)
    for steady in (instrument.aberration.noll_rad[:_NOLL_TERMS], ranges.steady_noll_rad):
        noll_rad[: len(steady)] += steady
    noll_rad[0] += rng.uniform(-pi, pi)
    tilt = rng.standard_normal(2)
    noll_rad[1:3] += rng.uniform(*ranges.tilt_rad) * tilt / np.hypot(*tilt)
    higher = rng.standard_normal(_NOLL_TERMS - 3) / np.repeat([1.0, 2.0, 3.0], [3, 4, 5])
    noll_rad[3:] += rng.uniform(*ranges.aberration_rad) * higher / np.linalg.norm(higher)
    level = instrument.beam.level * rng.uniform(*ranges.level)
    # Two beams of contrast γ peak at (1 + γ) times their mean; a good operator keeps that within full scale.
    level = min(level, 1.0 / (1.0 + contrast))
    y, x = instrument.beam.centre
    centre = (y + float(rng.normal(0, 0.08)), x + float(rng.normal(0, 0.08)))
    return replace(
        instrument,
        fringes=replace(fringes, contrast=float(np.clip(contrast, 0.05, 1.0))),
        beam=replace(instrument.beam, level=level, centre=centre),
        aberration=replace(instrument.aberration, noll_rad=tuple(float(c) for c in noll_rad), drift_noll_rad=()),
        speckle=Speckle(rng.uniform(*ranges.speckle), 0.5, int(rng.integers(2**31))),
    )
