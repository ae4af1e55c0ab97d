"""Simulated colonies, their frames through the engine, and which cell of a frame is which of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.colony import ColonyScene, ColonySpecimen
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.analysis.cells import Cells, measure_cells
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.engine import POLYNOMIAL, EngineOptions, open_engine
from qpi_live.models.phase_frame import PhaseFrame

VISIBLE_PX = 200  # what is less of a cell at the frame's edge need not be found
COLONIES = {
    "nominal": ColonySpecimen(cells=70, cell_px=75, peak_rad=5),
    "dense": ColonySpecimen(cells=170, cell_px=85, peak_rad=5),
}


class Line:
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


def scaled(specimen: ColonySpecimen, size: int) -> ColonySpecimen:
    """As many cells a pixel as at 1024²."""
    return replace(specimen, cells=max(3, round(specimen.cells * (size / 1024) ** 2)))


def overlap(ids: NDArray[np.int32], found: Cells) -> NDArray[np.int64]:
    """(ids + 1, found + 1) pixels of each true cell under each found one; 0 stands for none."""
    width = len(found) + 1
    pairs = ids.ravel().astype(np.int64) * width + found.segmentation.labels.ravel()
    return np.bincount(pairs, minlength=(int(ids.max()) + 1) * width).reshape(-1, width)
