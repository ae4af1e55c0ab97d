"""Autofocus on frames of all sizes that went the whole way: simulated out of focus, demodulated, refocused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.colony import ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.conditions import example_of
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.autofocus import METRICS
from qpi_live.models.analysis.refocus import depth_of_field_um
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.measuring.focusing import find_focus

_INSTRUMENT = example_of("nominal")[0]
_SIZES = [128, 192, 256, 512, pytest.param(1024, marks=pytest.mark.slow)]


@cache
def _frames(size: int) -> list[tuple[float, PhaseFrame]]:
    """By how much each is out of focus, in µm, and its phase."""
    engine, made = open_engine("goldstein", EngineOptions(threads=1)), []
    cell_px = 50 if size < 256 else 75
    specimen = ColonySpecimen(cells=max(2, round(17 * (size / 512) ** 2)), cell_px=cell_px, peak_rad=4)
    for number, defocus_um in enumerate((2.5, -4.0) * (3 if size <= 256 else 1)):
        blurred = replace(_INSTRUMENT, shape=(size, size), defocus_m=defocus_um * 1e-6)
        pixels = ColonyScene(ForwardModel(blurred), specimen, number, 1).pixels(0)
        frame = Frame(pixels, blurred.sensor.bit_depth, number, 0, 0, source=str(number), optics=blurred.optics)
        made.append((defocus_um, engine.retrieve(frame)))
    return made


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("metric", METRICS)
def test_autofocus_of_a_frame_of_any_size_finds_its_focus(metric: str, size: int) -> None:
    optics = _INSTRUMENT.optics
    assert optics.wavelength_m is not None
    assert optics.numerical_aperture is not None
    depth_um = depth_of_field_um(optics.numerical_aperture, optics.wavelength_m * 1e6)
    off_um = [
        abs(find_focus(phase, 30.0, metric, "phase", None)[0].distance_um + defocus_um)
        for defocus_um, phase in _frames(size)
    ]
    assert np.median(off_um) < depth_um / 2, off_um
