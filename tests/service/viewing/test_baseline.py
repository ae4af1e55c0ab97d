"""The baseline beside the line: what it takes, what it measures, and that it never delays the line."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame

from tests.fakes import FakeEngine, TunableFakeEngine
from tests.service.stations import PATIENCE_S, Bench, until


class ShiftedEngine(FakeEngine):
    """As the fake engine, but off by a constant and, in the upper half of the frame, by 0.3 rad more."""

    def retrieve(self, frame: Frame) -> PhaseFrame:
        phase_rad = np.array(super().retrieve(frame).phase_rad) + np.float32(5)
        phase_rad[: frame.shape[0] // 4] += np.float32(0.3)
        return PhaseFrame(phase_rad, frame, self.identity, {})


def settled(bench: Bench, captured: int) -> Callable[[], bool]:
    def is_settled() -> bool:
        assert bench.station.baseline is not None
        account = bench.station.baseline.account
        assert account.is_exact
        return account.captured == captured and account.in_flight == 0

    return is_settled


def test_baseline_of_an_equal_engine_agrees_fully(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(baseline=FakeEngine("goldstein"), baseline_fraction=1.0)
    bench.frames()
    until(settled(bench, 1))
    baseline = bench.client.get("/api/v1/stats").json()["baseline"]
    assert (baseline["engine"], baseline["frames"]) == ("goldstein", 1)
    assert (baseline["rms_rad"], baseline["psnr_db"]) == (0.0, None)
    assert baseline["latency_ms"] > 0


def test_baseline_takes_the_level_off_and_measures_the_rest(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(baseline=ShiftedEngine("goldstein"), baseline_fraction=1.0)
    bench.frames()
    until(settled(bench, 1))
    assert bench.station.baseline is not None
    agreement = bench.station.baseline.agreement
    expected_rad = 0.3 * np.sqrt(1 / 4)
    assert agreement.rms_rad == pytest.approx(expected_rad, rel=1e-3)
    assert agreement.psnr_db == pytest.approx(20 * np.log10(12 / expected_rad), abs=0.01)
    assert f"qpi_baseline_rms_radians {agreement.rms_rad}" in bench.client.get("/metrics").text


def test_baseline_of_a_fraction_takes_that_part_and_counts_the_rest(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(baseline=FakeEngine("goldstein"), baseline_fraction=0.25)
    for captured in range(1, 17):
        bench.frames()
        until(settled(bench, captured))
    assert bench.station.baseline is not None
    account = bench.station.baseline.account
    assert (account.delivered, account.dropped) == (4, {"not sampled": 12})


def test_baseline_that_hangs_delays_neither_the_line_nor_the_answers(make_bench: Callable[..., Bench]) -> None:
    entered, release = Event(), Event()

    class SlowEngine(FakeEngine):
        def retrieve(self, frame: Frame) -> PhaseFrame:
            entered.set()
            assert release.wait(PATIENCE_S)
            return super().retrieve(frame)

    bench = make_bench(baseline=SlowEngine("goldstein"), baseline_fraction=1.0)
    bench.frames()
    assert entered.wait(PATIENCE_S)
    bench.frames(10)
    assert bench.station.pipeline.account.snapshot().delivered == 11
    assert bench.client.get("/api/v1/stats").json()["baseline"]["account"]["in_flight"] == 2
    release.set()
    until(settled(bench, 11))
    assert bench.station.baseline is not None
    assert bench.station.baseline.account.dropped["superseded"] >= 9


def test_baseline_that_fails_is_counted_and_named_while_the_line_goes_on(make_bench: Callable[..., Bench]) -> None:
    engine = FakeEngine("goldstein")
    engine.failures = {0: InferenceError("no carrier", "expected a carrier, found none"), 1: ZeroDivisionError("oops")}
    bench = make_bench(baseline=engine, baseline_fraction=1.0)
    for captured in (1, 2, 3):
        bench.frames()
        until(settled(bench, captured))
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["baseline"]["account"]["failed"] == {"no carrier": 1, "internal error": 1}
    assert stats["baseline"]["last_failure"] == "ZeroDivisionError('oops')"
    assert stats["baseline"]["frames"] == 1
    assert stats["account"]["delivered"] == 3
    assert stats["last_failure"] is None


def test_baseline_is_tuned_together_with_the_live_engine(make_bench: Callable[..., Bench]) -> None:
    live, baseline = TunableFakeEngine("network"), TunableFakeEngine("goldstein")
    bench = make_bench(live, baseline=baseline)
    bench.frames()
    bench.client.put("/api/v1/engine/sideband", json={"sideband": "lower"})
    bench.client.put("/api/v1/engine/calibration")
    assert live.sideband == baseline.sideband == "lower"
    assert live.calibration is baseline.calibration is not None


def test_baseline_whose_calibration_fails_leaves_both_engines_as_they_were(make_bench: Callable[..., Bench]) -> None:
    class RefusingEngine(TunableFakeEngine):
        def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
            if frame is not None:
                raise ValueError("expected a calibration frame that I like")

    live = TunableFakeEngine("network")
    bench = make_bench(live, baseline=RefusingEngine("goldstein"))
    bench.frames()
    answer = bench.client.put("/api/v1/engine/calibration")
    assert (answer.status_code, answer.json()["detail"]) == (422, "expected a calibration frame that I like")
    assert live.calibration is None
    assert bench.client.get("/api/v1/engine").json()["calibration_ns"] is None


def test_baseline_at_the_stop_is_closed(make_bench: Callable[..., Bench]) -> None:
    engine = FakeEngine("goldstein")
    bench = make_bench(baseline=engine)
    bench.station.baseline.stop(PATIENCE_S)
    assert engine.closed
