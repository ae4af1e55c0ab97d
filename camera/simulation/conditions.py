"""The conditions that cells are looked at under: one list for the simulated camera, the benchmarks and the training.

A condition is a set of ranges around an instrument. Training and accuracy tables draw a new member of it for every
frame. The simulated camera and the latency benchmark show one member that stays, its example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import pi

import numpy as np
from numpy.random import Generator
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle
from qpi_live.camera.simulation.specimen import Kind, Specimen

_NOLL_TERMS = 15  # piston to the fourth order, which is also what the classical background fit takes off

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """How far frames of one kind differ from their instrument; each range is drawn from uniformly, per frame.

    Attributes:
        contrast: factor on the instrument's fringe contrast, or the contrast itself where `contrast_is_absolute`.
        level: factor on the beam's level.
        added: aberration that every such frame has beside the instrument's own. Only an example drifts as it says.
        tilt_rad: RMS of the drift of the carrier, as a tilt, in rad over the disc around the frame.
        aberration_rad: RMS of the drift of the aberration, Noll 4 … 15, in rad.
        speckle: strength of the scattered field.
        coverage: part of the frame that cells cover.
        peak_rad: the highest phase of the frame's cells.
        cell_px: diameter of a typical cell.
        kinds: cell kinds, chosen from evenly.
        shown: the specimen of the example.
    """

    contrast: Range = (0.8, 1.1)
    contrast_is_absolute: bool = False
    level: Range = (0.75, 1.25)
    added: Aberration = field(default_factory=Aberration)
    tilt_rad: Range = (0.0, 0.8)
    aberration_rad: Range = (0.0, 0.4)
    speckle: Range = (0.02, 0.2)
    coverage: Range = (0.05, 0.5)
    peak_rad: Range = (2.0, 12.0)
    cell_px: Range = (90.0, 600.0)
    kinds: tuple[Kind, ...] = ("adherent", "adherent", "ellipsoids", "mixed")
    shown: Specimen = field(default_factory=lambda: Specimen("mixed", coverage=0.4, peak_rad=9.0))

    def draw(self, instrument: Instrument, rng: Generator) -> tuple[Instrument, Specimen]:
        """A member of the condition: the instrument as it is for one frame, without drift, and that frame's cells."""
        taken_with = self._on_another_day(instrument, rng)
        specimen = Specimen(
            kind=self.kinds[int(rng.integers(len(self.kinds)))],
            coverage=rng.uniform(*self.coverage),
            peak_rad=rng.uniform(*self.peak_rad),
            cell_px=rng.uniform(*self.cell_px),
        )
        return taken_with, specimen

    def example(self, instrument: Instrument) -> tuple[Instrument, Specimen]:
        """The member that needs the least change of the instrument: each quantity at the nearer end of its range."""
        fringes, speckle, aberration = instrument.fringes, instrument.speckle or Speckle(0.0), instrument.aberration
        factor = 1.0 if self.contrast_is_absolute else fringes.contrast
        contrast = _within(fringes.contrast, (self.contrast[0] * factor, self.contrast[1] * factor))
        return replace(
            instrument,
            fringes=replace(fringes, contrast=contrast),
            aberration=Aberration(
                _sum(aberration.noll_rad, self.added.noll_rad),
                _sum(aberration.drift_noll_rad, self.added.drift_noll_rad),
            ),
            speckle=replace(speckle, strength=_within(speckle.strength, self.speckle)),
        ), self.shown

    def _on_another_day(self, instrument: Instrument, rng: Generator) -> Instrument:
        """The instrument with one frame's contrast, light, aberration and scatter."""
        fringes = instrument.fringes
        contrast = rng.uniform(*self.contrast) * (1.0 if self.contrast_is_absolute else fringes.contrast)
        noll_rad = np.zeros(_NOLL_TERMS)
        for steady in (instrument.aberration.noll_rad[:_NOLL_TERMS], self.added.noll_rad):
            noll_rad[: len(steady)] += steady
        noll_rad[0] += rng.uniform(-pi, pi)
        tilt = rng.standard_normal(2)
        noll_rad[1:3] += rng.uniform(*self.tilt_rad) * tilt / np.hypot(*tilt)
        higher = rng.standard_normal(_NOLL_TERMS - 3) / np.repeat([1.0, 2.0, 3.0], [3, 4, 5])
        noll_rad[3:] += rng.uniform(*self.aberration_rad) * higher / np.linalg.norm(higher)
        level = instrument.beam.level * rng.uniform(*self.level)
        # Two beams of contrast γ peak at (1 + γ) times their mean; a good operator keeps that within full scale.
        level = min(level, 1.0 / (1.0 + contrast))
        y, x = instrument.beam.centre
        centre = (y + float(rng.normal(0, 0.08)), x + float(rng.normal(0, 0.08)))
        return replace(
            instrument,
            fringes=replace(fringes, contrast=float(np.clip(contrast, 0.05, 1.0))),
            beam=replace(instrument.beam, level=level, centre=centre),
            aberration=replace(instrument.aberration, noll_rad=tuple(float(c) for c in noll_rad), drift_noll_rad=()),
            speckle=Speckle(rng.uniform(*self.speckle), 0.5, int(rng.integers(2**31))),
        )


CONDITIONS: Mapping[str, Condition] = {
    "nominal": Condition(),
    "harsh": Condition(
        contrast=(0.3, 0.4),
        contrast_is_absolute=True,
        # Some 40 rad from the deepest to the highest point of the frame, and a tenth of it drifts.
        added=Aberration((0.0, 2.0, -3.0, 9.0, 1.5, -2.0, 0.6, -0.5, 0.3, 0.2, 0.5), (0.2, 0.4, 0.4, 0.6, 0.1)),
        tilt_rad=(0.0, 1.5),
        aberration_rad=(0.0, 1.0),
        speckle=(0.15, 0.35),
    ),
    "dense": Condition(coverage=(0.8, 0.93), shown=Specimen("mixed", coverage=0.85, peak_rad=12.0)),
    "round": Condition(kinds=("ellipsoids",), shown=Specimen("ellipsoids", coverage=0.35, peak_rad=8.0, cell_px=150)),
    "adherent": Condition(kinds=("adherent",), shown=Specimen("adherent", coverage=0.4, peak_rad=9.0)),
}
"""What a bench looks like, a bad day, no background to fit, and cells of one kind only."""

TABLED = ("nominal", "harsh", "dense")
"""The conditions of every accuracy table."""

REFERENCE = Instrument(
    fringes=Fringes((0.22, 0.24), contrast=0.8),
    beam=Beam(level=0.5, centre=(0.48, 0.53), radius=1.8),
    aberration=Aberration((0.0, 0.8, -0.5, 2.0, 0.4, -0.3, 0.15, 0.1), (0.3, 0.1, 0.1, 0.1)),
    sensor=Sensor(bit_depth=8, full_well_e=10_000),
    speckle=Speckle(strength=0.02, static_share=0.8),
)
"""The instrument of the examples, where no other is asked for."""


def example_of(name: str) -> tuple[Instrument, Specimen]:
    """The example of a condition with the reference instrument, which then bears the condition's name.

    Raises:
        KeyError: no such condition.
    """
    instrument, specimen = CONDITIONS[name].example(REFERENCE)
    return replace(instrument, name=name), specimen


def _within(value: float, ends: Range) -> float:
    return min(max(value, ends[0]), ends[1])


def _sum(some: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, ...]:
    longest = max(len(some), len(others))
    padded = (terms + (0.0,) * (longest - len(terms)) for terms in (some, others))
    return tuple(a + b for a, b in zip(*padded, strict=True))
