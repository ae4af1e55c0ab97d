"""A running station whose frames show two cells, and what its tests ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qpi_live.models.analysis.cells import measure_cells
from qpi_live.models.analysis.outlines import outlines
from qpi_live.models.engine import EngineOptions, open_engine

from tests.fakes import FakeCamera
from tests.models.analysis.discs import caps
from tests.models.fringes import interferogram
from tests.service.stations import Bench, until

SHAPE = (256, 320)
CELLS = [(80.0, 90.0, 40.0, 3.0), (170.0, 220.0, 50.0, 4.0)]
SHOWN = interferogram(caps(SHAPE, CELLS).astype(np.float64))
WHOLE_FRAME = {"name": "all", "shape": "rectangle", "points": [[0, 0], [256, 320]]}
API = "/api/v1"


def measuring_bench(make_bench: Callable[..., Bench]) -> Bench:
    """A station whose engine is the classical one, in a process that has compiled what measures."""
    outlines(measure_cells(caps(SHAPE, CELLS)).segmentation)
    return make_bench(open_engine("goldstein", EngineOptions(threads=1)), FakeCamera(SHAPE))


def say_the_optics(bench: Bench) -> None:
    said = {"wavelength_nm": 532, "pixel_um": 3.45, "magnification": 40}
    assert bench.client.put(f"{API}/camera/optics", json=said).status_code == 200


def cells_of(bench: Bench, **params: object) -> dict[str, Any]:
    """What the service says of the cells, once it is through with compiling, for which it answers 503."""
    answers = []

    def is_there() -> bool:
        answers.append(bench.client.get(f"{API}/cells", params=params))
        return answers[-1].status_code == 200

    until(is_there)
    told: dict[str, Any] = answers[-1].json()
    return told
