"""Adjustments: all engines alike, kept for each camera, undone at will, and all or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic_ns

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.line.tuning import NotTunable, Tuning

from tests.fakes import FakeEngine, TunableFakeEngine, fringes


class FussyEngine(TunableFakeEngine):
    """Refuses calibration frames when it is told to, as where frames have another size by now."""

    refuses = False

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        if self.refuses and frame is not None:
            raise ValueError("expected another size")
        super().use_calibration(frame, force=force)


class Bench:
    """A stream's tuning, with its engine and one beside it."""

    def __init__(self, file: Path) -> None:
        self.live, self.beside = FussyEngine("live"), TunableFakeEngine("beside")
        self.remembered = RememberedCameras(file)
        switches = EngineSwitch(self.live), EngineSwitch(self.beside)
        self.tuning = Tuning("one", Sideband.AUTO, self.remembered, *switches)

    @property
    def calibrations(self) -> list[Frame | None]:
        return [self.live.calibration, self.beside.calibration]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cameras.json")


def frame(source: str = "one", captured_ns: int = 7) -> Frame:
    return Frame(fringes((64, 80), 0), 8, 0, captured_ns, monotonic_ns(), source=source)


def even_grey() -> Frame:
    return replace(frame(), pixels=np.full((64, 80), 90, np.uint8))


def test_use_sideband_reaches_every_engine_and_is_remembered_for_the_camera(bench: Bench) -> None:
    assert bench.tuning.use_sideband(Sideband.LOWER) is None
    assert [bench.live.sideband, bench.beside.sideband] == ["lower", "lower"]
    assert bench.tuning.now.sideband is Sideband.LOWER
    assert bench.remembered.get("one") is Sideband.LOWER
    assert bench.remembered.get("other") is Sideband.AUTO


def test_refind_carrier_lets_every_engine_look_again(bench: Bench) -> None:
    bench.tuning.refind_carrier()
    assert [bench.live.carrier_searches, bench.beside.carrier_searches] == [1, 1]


def test_use_calibration_reaches_every_engine_and_says_when_it_was_taken(bench: Bench) -> None:
    given = frame(captured_ns=123)
    bench.tuning.use_calibration(given)
    assert bench.calibrations == [given, given]
    assert bench.tuning.now.calibration_ns == 123


def test_calibration_that_is_refused_leaves_the_one_before_in_force_everywhere(bench: Bench) -> None:
    good = frame()
    bench.tuning.use_calibration(good)
    with pytest.raises(ValueError, match="expected an interferogram with a carrier"):
        bench.tuning.use_calibration(even_grey())
    assert bench.calibrations == [good, good]
    assert bench.tuning.calibration is good


def test_calibration_of_another_camera_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="expected a frame of one, got one of other"):
        bench.tuning.use_calibration(frame("other"))
    assert bench.calibrations == [None, None]


def test_undo_calibration_goes_back_and_forth(bench: Bench) -> None:
    first, second = frame(captured_ns=1), frame(captured_ns=2)
    bench.tuning.use_calibration(first)
    bench.tuning.use_calibration(second)
    for expected in (first, second, first):
        bench.tuning.undo_calibration()
        assert bench.calibrations == [expected, expected]


def test_begin_camera_finds_each_cameras_adjustments_again(bench: Bench) -> None:
    bench.tuning.use_sideband(Sideband.UPPER)
    given = frame()
    bench.tuning.use_calibration(given)
    bench.tuning.begin_camera("other")
    assert (bench.live.sideband, bench.calibrations) == ("auto", [None, None])
    bench.tuning.begin_camera("one")
    assert (bench.live.sideband, bench.calibrations) == ("upper", [given, given])
    assert bench.tuning.now.sideband is Sideband.UPPER


def test_begin_camera_whose_calibration_no_longer_fits_goes_on_without(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.tuning.use_calibration(frame())
    bench.tuning.begin_camera("other")
    bench.live.refuses = True
    bench.tuning.begin_camera("one")
    assert bench.calibrations == [None, None]
    assert bench.tuning.now.calibration_ns is None
    assert "the calibration frame of one is not used any more" in caplog.text


def test_engine_taken_over_has_the_adjustments_in_force(bench: Bench) -> None:
    given = frame()
    bench.tuning.use_sideband(Sideband.LOWER)
    bench.tuning.use_calibration(given)
    following = TunableFakeEngine("next")
    bench.tuning.hand_over_to(following)
    assert (following.sideband, following.calibration) == ("lower", given)


def test_engine_that_refuses_the_calibration_in_force_does_not_take_over(bench: Bench) -> None:
    bench.tuning.use_calibration(frame())
    following = FussyEngine("next")
    following.refuses = True
    with pytest.raises(EngineUnavailable, match="expected another size; go on without the calibration frame first"):
        bench.tuning.hand_over_to(following)
    bench.tuning.use_sideband(Sideband.LOWER)
    assert bench.live.sideband == "lower"


def test_engine_without_adjustments_refuses_each_in_a_sentence(bench: Bench) -> None:
    bench.tuning.hand_over_to(FakeEngine("network"))
    assert not bench.tuning.is_possible
    for adjust in (
        bench.tuning.refind_carrier,
        lambda: bench.tuning.use_sideband(Sideband.LOWER),
        lambda: bench.tuning.use_calibration(frame()),
        bench.tuning.undo_calibration,
    ):
        with pytest.raises(NotTunable, match="engine 'network' has no carrier"):
            adjust()
    assert bench.remembered.get("one") is Sideband.AUTO
