"""How long measuring a frame takes, beside scikit-image and nrefocus on the same frame."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qpi_live.bench.measuring.colonies import COLONIES, Line, scaled
from qpi_live.bench.report import console, summarise
from qpi_live.camera.simulation.colony import ColonyScene
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.cells import Cells, measure_cells
from qpi_live.models.analysis.refocus import Propagator, field_of
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.tracking import Tracker


def times(instrument: Instrument, repeats: int, size: int) -> dict[str, dict[str, float]]:
    """Percentiles in ms of each step on a frame of the nominal colony, and of its peers where they are installed."""
    scene = ColonyScene(ForwardModel(instrument), scaled(COLONIES["nominal"], size), 0, 2)
    line = Line(instrument)
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
