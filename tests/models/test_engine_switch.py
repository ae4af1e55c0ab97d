"""Several engines for one stream, one at a time."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import DeviceEngine, EngineOptions, TunableEngine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame

from tests.fakes import FakeEngine, TunableFakeEngine, fringes
from tests.models.fringes import bump, interferogram
from tests.models.fringes import frame as interferogram_frame

PATIENCE_S = 30.0


def frame(number: int = 0) -> Frame:
    return Frame(fringes((64, 64), number), 8, number, 0, 0)


class HeldEngine(FakeEngine):
    """Works on a frame until it is released."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.entered, self.release = Event(), Event()

    def retrieve(self, given: Frame) -> PhaseFrame:
        assert not self.closed
        self.entered.set()
        assert self.release.wait(PATIENCE_S)
        made = super().retrieve(given)
        assert not self.closed
        return made


def test_switch_does_the_next_frame_with_the_engine_chosen_last_and_closes_the_one_before() -> None:
    first, second = FakeEngine("first"), FakeEngine("second")
    switch = EngineSwitch(first)
    assert switch.retrieve(frame()).engine.name == "first"
    switch.choose(second)
    assert first.closed
    assert switch.identity.name == "second"
    assert switch.retrieve(frame()).engine.name == "second"
    assert not second.closed
    switch.close()
    assert second.closed


def test_switch_while_a_frame_is_retrieved_lets_the_engine_before_finish_it() -> None:
    first, second, made = HeldEngine("first"), FakeEngine("second"), []
    switch = EngineSwitch(first)
    thread = Thread(target=lambda: made.append(switch.retrieve(frame())))
    thread.start()
    assert first.entered.wait(PATIENCE_S)
    switch.choose(second)  # does not wait
    assert switch.identity.name == "second"
    assert not first.closed
    first.release.set()
    thread.join(PATIENCE_S)
    assert [phase.engine.name for phase in made] == ["first"]
    assert first.closed
    assert switch.retrieve(frame()).engine.name == "second"


def test_switch_whose_engine_hangs_does_the_next_frame_with_the_one_chosen_then() -> None:
    hung, second, made = HeldEngine("hung"), FakeEngine("second"), []
    switch = EngineSwitch(hung)
    thread = Thread(target=lambda: made.append(switch.retrieve(frame())), daemon=True)
    thread.start()
    assert hung.entered.wait(PATIENCE_S)
    switch.choose(second)
    others = Thread(target=lambda: made.append(switch.retrieve(frame(1))), daemon=True)
    others.start()
    others.join(PATIENCE_S)
    assert [phase.engine.name for phase in made] == ["second"]
    assert not hung.closed
    switch.close()
    assert second.closed
    hung.release.set()
    thread.join(PATIENCE_S)
    assert hung.closed


def test_switch_chosen_twice_during_one_frame_closes_both_engines_that_went() -> None:
    engines = [HeldEngine("first"), FakeEngine("second"), FakeEngine("third")]
    switch = EngineSwitch(engines[0])
    thread = Thread(target=switch.retrieve, args=(frame(),))
    thread.start()
    assert engines[0].entered.wait(PATIENCE_S)
    switch.choose(engines[1])
    switch.choose(engines[2])
    engines[0].release.set()
    thread.join(PATIENCE_S)
    assert [engine.closed for engine in engines] == [True, True, False]


def test_switch_whose_engine_fails_on_the_last_frame_still_closes_it() -> None:
    first = HeldEngine("first")
    first.failures[0] = InferenceError("no carrier", "expected a carrier, got none")
    switch, failures = EngineSwitch(first), []

    def fail() -> None:
        with pytest.raises(InferenceError) as failure:
            switch.retrieve(frame())
        failures.append(failure.value.reason)

    thread = Thread(target=fail)
    thread.start()
    assert first.entered.wait(PATIENCE_S)
    switch.choose(FakeEngine("second"))
    first.release.set()
    thread.join(PATIENCE_S)
    assert failures == ["no carrier"]
    assert first.closed


def test_switch_that_was_closed_closes_an_engine_chosen_later() -> None:
    switch, late = EngineSwitch(FakeEngine()), FakeEngine("late")
    switch.close()
    switch.choose(late)
    assert late.closed


def test_switch_offers_what_only_some_engines_can_do_while_it_has_such_an_engine() -> None:
    tunable = TunableFakeEngine()
    switch = EngineSwitch(FakeEngine())
    assert (switch.tunable, switch.trained, switch.open_device) == (None, None, None)
    assert not isinstance(switch, TunableEngine | DeviceEngine)
    switch.choose(tunable)
    assert switch.tunable is tunable


def test_switch_to_another_engine_keeps_the_sign_that_was_decided() -> None:
    cell = bump()
    switch = EngineSwitch(ClassicalEngine(EngineOptions()))
    assert switch.retrieve(interferogram_frame(interferogram(cell))).phase_rad.max() > 5
    for carrier in ((0.21, 0.26), (0.2, 0.28)):  # the second one a realigned mirror's
        switch.choose(FakeEngine("one that knows no signs"))
        switch.choose(ClassicalEngine(EngineOptions()))
        bubble = switch.retrieve(interferogram_frame(interferogram(-cell, carrier)))
        assert bubble.phase_rad.min() < -5
        assert bubble.engine.detail["is_sign_known"] is True
    switch.close()
