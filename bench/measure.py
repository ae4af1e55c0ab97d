"""How right cells, tracks, growth and focus are, against simulated truth, and how long a frame takes.

    python bench/measure.py
    python bench/measure.py --frames 500 --size 1024 --json result.json

Colonies of known cells are looked at through the simulated microscope. Every frame takes the whole way, from the
interferogram through the classical engine to the table of cells. `nominal` cells stand apart, `dense` ones cover half
of the frame and touch, the latter also with the learned background. A cell's dry mass is compared with the sum of the
phase that it was made with. Identities are those of cells that wander at 20 frames a second. Kept is the share of
sightings under the id that a cell has most. The culture grows and divides at known rates. Frames out of focus are
brought back by autofocus, with each metric; the depth of field is nλ/NA². They are exposed with room for the light that
cells focus, and once more as the other frames are: what is saturated has lost light, which no metric can bring back. A
mass is far off where it is off by a tenth. Flagged cells say that their own error is above 5 %. Times are those of all
cores; beside them stand scikit-image's watershed and regionprops on the same frame, its watershed alone on a quarter of
the resolution, and nrefocus.
The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from qpi_live.bench.report import console, finish, latency_table, summarise
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.colony import Colony, ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.conditions import example_of
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.autofocus import METRICS, autofocus
from qpi_live.models.analysis.cells import Cells, measure_cells
from qpi_live.models.analysis.refocus import Propagator, depth_of_field_um, field_of
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.tracking import Tracker
from qpi_live.models.engine import LEARNED, POLYNOMIAL, EngineOptions, open_engine
from qpi_live.models.phase_frame import PhaseFrame
from rich.progress import track
from rich.table import Table

_VISIBLE_PX = 200  # what is less of a cell at the frame's edge need not be found
_MASS_JUDGED = 0.5  # share of a cell that must be in the frame for its mass to be judged
_FAR_OFF = 0.1  # share of its mass by which a cell is far off
_RATE_HZ = 20.0
_DEFOCUS_UM = (-9.0, -4.0, 2.5, 7.0)
_DIMMED = 1 / 3  # of the light of the other frames: cells focus it to some three times the intensity
_DEFOCUSED = (  # cells at 1024²
    ColonySpecimen(cells=68, cell_px=75, peak_rad=4),
    ColonySpecimen(cells=20, cell_px=60, peak_rad=2.5),
    ColonySpecimen(cells=48, cell_px=90, peak_rad=7),
    ColonySpecimen(cells=160, cell_px=80, peak_rad=5),
)
_COLONIES = {
    "nominal": ColonySpecimen(cells=70, cell_px=75, peak_rad=5),
    "dense": ColonySpecimen(cells=170, cell_px=85, peak_rad=5),
}


def main(
    frames: Annotated[int, typer.Option(help="Frames of the moving cells.")] = 500,
    size: Annotated[int, typer.Option(help="Edge of the still frames, pixels.")] = 1024,
    repeats: Annotated[int, typer.Option(help="Calls of each that is timed.")] = 40,
    seeds: Annotated[int, typer.Option(help="Still frames of each colony.")] = 4,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result here.")] = None,
) -> None:
    """See the file's head."""
    instrument = replace(example_of("nominal")[0], shape=(size, size))
    still = {name: _still(instrument, specimen, size, seeds) for name, specimen in _COLONIES.items()}
    still["dense, learned background"] = _still(instrument, _COLONIES["dense"], size, seeds, LEARNED)
    moving = _moving(instrument, frames, size)
    growing = _growing(instrument, max(20, frames // 4), size)
    focus = _focus(instrument, min(size, 512))
    times = _times(instrument, repeats, size)
    _show(still, moving, growing, focus)
    console.print(latency_table("A frame of 70 cells", times, {}))
    finish({"still": still, "moving": moving, "growing": growing, "focus": focus, "times_ms": times}, json_file)


class _Line:
    """Frames of one instrument through the engine that the program has by default."""

    def __init__(self, instrument: Instrument, background: str = POLYNOMIAL) -> None:
        self.optics = instrument.optics
        self.scale = Scale.of(instrument.optics)
        self._bits = instrument.sensor.bit_depth
        self._engine = open_engine("goldstein", EngineOptions(threads=1, background=background))

    def phase(self, scene: ColonyScene, number: int) -> PhaseFrame:
        """The phase of a frame of `scene`."""
        return self._engine.retrieve(Frame(scene.pixels(number), self._bits, number, 0, 0, optics=self.optics))

    def cells(self, scene: ColonyScene, number: int) -> Cells:
        """The cells of a frame of `scene`."""
        made = self.phase(scene, number)
        return measure_cells(made.phase_rad, made.mask, self.scale)


def _scaled(specimen: ColonySpecimen, size: int) -> ColonySpecimen:
    """As many cells a pixel as at 1024²."""
    return replace(specimen, cells=max(3, round(specimen.cells * (size / 1024) ** 2)))


def _overlap(ids: NDArray[np.int32], found: Cells) -> NDArray[np.int64]:
    """(ids + 1, found + 1) pixels of each true cell under each found one; 0 stands for none."""
    width = len(found) + 1
    pairs = ids.ravel().astype(np.int64) * width + found.segmentation.labels.ravel()
    return np.bincount(pairs, minlength=(int(ids.max()) + 1) * width).reshape(-1, width)


def _still(
    instrument: Instrument, specimen: ColonySpecimen, size: int, seeds: int, background: str = POLYNOMIAL
) -> dict[str, Any]:
    errors, counts, stated, is_doubtful = [], [], [], []
    for seed in range(seeds):
        scene = ColonyScene(ForwardModel(instrument), _scaled(specimen, size), seed, 1)
        phase, ids = scene.colony.drawn(0)
        found = _Line(instrument, background).cells(scene, 0)
        overlap = _overlap(ids, found)
        visible = [one for one in range(1, len(overlap)) if overlap[one].sum() >= _VISIBLE_PX]
        counts.append((len(visible), len(found)))
        for one in visible:
            best = int(overlap[one, 1:].argmax()) if len(found) else 0
            if not len(found) or overlap[one, 1:][best] < _MASS_JUDGED * overlap[one].sum():
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


def _moving(instrument: Instrument, frames: int, size: int) -> dict[str, Any]:
    """Identities of wandering cells, in a frame of half the size."""
    size //= 2
    scene = ColonyScene(
        ForwardModel(replace(instrument, shape=(size, size))), _scaled(_COLONIES["nominal"], size), 1, frames
    )
    line, tracker = _Line(replace(instrument, shape=(size, size))), Tracker()
    seen: dict[int, Counter[int]] = defaultdict(Counter)
    took: list[float] = []
    for number in track(range(frames), "moving", console=console, transient=True):
        ids = scene.colony.labels(number)
        found = line.cells(scene, number)
        start = perf_counter()
        own = tracker.update(found, number / _RATE_HZ, number)
        took.append((perf_counter() - start) * 1e3)
        overlap = _overlap(ids, found)
        for one in range(1, len(overlap)):
            if overlap[one].sum() >= _VISIBLE_PX:
                best = int(overlap[one, 1:].argmax()) if len(found) else 0
                is_found = len(found) > 0 and overlap[one, 1:][best] > 0
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


def _growing(instrument: Instrument, frames: int, size: int) -> dict[str, Any]:
    """Growth of a culture that divides, in a frame of half the size, three minutes from frame to frame."""
    size //= 2
    interval_s = 180.0
    specimen = ColonySpecimen(
        cells=max(3, round(14 * (size / 512) ** 2)), cell_px=60, step_px=1.0, growth_per_frame=0.006, divides=True
    )
    scene = ColonyScene(ForwardModel(replace(instrument, shape=(size, size))), specimen, 2, frames)
    line, tracker = _Line(replace(instrument, shape=(size, size))), Tracker()
    owners: dict[int, Counter[int]] = defaultdict(Counter)
    totals: list[tuple[float, float]] = []
    for number in track(range(frames), "growing", console=console, transient=True):
        phase, ids = scene.colony.drawn(number)
        found = line.cells(scene, number)
        own = tracker.update(found, number * interval_s, number)
        overlap = _overlap(ids, found)
        for k, one in enumerate(own):
            owners[int(one)][int(overlap[1:, k + 1].argmax()) + 1 if len(overlap) > 1 else 0] += 1
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


def _focus(instrument: Instrument, size: int) -> dict[str, Any]:
    """How far autofocus is off, by metric, in µm, over several specimens and distances."""
    optics = instrument.optics
    assert optics.numerical_aperture is not None
    assert optics.wavelength_m is not None
    dim = replace(instrument.beam, level=instrument.beam.level * _DIMMED)
    beams = {"exposed with room": dim, "saturated where cells focus the light": instrument.beam}
    worst = {name: _focus_errors(replace(instrument, beam=beam), size) for name, beam in beams.items()}
    return {
        "depth_of_field_um": depth_of_field_um(optics.numerical_aperture, optics.wavelength_m * 1e6),
        "defocus_um": list(_DEFOCUS_UM),
        "specimens": len(_DEFOCUSED),
        "worst_error_um": worst,
    }


def _focus_errors(instrument: Instrument, size: int) -> dict[str, float]:
    optics = instrument.optics
    off: dict[str, float] = dict.fromkeys(METRICS, 0.0)
    for number, (specimen, defocus_um) in enumerate(product(_DEFOCUSED, _DEFOCUS_UM)):
        blurred = replace(instrument, shape=(size, size), defocus_m=defocus_um * 1e-6)
        scene = ColonyScene(ForwardModel(blurred), _scaled(specimen, size), number, 1)
        made = _Line(blurred).phase(scene, 0)
        field = field_of(made.phase_rad, made.amplitude)
        for metric in METRICS:
            found = autofocus(
                field, Scale.of(optics), range_um=30, metric=metric, numerical_aperture=optics.numerical_aperture
            )
            off[metric] = max(off[metric], abs(found.distance_um + defocus_um))
    return off


def _times(instrument: Instrument, repeats: int, size: int) -> dict[str, dict[str, float]]:
    scene = ColonyScene(ForwardModel(instrument), _scaled(_COLONIES["nominal"], size), 0, 2)
    line = _Line(instrument)
    made = line.phase(scene, 0)
    phase = made.phase_rad
    first = measure_cells(phase, made.mask, line.scale)
    tracker = Tracker()
    tracker.update(first, 0.0)
    propagator = Propagator(field_of(phase, made.amplitude), line.scale)

    def whole() -> None:
        tracker.update(measure_cells(phase, made.mask, line.scale), 0.0)

    timed: dict[str, Callable[[], object]] = {
        "find and measure cells, follow them": whole,
        "of that: follow them": lambda: tracker.update(first, 0.0),
        "refocus, one distance": lambda: propagator.at(3.0),
    }
    timed |= _peers(phase, first, line.scale)
    return {
        name: summarise(_time(call, repeats if "peer" not in name else min(repeats, 5))) for name, call in timed.items()
    }


def _peers(phase: NDArray[np.float32], found: Cells, scale: Scale) -> dict[str, Callable[[], object]]:
    peers: dict[str, Callable[[], object]] = {}
    try:
        measure, segmentation, feature = (
            import_module(f"skimage.{name}") for name in ("measure", "segmentation", "feature")
        )
        ndimage = import_module("scipy.ndimage")
    except ModuleNotFoundError as missing:
        console.print(
            f"{missing.name} is missing, so its times are left out: pip install 'qpi-live[peers]'", soft_wrap=True
        )
    else:

        def by_scikit_image() -> object:
            smooth = ndimage.gaussian_filter(phase, 2)
            cells = smooth > found.segmentation.threshold_rad + found.segmentation.level_rad
            depth = ndimage.distance_transform_edt(cells)
            peaks = feature.peak_local_max(depth, min_distance=15, labels=cells.astype(np.int32))
            markers = np.zeros(phase.shape, np.int32)
            markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
            labels = segmentation.watershed(-depth, markers, mask=cells)
            wanted = ("label", "centroid", "area", "perimeter", "eccentricity", "intensity_mean", "intensity_max")
            return measure.regionprops_table(labels, phase, properties=wanted)

        coarse = phase[: phase.shape[0] // 4 * 4, : phase.shape[1] // 4 * 4]
        coarse = coarse.reshape(coarse.shape[0] // 4, 4, -1, 4).mean((1, 3))
        is_cell = coarse > found.segmentation.threshold_rad + found.segmentation.level_rad
        depths = ndimage.distance_transform_edt(is_cell)
        summits = feature.peak_local_max(depths, min_distance=4, labels=is_cell.astype(np.int32))
        seeds = np.zeros(coarse.shape, np.int32)
        seeds[tuple(summits.T)] = np.arange(1, len(summits) + 1)
        peers["peer: scikit-image watershed, regionprops_table"] = by_scikit_image
        peers["peer: scikit-image watershed alone, a quarter of the resolution"] = lambda: segmentation.watershed(
            -depths, seeds, mask=is_cell
        )
    try:
        nrefocus = import_module("nrefocus")
    except ModuleNotFoundError:
        console.print("nrefocus is missing, so its time is left out: pip install nrefocus")
    else:
        assert scale.wavelength_um is not None
        assert scale.pixel_um is not None
        other = nrefocus.RefocusNumpy(
            field_of(phase), scale.wavelength_um * 1e-6, scale.pixel_um * 1e-6, medium_index=1.33, padding=True
        )
        peers["peer: nrefocus, one distance"] = lambda: other.propagate(3e-6)
    return peers


def _time(call: Callable[[], object], repeats: int) -> list[float]:
    call()
    took = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        took.append((perf_counter() - start) * 1e3)
    return took


def _show(still: dict[str, Any], moving: dict[str, Any], growing: dict[str, Any], focus: dict[str, Any]) -> None:
    table = Table(title="Cells against the truth", title_justify="left")
    columns = (
        "colony",
        "cells",
        "mass off, median",
        "95 %",
        "worst",
        "within its error",
        "twice",
        "flagged",
        "counted",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in still.items():
        offs = [f"{100 * row[f'mass_error_{part}']:.2f} %" for part in ("p50", "p95", "max")]
        offs += [f"{100 * row[key]:.0f} %" for key in ("within_stated", "within_twice_stated")]
        flagged = f"{row['uncertain']}; {row['far_off_and_uncertain']} of {row['far_off']} far off"
        table.add_row(name, str(row["cells"]), *offs, flagged, f"{row['count_found']} of {row['count_true']}")
    console.print(table)
    console.print(
        f"Identities over {moving['frames']} frames of {moving['cells']} cells: {100 * moving['kept']:.2f} % kept, "
        f"{100 * moving['one_id_for_life']:.1f} % of the cells have one id for life"
    )
    console.print(
        f"Growth over {growing['frames']} frames: culture {100 * growing['culture_rate_error']:+.2f} %, mean of "
        f"{growing['cells']} cells {100 * growing['cell_rate_error_mean']:+.2f} %; divisions "
        f"{growing['divisions_found']} of {growing['divisions_true']}"
    )
    for light, by_metric in focus["worst_error_um"].items():
        worst = ", ".join(f"{metric} {value:.2f}" for metric, value in by_metric.items())
        console.print(f"Focus off by at most, µm (depth of field {focus['depth_of_field_um']:.2f}), {light}: {worst}")


if __name__ == "__main__":
    typer.run(main)
