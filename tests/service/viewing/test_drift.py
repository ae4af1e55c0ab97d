"""The drift alarm: a real network beside the classical chain, on an instrument that drifts and comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.instrument import Aberration, Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture, Specimen
from qpi_live.models.artifacts.promotions import Figures
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.promotion.gate import Examination, Gate, Simulated
from qpi_live.models.promotion.registry import Registry
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.viewing.baseline import Baseline
from qpi_live.service.viewing.drift import DriftAlarm

from tests.service.stations import until

INSTRUMENT = Instrument.from_file(Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json")
FIGURES = Figures(psnr_db={}, seen_on="recorded", difference_rad=0.1, largest_difference_rad=0.2, latency_ms=1.0)


def seen(alarm: DriftAlarm, *differences_rad: float, frames: int = 30) -> list[bool]:
    states = []
    for difference_rad in differences_rad:
        alarm.see(difference_rad, frames, FIGURES)
        assert alarm.now is not None
        states.append(alarm.now.is_drifting)
        assert (alarm.now.sentence is not None) == alarm.now.is_drifting
    return states


def test_alarm_is_raised_above_one_limit_and_cleared_below_a_lower_one() -> None:
    alarm = DriftAlarm()
    assert seen(alarm, 0.1, 0.29, 0.31, 0.29, 0.25, 0.23, 0.29) == [False, False, True, True, True, False, False]
    alarm.see(0.31, 30, FIGURES)
    assert alarm.now is not None
    assert "differ by 0.31 rad; on recorded frames, when it was promoted, by 0.10 rad, at most 0.20" in str(
        alarm.now.sentence
    )


def test_alarm_of_a_network_judged_on_simulated_frames_alone_is_raised_later() -> None:
    alarm, figures = DriftAlarm(), FIGURES.model_copy(update={"seen_on": "simulated"})
    for difference_rad, is_drifting in ((0.59, False), (0.61, True), (0.49, True), (0.47, False)):
        alarm.see(difference_rad, 30, figures)
        assert alarm.now is not None
        assert alarm.now.is_drifting is is_drifting


def test_alarm_waits_for_some_frames_and_says_nothing_without_a_gate() -> None:
    alarm = DriftAlarm()
    assert seen(alarm, 5.0, frames=9) == [False]
    assert seen(alarm, 5.0, frames=10) == [True]
    alarm.see(5.0, 30, None)
    assert alarm.now is None
    alarm.see(5.0, 30, FIGURES.model_copy(update={"difference_rad": None}))
    assert alarm.now is None


@pytest.mark.slow
def test_instrument_that_drifts_raises_the_alarm_and_one_that_comes_back_clears_it() -> None:
    still = replace(INSTRUMENT, shape=(512, 512))
    cells = Culture(Specimen("mixed", coverage=0.3, peak_rad=6.0), still.shape, 3).phase_rad(0.0)
    bent = replace(
        still, aberration=Aberration(tuple(np.add(still.aberration.noll_rad, [0] * 3 + [4.0] * 3 + [0] * 9)))
    )
    network = OnnxEngine(EngineOptions(threads=1))

    def taken(instrument: Instrument, number: int) -> Frame:
        pixels = ForwardModel(instrument).interferogram(cells, np.random.default_rng(number))
        return Frame(pixels, 8, number, 0, 0, source="simulated")

    examination = Examination(still, [Simulated(taken(still, n), cells, "nominal") for n in range(4)])
    (figures,) = Gate(examination).figures([Registry(Path("nowhere")).named("nasprnet")])
    hub = Hub()
    baseline = Baseline(EngineSwitch(ClassicalEngine(EngineOptions(optics=still.optics, threads=1))), 1.0, hub)
    baseline.figures_of = lambda engine: figures
    baseline.start()
    try:

        def look_at(instrument: Instrument, first: int) -> None:
            frames = [taken(instrument, number) for number in range(4)]
            for number in range(first, first + 30):  # all that the mean is of
                frame = frames[number % 4]
                hub.publish(LiveFrame.timed(network.retrieve(frame), None, 0))  # type: ignore[arg-type]
                until(lambda done=number + 1: baseline.account.delivered == done)  # type: ignore[misc]

        look_at(still, 0)
        assert baseline.drift is not None
        assert not baseline.drift.is_drifting
        look_at(bent, 30)
        assert baseline.drift.is_drifting
        assert "Instrument or sample have changed" in str(baseline.drift.sentence)
        look_at(still, 60)
        assert not baseline.drift.is_drifting
    finally:
        baseline.stop(5.0)
