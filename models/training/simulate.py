"""Seeded pairs of a measured instrument: what the networks train on and are measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.conditions import CONDITIONS
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture
from qpi_live.camera.worker_pool import worker_pool
from qpi_live.models.training.pairs import PairWriter

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
    rng = default_rng([seed, *condition.encode()])
    taken_with, specimen = CONDITIONS[condition].draw(instrument, rng)
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
    origin = {"kind": "simulated", "seed": seed, "mix": dict(mix), "instrument": instrument}
    with (
        PairWriter(folder, splits, instrument.shape, instrument.sensor.bit_depth, origin) as writer,
        worker_pool(processes) as pool,
    ):
        for pair in pool.map(partial(simulate_pair, instrument), conditions, seeds):
            writer.add(pair.pixels, pair.phase_rad, pair.condition)
            on_pair()
