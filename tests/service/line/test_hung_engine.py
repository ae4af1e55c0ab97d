"""An engine that does not come back from a frame: it is left behind, its frame is counted, and another one goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import PhaseEngine
from qpi_live.models.engines import off_axis
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.line import engines as engines_module
from qpi_live.service.line import pipeline
from qpi_live.service.line.shift import Shift

from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.service.stations import PATIENCE_S, Bench, until

ENGINE = "/api/v1/engine"


class HeldEngine(FakeEngine):
    """Does not come back from a frame, or from warming up, until it is released."""

    def __init__(self, name: str = "held", *, holds_warm_up: bool = False) -> None:
        super().__init__(name)
        self.release, self.entered = Event(), Event()
        self.holds_warm_up = holds_warm_up

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        if self.holds_warm_up:
            self._hold()

    def retrieve(self, frame: Frame) -> PhaseFrame:
        self._hold()
        return super().retrieve(frame)

    def _hold(self) -> None:
        self.entered.set()
        assert self.release.wait(PATIENCE_S)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_POLL_S", 0.02)
    monkeypatch.setattr(pipeline, "_HUNG_S", 0.1)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[PhaseEngine]:
    """What `open_engine` gives, one after the other, whatever is asked for."""
    engines: list[PhaseEngine] = []
    monkeypatch.setattr(engines_module, "open_engine", lambda *_, **__: engines.pop(0))
    monkeypatch.setattr(engines_module.Engines, "offers", lambda *_: [])  # which opens each engine to have a look
    return engines


def hang(bench: Bench) -> None:
    bench.camera.send()
    until(lambda: bench.station.pipeline.is_engine_hung)


@pytest.mark.parametrize("name", ["goldstein", "auto"])  # another one, and the same again
def test_hung_engine_is_replaced_and_its_frame_counted(
    make_bench: Callable[..., Bench], offered: list[PhaseEngine], name: str
) -> None:
    held = HeldEngine()
    bench = make_bench(held)
    hang(bench)
    assert bench.client.get("/health/ready").status_code == 503
    offered.append(FakeEngine("second"))
    assert bench.client.put(ENGINE, json={"engine": name}).status_code == 200
    assert bench.frames(3)[-1].phase.engine.name == "second"
    assert bench.client.get("/health/ready").status_code == 200
    account = bench.station.pipeline.account.snapshot()
    assert (account.captured, account.delivered, account.failed) == (4, 3, {"engine hung": 1})

    held.release.set()  # it comes back after all: nobody wants its frame any more
    until(lambda: held.closed)
    assert bench.station.pipeline.account.snapshot() == account
    assert bench.frames(1)[0].phase.engine.name == "second"
    bench.assert_exact()


def test_engines_that_hang_one_after_the_other_are_all_left_behind(
    make_bench: Callable[..., Bench], offered: list[PhaseEngine]
) -> None:
    held = [HeldEngine(f"held {number}") for number in range(3)]
    offered += [*held[1:], FakeEngine("sound")]
    bench = make_bench(held[0])
    for _ in held:
        hang(bench)
        assert bench.client.put(ENGINE, json={"engine": "goldstein"}).status_code == 200
    assert bench.frames(2)[0].phase.engine.name == "sound"
    for engine in held:
        engine.release.set()
    until(lambda: all(engine.closed for engine in held))
    account = bench.station.pipeline.account.snapshot()
    assert (account.delivered, account.failed, account.in_flight) == (2, {"engine hung": 3}, 0)
    bench.assert_exact()


def test_engine_that_hangs_while_it_warms_up_is_replaced(
    make_bench: Callable[..., Bench], offered: list[PhaseEngine]
) -> None:
    held = HeldEngine(holds_warm_up=True)
    bench = make_bench(held)
    assert held.entered.wait(PATIENCE_S)
    assert bench.station.pipeline.state.name == "starting"
    offered.append(FakeEngine("second"))
    assert bench.client.put(ENGINE, json={"engine": "goldstein"}).status_code == 200
    assert bench.frames(2)[0].phase.engine.name == "second"
    held.release.set()
    until(lambda: held.closed)
    account = bench.station.pipeline.account.snapshot()
    assert (account.delivered, account.failed) == (2, {})
    bench.assert_exact()


def test_engine_that_works_on_a_frame_but_does_not_hang_finishes_it(
    make_bench: Callable[..., Bench], offered: list[PhaseEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_HUNG_S", 60.0)
    held = HeldEngine()
    bench = make_bench(held)
    bench.camera.send()
    assert held.entered.wait(PATIENCE_S)
    offered.append(FakeEngine("second"))
    assert bench.client.put(ENGINE, json={"engine": "goldstein"}).status_code == 200
    held.release.set()
    until(lambda: bench.station.pipeline.account.snapshot().delivered == 1)
    assert bench.frames(1)[0].phase.engine.name == "second"
    assert bench.station.pipeline.account.snapshot().failed == {}


def test_classical_engine_that_hangs_is_busy_for_who_adjusts_it_and_can_be_replaced(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(off_axis, "_ADJUSTING_S", 0.1)
    release = Event()

    class Hanging(ClassicalEngine):
        def retrieve(self, frame: Frame) -> PhaseFrame:
            with self._lock:  # as while the chain works
                assert release.wait(PATIENCE_S)
            return super().retrieve(frame)

    options = make_bench().station.settings.engine_options(None, "auto")  # type: ignore[arg-type]
    other = FakeCamera((64, 64))
    other.identity = replace(other.identity, source="other")
    bench = make_bench(Hanging(options), FakeCamera((64, 64)), others=[other])
    bench.camera.send(shown=fringes((64, 64), 0))
    until(lambda: bench.station.pipeline.is_engine_hung)
    sideband, sentence = {"sideband": "lower"}, "has worked on one"
    for answer in (
        bench.client.put(f"{ENGINE}/sideband", json=sideband),
        bench.client.post(f"{ENGINE}/carrier"),
        bench.client.put("/api/v1/camera/source", json={"source": "other"}),
    ):
        assert answer.status_code == 503
        assert sentence in answer.json()["detail"]
    assert bench.station.cameras.chosen == bench.camera.identity.source
    assert bench.client.put(ENGINE, json={"engine": "goldstein"}).status_code == 200
    bench.frames(shown=fringes((64, 64), 1))
    assert bench.client.put(f"{ENGINE}/sideband", json=sideband).json()["sideband"] == "lower"
    release.set()
    bench.assert_exact()


def test_shift_is_relieved_once_and_ends_once() -> None:
    for _ in range(200):
        shift, outcomes = Shift(), []
        shift.begin()
        threads = [Thread(target=lambda: outcomes.append(shift.end()))]  # noqa: B023
        threads += [Thread(target=lambda: outcomes.append(shift.relieve(0.0))) for _ in range(2)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(outcomes) == 1


def test_shift_with_nothing_at_hand_or_not_long_enough_is_not_relieved() -> None:
    shift = Shift()
    assert not shift.relieve(0.0)
    shift.begin()
    assert not shift.relieve(60.0)
    assert shift.end()
    assert np.isclose(shift.busy_s, 0.0)
