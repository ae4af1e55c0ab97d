"""Compile ahead what each start would otherwise wait for: Numba's functions and the bytecode.

The image is built with it, and `make test` runs it first, so that no test waits for a compiler.

Numba's cache holds for the kind of processor that built it; on another one it compiles again, into the running
container's own copy.
"""

import http.client  # the health check's

import numpy as np
import qpi_live.service.cli.main
from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.simulation.camera import SimulatedCamera
from qpi_live.models.analysis.averaging import Average
from qpi_live.models.analysis.cells import measure_cells
from qpi_live.models.analysis.outlines import outlines
from qpi_live.models.engine import LEARNED, EngineOptions, open_engine

phase_rad = np.eye(256, dtype=np.float32)
for writeable in (True, False):  # Numba compiles for either; live frames are read-only, those of files not all
    phase_rad.flags.writeable = writeable
    measured = measure_cells(phase_rad, np.zeros((256, 256), np.bool_))
    outlines(measured.segmentation)
    measure_cells(phase_rad)
    Average().add(phase_rad, np.zeros((256, 256), np.bool_))

USED = (http.client, qpi_live.service.cli.main, ReplayCamera, SimulatedCamera)

for bit_depth in (8, 12):  # frames of uint8, and of uint16
    engine = open_engine("goldstein", EngineOptions())
    engine.warm_up((256, 256), bit_depth)
    engine.close()

# What finds the background of the first frame without ground, whenever that comes.
engine = open_engine("goldstein", EngineOptions(background=LEARNED, is_live=True))
engine.warm_up((256, 256), 8)
engine.close()
