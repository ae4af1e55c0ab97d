"""How far autofocus is off, by metric, on colonies out of focus."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from qpi_live.bench.measuring.colonies import Line, scaled
from qpi_live.camera.simulation.colony import ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.analysis.autofocus import METRICS, autofocus
from qpi_live.models.analysis.refocus import depth_of_field_um, field_of
from qpi_live.models.analysis.scale import Scale

_DEFOCUS_UM = (-9.0, -4.0, 2.5, 7.0)
_DIMMED = 1 / 3  # of the light of the other frames: cells focus it to some three times the intensity
_DEFOCUSED = (  # cells at 1024²
    ColonySpecimen(cells=68, cell_px=75, peak_rad=4),
    ColonySpecimen(cells=20, cell_px=60, peak_rad=2.5),
    ColonySpecimen(cells=48, cell_px=90, peak_rad=7),
    ColonySpecimen(cells=160, cell_px=80, peak_rad=5),
)


def focus(instrument: Instrument, size: int) -> dict[str, Any]:
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
        scene = ColonyScene(ForwardModel(blurred), scaled(specimen, size), number, 1)
        made = Line(blurred).phase(scene, 0)
        field = field_of(made.phase_rad, made.amplitude)
        for metric in METRICS:
            found = autofocus(
                field, Scale.of(optics), range_um=30, metric=metric, numerical_aperture=optics.numerical_aperture
            )
            off[metric] = max(off[metric], abs(found.distance_um + defocus_um))
    return off
