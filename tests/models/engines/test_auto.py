"""The engine that chooses: what it falls back to, and that it says why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import EngineOptions, TunableEngine
from qpi_live.models.engines import onnx
from qpi_live.models.engines.auto import AutoEngine
from qpi_live.models.phase_frame import PhaseFrame

from tests.fakes import FakeEngine
from tests.models.fringes import SHAPE, bump, frame, interferogram


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHIPPED", "SHIPPED_INT8"):
        monkeypatch.setattr(onnx, name, Path("/nowhere/nasprnet.onnx"))


@pytest.mark.usefixtures("without_network")
def test_auto_without_a_network_is_the_classical_chain_and_says_why() -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    result = engine.retrieve(frame(interferogram(bump())))
    assert np.sqrt(np.mean((result.phase_rad - bump())[16:-16, 16:-16] ** 2)) < 0.15
    assert result.engine.name == "goldstein"
    assert "no such file" in str(result.engine.detail["chosen"])
    assert isinstance(engine, TunableEngine)


@pytest.mark.parametrize(
    "options",
    [EngineOptions(threads=1, sideband="lower"), EngineOptions(threads=1, carrier_cycles_per_px=(0.21, 0.26))],
)
def test_auto_with_a_demodulation_that_a_person_chose_is_the_classical_chain(options: EngineOptions) -> None:
    engine = AutoEngine(options)
    engine.warm_up(SHAPE, 8)
    result = engine.retrieve(frame(interferogram(bump())))
    assert result.engine.name == "goldstein"
    assert str(result.engine.detail["chosen"]) in ("a carrier was given", "a sideband was chosen")


def test_auto_given_a_calibration_frame_divides_it_out_classically() -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    engine.use_calibration(frame(interferogram(np.zeros(SHAPE))))
    result = engine.retrieve(frame(interferogram(bump())))
    assert result.engine.detail["background"] == "calibration frame"
    assert "calibration frame" in str(result.engine.detail["chosen"])


def test_auto_that_loses_its_calibration_frame_chooses_anew() -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    engine.use_calibration(frame(interferogram(np.zeros(SHAPE))))
    engine.retrieve(frame(interferogram(bump())))
    engine.use_calibration(None)
    assert "calibration frame" not in str(engine.retrieve(frame(interferogram(bump()))).engine.detail["chosen"])


def test_auto_on_another_camera_finds_that_ones_carrier() -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    first = engine.retrieve(replace(frame(interferogram(bump())), source="one"))
    other = engine.retrieve(replace(frame(interferogram(bump(), carrier=(0.27, 0.1))), source="other"))
    assert first.engine.detail["carrier_fx_cycles_per_px"] == pytest.approx(0.26, abs=0.02)
    assert other.engine.detail["carrier_fx_cycles_per_px"] == pytest.approx(0.1, abs=0.02)
    assert np.sqrt(np.mean((other.phase_rad - bump())[16:-16, 16:-16] ** 2)) < 0.15


def test_auto_adjusted_while_a_frame_is_retrieved_names_the_engine_that_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    network = FakeEngine("network")
    monkeypatch.setattr(engine, "_network", network)
    monkeypatch.setattr(network, "network", Fitting(), raising=False)
    monkeypatch.setattr(network, "retrieve", adjusting(network.retrieve, engine.refind_carrier))
    made_by = engine.retrieve(frame(interferogram(bump()))).engine
    assert (made_by.name, made_by.detail["chosen"]) == ("network", "the stream is what the network was trained for")
    assert engine.identity.detail["chosen"] == "the next frame decides"


def test_auto_chooses_again_when_the_bit_depth_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    engine.warm_up(SHAPE, 8)
    network = FakeEngine("network")
    monkeypatch.setattr(engine, "_network", network)
    monkeypatch.setattr(network, "network", OfEightBits(), raising=False)
    shallow = frame(interferogram(bump()))
    deep = replace(shallow, pixels=shallow.pixels.astype(np.uint16) * 16, bit_depth=12)
    chosen = [engine.retrieve(one).engine for one in (shallow, deep, shallow)]
    assert [one.name for one in chosen] == ["network", "goldstein", "network"]
    assert chosen[1].detail["chosen"] == "trained for 8 bits"


class Fitting:
    """A network's passport that fits every stream."""

    instrument = None

    def why_not(self, shape: tuple[int, int], bit_depth: int) -> str | None:
        del shape, bit_depth

    def mismatch(self, given: Frame) -> None:
        del given


class OfEightBits(Fitting):
    """Of a network that was trained for 8 bits alone."""

    def why_not(self, shape: tuple[int, int], bit_depth: int) -> str | None:
        del shape
        return None if bit_depth == 8 else "trained for 8 bits"


def adjusting(retrieve: Callable[[Frame], PhaseFrame], adjust: Callable[[], None]) -> Callable[[Frame], PhaseFrame]:
    def adjusted(given: Frame) -> PhaseFrame:
        made = retrieve(given)
        adjust()
        return made

    return adjusted


def test_auto_without_a_gpu_is_the_classical_chain_and_says_so() -> None:
    engine = AutoEngine(EngineOptions(threads=1))
    if onnx.OnnxEngine(EngineOptions(threads=1)).identity.device != "cpu":
        pytest.skip("this machine has a GPU that ONNX Runtime uses")
    engine.warm_up(SHAPE, 8)
    result = engine.retrieve(frame(interferogram(bump())))
    assert result.engine.name == "goldstein"
    assert "no GPU" in str(result.engine.detail["chosen"])
