"""A calibration frame over REST: refused with cells in it, taken with force, undone; NaN where there is no phase."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera
from tests.models.fringes import bump, interferogram
from tests.service.stations import Bench

SHAPE = (192, 224)
CELL = interferogram(bump(SHAPE, 4.0))
EMPTY = interferogram(np.zeros(SHAPE))
CALIBRATION = "/api/v1/engine/calibration"


def npy(values: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


@pytest.fixture
def real(make_bench: Callable[..., Bench]) -> Bench:
    """A station whose engine is the classical one."""
    return make_bench(open_engine("goldstein", EngineOptions(threads=1)), FakeCamera(SHAPE))


def test_calibration_with_a_cell_in_it_is_refused_and_taken_with_force(real: Bench) -> None:
    refused = real.client.put(CALIBRATION, content=npy(CELL))
    assert refused.status_code == 422
    assert "got one with objects in it" in refused.json()["detail"]
    assert real.client.get("/api/v1/engine").json()["calibration_ns"] is None
    forced = real.client.put(CALIBRATION, content=npy(CELL), params={"force": True})
    assert forced.status_code == 200, forced.text
    assert forced.json()["calibration_ns"] is not None
    (live,) = real.frames(shown=CELL)
    assert np.abs(live.phase.phase_rad[16:-16, 16:-16]).max() < 0.5  # the cell itself is divided out


def test_calibration_undone_brings_back_the_one_before_and_undone_twice_the_new_one(real: Bench) -> None:
    first = real.client.put(CALIBRATION, content=npy(EMPTY)).json()["calibration_ns"]
    second = real.client.put(CALIBRATION, content=npy(interferogram(np.zeros(SHAPE), seed=1))).json()["calibration_ns"]
    assert None not in (first, second)
    assert first != second
    assert real.client.post(f"{CALIBRATION}/undo").json()["calibration_ns"] == first
    assert real.client.post(f"{CALIBRATION}/undo").json()["calibration_ns"] == second
    assert real.client.delete(CALIBRATION).json()["calibration_ns"] is None
    assert real.client.post(f"{CALIBRATION}/undo").json()["calibration_ns"] == second


def test_masked_nan_over_rest_is_nan_where_the_field_is_dark(real: Bench) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lit = np.hypot(y - SHAPE[0] / 2, x - SHAPE[1] / 2) < 80
    real.frames(shown=np.where(lit, CELL, 3).astype(np.uint8))
    kept, gone = (real.client.get("/api/v1/frames/latest", params={"masked": masked}) for masked in ("kept", "nan"))
    share = FrameHeader.model_validate_json(gone.headers["QPI-Frame"]).masked_share
    phase_rad = np.load(BytesIO(gone.content))
    assert np.isfinite(np.load(BytesIO(kept.content))).all()
    assert np.isnan(phase_rad).mean() == pytest.approx(share, abs=1e-6)
    assert np.isnan(phase_rad[:8, :8]).all()
    assert not np.isnan(phase_rad[np.hypot(y - SHAPE[0] / 2, x - SHAPE[1] / 2) < 60]).any()
