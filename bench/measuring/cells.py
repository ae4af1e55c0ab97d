"""Cells of still, moving and growing colonies against the truth: masses, counts, identities, growth."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from qpi_live.bench.measuring.colonies import COLONIES, VISIBLE_PX, Line, overlap, scaled
from qpi_live.bench.report import console
from qpi_live.camera.simulation.colony import Colony, ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.tracking import Tracker
from qpi_live.models.engine import POLYNOMIAL
from rich.progress import track

_MASS_JUDGED = 0.5  # share of a cell that must be in the frame for its mass to be judged
_FAR_OFF = 0.1  # share of its mass by which a cell is far off
_RATE_HZ = 20.0


def still(
    instrument: Instrument, specimen: ColonySpecimen, size: int, seeds: int, background: str = POLYNOMIAL
) -> dict[str, Any]:
    """Masses and counts of still cells: how far off each mass is, what it said of itself, how many were counted."""
    errors, counts, stated, is_doubtful = [], [], [], []
    for seed in range(seeds):
        scene = ColonyScene(ForwardModel(instrument), scaled(specimen, size), seed, 1)
        phase, ids = scene.colony.drawn(0)
        found = Line(instrument, background).cells(scene, 0)
        under = overlap(ids, found)
        visible = [one for one in range(1, len(under)) if under[one].sum() >= VISIBLE_PX]
        counts.append((len(visible), len(found)))
        for one in visible:
            best = int(under[one, 1:].argmax()) if len(found) else 0
            if not len(found) or under[one, 1:][best] < _MASS_JUDGED * under[one].sum():
                errors.append(1.0)
                stated.append(0.0)
                is_doubtful.append(False)
                continue
            true = float(phase[ids == one].sum())
            errors.append(float(found.columns["integrated_phase_rad_px"][best]) / true - 1)
            stated.append(float(found.columns["integrated_phase_error_rad_px"][best]) / true)
            is_doubtful.append(bool(found.columns["uncertain"][best]))
    off, said, doubtful = np.abs(errors), np.array(stated), np.array(is_doubtful)
    is_far = off > _FAR_OFF
    true_count, found_count = np.sum(counts, axis=0)
    return {
        "cells": len(errors),
        "mass_error_mean": float(np.mean(errors)),
        "mass_error_p50": float(np.median(off)),
        "mass_error_p95": float(np.percentile(off, 95)),
        "mass_error_max": float(off.max()),
        "within_stated": float(np.mean(off <= said)),
        "within_twice_stated": float(np.mean(off <= 2 * said)),
        "uncertain": int(doubtful.sum()),
        "far_off": int(is_far.sum()),
        "far_off_and_uncertain": int((is_far & doubtful).sum()),
        "count_true": int(true_count),
        "count_found": int(found_count),
    }


def moving(instrument: Instrument, frames: int, size: int) -> dict[str, Any]:
    """Identities of wandering cells, in a frame of half the size."""
    size //= 2
    scene = ColonyScene(
        ForwardModel(replace(instrument, shape=(size, size))), scaled(COLONIES["nominal"], size), 1, frames
    )
    line, tracker = Line(replace(instrument, shape=(size, size))), Tracker()
    seen: dict[int, Counter[int]] = defaultdict(Counter)
    took: list[float] = []
    for number in track(range(frames), "moving", console=console, transient=True):
        ids = scene.colony.labels(number)
        found = line.cells(scene, number)
        start = perf_counter()
        own = tracker.update(found, number / _RATE_HZ, number)
        took.append((perf_counter() - start) * 1e3)
        under = overlap(ids, found)
        for one in range(1, len(under)):
            if under[one].sum() >= VISIBLE_PX:
                best = int(under[one, 1:].argmax()) if len(found) else 0
                is_found = len(found) > 0 and under[one, 1:][best] > 0
                seen[one][int(own[best]) if is_found else 0] += 1
    sightings = sum(sum(counts.values()) for counts in seen.values())
    kept = sum(max((n for i, n in counts.items() if i), default=0) for counts in seen.values())
    return {
        "frames": frames,
        "cells": len(seen),
        "kept": kept / sightings,
        "one_id_for_life": float(np.mean([len(counts) == 1 for counts in seen.values()])),
        "tracking_ms_p50": float(np.median(took)),
    }


def growing(instrument: Instrument, frames: int, size: int) -> dict[str, Any]:
    """Growth of a culture that divides, in a frame of half the size, three minutes from frame to frame."""
    size //= 2
    interval_s = 180.0
    specimen = ColonySpecimen(
        cells=max(3, round(14 * (size / 512) ** 2)), cell_px=60, step_px=1.0, growth_per_frame=0.006, divides=True
    )
    scene = ColonyScene(ForwardModel(replace(instrument, shape=(size, size))), specimen, 2, frames)
    line, tracker = Line(replace(instrument, shape=(size, size))), Tracker()
    owners: dict[int, Counter[int]] = defaultdict(Counter)
    totals: list[tuple[float, float]] = []
    for number in track(range(frames), "growing", console=console, transient=True):
        phase, ids = scene.colony.drawn(number)
        found = line.cells(scene, number)
        own = tracker.update(found, number * interval_s, number)
        under = overlap(ids, found)
        for k, one in enumerate(own):
            owners[int(one)][int(under[1:, k + 1].argmax()) + 1 if len(under) > 1 else 0] += 1
        totals.append((float(phase.sum()), float(found.columns["integrated_phase_rad_px"].sum())))
    logs = np.log(totals)
    true_rate, rate = (float(np.polyfit(np.arange(frames), logs[:, column], 1)[0]) for column in (0, 1))
    errors, pulls = _growth_errors(scene.colony, tracker, owners, interval_s)
    return {
        "frames": frames,
        "culture_rate_error": rate / true_rate - 1,
        "cells": len(errors),
        "cell_rate_error_mean": float(np.mean(errors)),
        "cell_rate_error_p50": float(np.median(np.abs(errors))),
        "error_over_stated_rms": float(np.sqrt(np.mean(np.square(pulls)))),
        "divisions_true": len({cell.parent for f in range(frames) for cell in scene.colony.cells(f)} - {0}),
        "divisions_found": sum(event.kind == "divided" for event in tracker.events),
    }


def _growth_errors(
    colony: Colony, tracker: Tracker, owners: dict[int, Counter[int]], interval_s: float
) -> tuple[list[float], list[float]]:
    """Relative errors of the growth of cells seen whole and long, and those errors over the stated ones."""
    rates = {cell.id: cell.rate_per_frame / interval_s for f in range(len(colony)) for cell in colony.cells(f)}
    edge = colony.specimen.cell_px
    errors, pulls = [], []
    for one in (*tracker.tracks, *tracker.ended):
        grown, rows = one.growth(), one.history
        inside = (rows[:, 2:4].min() > edge) and (rows[:, 2:4].max() < colony.shape[0] - edge)
        if grown is None or grown.points < 20 or not inside or one.merged:
            continue
        true = rates.get(owners[one.id].most_common(1)[0][0], 0.0)
        if true > 0:
            errors.append(grown.rate_per_s / true - 1)
            pulls.append((grown.rate_per_s - true) / grown.rate_error_per_s)
    return errors or [1.0], pulls or [0.0]
