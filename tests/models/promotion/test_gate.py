"""The gate: what it measures, what it refuses, and that a figure that is no number passes nothing."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.artifacts.background_network import SHIPPED as BACKGROUND
from qpi_live.models.artifacts.promotions import Figures, Kind, PromotionError
from qpi_live.models.promotion.gate import CONDITIONS, Examination, simulate, why_refused
from qpi_live.models.promotion.judgement import instrument_for, judge, put_in_force
from qpi_live.models.promotion.registry import Registry

from tests.models.small_network import BENCH, small_network, written

GOOD = Figures(
    psnr_db={"nominal": 40.0, "dense": 30.0},
    seen_on="recorded",
    difference_rad=0.1,
    largest_difference_rad=0.2,
    latency_ms=10.0,
)


@pytest.fixture(scope="module")
def examination() -> Examination:
    return Examination(BENCH, simulate(BENCH, 2))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "networks")
    for name, brightness in (("dark", 0.0), ("bright", 1.0), ("glaring", 3.0)):
        registry.add(written(tmp_path, small_network(brightness=brightness), f"{name}.onnx"))
    return registry


def changed(**figures: object) -> Figures:
    return GOOD.model_copy(update=figures)


@pytest.mark.parametrize(
    ("worse", "sentence"),
    [
        ({"psnr_db": {"nominal": 45.0, "dense": 29.0}}, "dense frames at 29.0 dB instead of 30.0"),
        ({"psnr_db": {"nominal": nan, "dense": 30.0}}, "nominal frames at nan dB"),
        ({"psnr_db": {"nominal": 40.0}}, "dense frames at nan dB"),
        ({"difference_rad": 0.2}, "0.20 rad from the classical chain on recorded frames instead of 0.10 rad"),
        ({"difference_rad": nan}, "nan rad from the classical chain"),
        ({"difference_rad": None}, "no phase from the classical chain"),
        ({"latency_ms": 20.0}, "20 ms a frame instead of 10"),
        ({"latency_ms": inf}, "inf ms a frame"),
    ],
)
def test_gate_refuses_a_worse_figure_in_a_sentence(worse: dict[str, object], sentence: str) -> None:
    refusal = why_refused("mine", changed(**worse), "theirs", GOOD)
    assert refusal is not None
    assert refusal.startswith("expected mine to be no worse than theirs")
    assert sentence in refusal


def test_gate_lets_the_same_figures_and_better_ones_pass() -> None:
    assert why_refused("mine", GOOD, "theirs", GOOD) is None
    assert why_refused("mine", changed(difference_rad=0.05, latency_ms=1.0), "theirs", GOOD) is None


def test_simulated_frames_are_of_every_condition_and_the_same_again(examination: Examination) -> None:
    assert [one.condition for one in examination.simulated] == [name for name in CONDITIONS for _ in range(2)]
    again = simulate(BENCH, 2)
    for one, other in zip(examination.simulated, again, strict=True):
        np.testing.assert_array_equal(one.frame.pixels, other.frame.pixels)


def test_judge_prefers_the_network_nearer_to_the_truth_either_way(registry: Registry, examination: Examination) -> None:
    first = judge(registry, registry.named("glaring"), examination)
    put_in_force(registry, first, is_forced=True)
    better = judge(registry, registry.named("dark"), examination)
    assert better.before_figures is not None
    for condition in CONDITIONS:
        assert better.figures.psnr_db[condition] > better.before_figures.psnr_db[condition]
    put_in_force(registry, better, is_forced=better.refusal is not None)
    worse = judge(registry, registry.named("glaring"), examination)
    assert worse.refusal is not None
    assert "frames at" in worse.refusal
    with pytest.raises(PromotionError, match="nothing has changed"):
        put_in_force(registry, worse)
    assert registry.in_force(Kind.NETWORK).name == "dark"
    promotion = put_in_force(registry, worse, is_forced=True)
    assert promotion.forced_against == worse.refusal
    assert registry.promotions.history.steps[-1].done == "forced"
    assert registry.promotions.history.steps[-1].remark == worse.refusal


def test_judge_against_one_that_does_not_take_the_frames_says_so(
    registry: Registry, tmp_path: Path, examination: Examination
) -> None:
    put_in_force(registry, judge(registry, registry.named("dark"), examination), is_forced=True)
    registry.add(written(tmp_path, small_network(bit_depth=12), "deep.onnx"))
    deep = registry.named("deep")
    instrument = instrument_for(deep, None)
    verdict = judge(registry, deep, Examination(instrument, simulate(instrument, 1)))
    assert verdict.before_figures is None
    assert verdict.refusal is None
    assert "does not take these frames" in str(verdict.remark)
    with pytest.raises(ValueError, match="expected frames of 12 bit"):
        judge(registry, deep, examination)


def test_judge_on_recorded_frames_measures_the_difference_there(registry: Registry, examination: Examination) -> None:
    recorded = [Frame(one.frame.pixels.copy(), 8, 0, 0, 0) for one in examination.simulated[:2]]
    on_recorded = Examination(BENCH, examination.simulated, recorded, BENCH.optics)
    verdict = judge(registry, registry.named("bright"), on_recorded)
    assert verdict.figures.seen_on == "recorded"
    assert verdict.figures.difference_rad is not None
    assert verdict.figures.difference_rad <= (verdict.figures.largest_difference_rad or 0)


def test_judge_says_where_the_classical_chain_is_better(registry: Registry, examination: Examination) -> None:
    verdict = judge(registry, registry.named("glaring"), examination)
    assert "The classical chain is better" in str(verdict.remark)


def test_judge_of_a_background_compares_the_chain_with_it(registry: Registry) -> None:
    registry.add(BACKGROUND, "copy")
    copy = registry.named("copy")
    instrument = BENCH
    verdict = judge(registry, copy, Examination(instrument, simulate(instrument, 1)))
    assert verdict.before.name == "learned"
    assert verdict.before_figures is not None
    assert verdict.figures.psnr_db == verdict.before_figures.psnr_db
    assert verdict.figures.difference_rad is None
