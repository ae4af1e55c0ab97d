"""A calibration frame holds for what it shows, and says so where it does not."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.off_axis import OffAxisEngine
from qpi_live.models.sideband import Sideband

from tests.models.chains import CHAINS, MakeEngine
from tests.models.fringes import SHAPE, bump, frame, interferogram

Y, X = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
RIPPLE = 6 * (X**2 + Y**2) + 1.5 * np.sin(9 * X) * np.cos(7 * Y)  # no polynomial follows it


def rms(error: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(error[16:-16, 16:-16] ** 2)))


def empty(**known: object) -> Frame:
    return replace(frame(interferogram(RIPPLE, seed=4)), **known)


def sample(drift_rad: NDArray[np.floating] | float = 0.0, **known: object) -> Frame:
    return replace(frame(interferogram(bump() + RIPPLE + drift_rad)), **known)


@pytest.fixture(params=CHAINS)
def make(request: pytest.FixtureRequest) -> MakeEngine:
    return CHAINS[request.param]


def calibrated(make: MakeEngine, **known: object) -> OffAxisEngine:
    engine = make(EngineOptions())
    engine.use_calibration(empty(**known))
    return engine


@pytest.mark.parametrize("fringes", [0.5, 1.0, 3.0])
def test_drift_since_the_calibration_is_taken_off_and_said(make: MakeEngine, fringes: float) -> None:
    drift_rad = np.pi * fringes * (0.6 * X - 0.8 * Y)
    made = calibrated(make).retrieve(sample(drift_rad))
    assert rms(made.phase_rad - bump()) < 0.15
    assert made.quality.background_order == 1
    assert made.quality.calibration_tilt_rad == pytest.approx(2 * np.pi * fringes, rel=0.05)


def test_given_background_order_holds_beside_a_calibration_frame(make: MakeEngine) -> None:
    bent = 3 * (X**2 - Y**2)
    engine = make(EngineOptions(background_order=2))
    engine.use_calibration(empty())
    assert rms(engine.retrieve(sample(bent)).phase_rad - bump()) < 0.15
    tilt_alone = calibrated(make).retrieve(sample(bent))
    assert rms(tilt_alone.phase_rad - bump()) > 0.5
    assert "The background is bent" in str(tilt_alone.quality.warning)


def test_calibration_that_holds_is_not_bent_by_the_sample(make: MakeEngine) -> None:
    """Where nothing has drifted, a tilt could only follow the cells."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    cells = sum(
        4 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / 20.0**2)
        for cy, cx in np.random.default_rng(3).uniform((10, 60), (246, 310), (26, 2))
    )
    engine = make(EngineOptions(sideband=Sideband.UPPER))
    engine.use_calibration(empty())
    made = engine.retrieve(frame(interferogram(cells + RIPPLE)))
    assert made.quality.background_order == 0
    assert made.quality.warning is None
    assert np.sqrt(np.mean((made.phase_rad - cells)[16:-16, 16:-16] ** 2)) < 0.15


WINDOW: dict[str, FeatureValue] = {"OffsetX": 0, "OffsetY": 8, "BinningHorizontal": 1, "ReverseX": False, "Gain": 1.0}


@pytest.mark.parametrize(("feature", "value"), [("OffsetX", 16), ("BinningHorizontal", 2), ("ReverseX", True)])
def test_calibration_rests_while_the_window_is_another_one(make: MakeEngine, feature: str, value: FeatureValue) -> None:
    engine = calibrated(make, settings=WINDOW)
    assert engine.retrieve(sample(settings=WINDOW)).quality.warning is None
    moved = engine.retrieve(sample(settings=WINDOW | {feature: value}))
    assert f"another {feature} than the calibration frame" in str(moved.quality.warning)
    assert feature in str(moved.engine.detail["background"])
    assert moved.quality.calibration_tilt_rad is None
    back = engine.retrieve(sample(settings=WINDOW | {"Gain": 2.0}))
    assert back.quality.warning is None
    assert rms(back.phase_rad - bump()) < 0.15


def test_calibration_rests_on_another_part_of_a_recording(make: MakeEngine) -> None:
    engine = calibrated(make, origin_px=(3, 4))
    assert engine.retrieve(sample(origin_px=(3, 4))).quality.warning is None
    assert "another part of the recording" in str(engine.retrieve(sample(origin_px=(3, 5))).quality.warning)


def test_calibration_of_unknown_window_belongs_to_that_of_the_first_frame(make: MakeEngine) -> None:
    engine = calibrated(make)
    assert engine.retrieve(sample(settings=WINDOW)).quality.warning is None
    assert "OffsetX" in str(engine.retrieve(sample(settings=WINDOW | {"OffsetX": 64})).quality.warning)


def test_calibration_with_cells_in_it_is_refused_unless_forced(make: MakeEngine) -> None:
    engine = make(EngineOptions())
    with pytest.raises(ValueError, match="with objects in it"):
        engine.use_calibration(sample())
    assert "calibration" not in str(engine.identity.detail["background"])
    engine.use_calibration(sample(), force=True)
    assert rms(engine.retrieve(sample()).phase_rad) < 0.1
