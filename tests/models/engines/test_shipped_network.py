"""The network that ships, in both precisions, on frames of its instrument that it never saw."""

from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import pytest
from qpi_live.bench.frames import recorded_windows
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.bound_session import BoundSession
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines import onnx
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8, OnnxEngine
from qpi_live.models.metrics import psnr_db, rms_rad
from qpi_live.models.training.simulate import SimulatedPair, simulate_pair

from tests.soak import at_length

INSTRUMENT = Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json"
LEAST_DB = {"nominal": 37.0, "dense": 30.0, "harsh": 27.0}


@pytest.fixture(scope="module", params=[SHIPPED, SHIPPED_INT8], ids=["fp32", "int8"])
def engine(request: pytest.FixtureRequest) -> OnnxEngine:
    made = OnnxEngine(EngineOptions(threads=2), request.param)
    made.warm_up((1024, 1024), 8)
    return made


@cache
def unseen_pairs(condition: str) -> list[SimulatedPair]:
    """The first of bench/accuracy.py's; both precisions see the same."""
    instrument = Instrument.from_file(INSTRUMENT)
    return [simulate_pair(instrument, condition, seed) for seed in range(at_length(3, 5))]


def psnr(engine: OnnxEngine, pair: SimulatedPair) -> float:
    phase_rad = engine.retrieve(Frame(pair.pixels, 8, 0, captured_ns=0, captured_monotonic_ns=0)).phase_rad
    return psnr_db(np.clip(phase_rad, 0, 12), np.clip(pair.phase_rad, 0, 12))


@pytest.mark.parametrize("condition", LEAST_DB)
def test_shipped_network_on_unseen_frames_is_as_accurate_as_its_card_says(engine: OnnxEngine, condition: str) -> None:
    assert median(psnr(engine, pair) for pair in unseen_pairs(condition)) > LEAST_DB[condition]


def test_shipped_network_on_the_real_hologram_agrees_with_the_classical_chain(engine: OnnxEngine) -> None:
    optics, frames = recorded_windows("replay:glioblastoma", 1024, 2)
    classical = ClassicalEngine(EngineOptions(optics=optics))
    apart = [rms_rad(engine.retrieve(f).phase_rad, np.clip(classical.retrieve(f).phase_rad, 0, 12)) for f in frames]
    assert median(apart) < 0.35


def test_shipped_network_by_default_is_int8_where_only_a_cpu_can_run_it() -> None:
    default = OnnxEngine(EngineOptions(threads=1))
    assert default.network.precision == ("int8" if default.identity.device == "cpu" else "fp32")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="a GPU may be used here")
@pytest.mark.parametrize(("path", "precision"), [(None, "int8"), (SHIPPED, "fp32")], ids=["default", "file"])
def test_network_on_a_runtime_built_for_a_gpu_that_is_not_there_runs_on_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: Path | None, precision: str
) -> None:
    built_for = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_for)
    engine = OnnxEngine(EngineOptions(threads=1), path)
    assert (engine.identity.device, engine.network.precision) == ("cpu", precision)
    sentence = "the network runs on the CPU: ONNX Runtime was built for Tensorrt and CUDA and found no GPU"
    assert sentence in caplog.text
    assert str(engine.identity.detail["fallback"]).startswith(sentence)  # so that statistics and the page have it


def test_network_whose_best_provider_is_not_there_says_which_runs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A session of ONNX Runtime's own that says it works through CUDA, where TensorRT was asked for first."""

    class OnCuda(onnxruntime.InferenceSession):
        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    frame = Frame(simulate_pair(Instrument.from_file(INSTRUMENT), "nominal", 0).pixels[:256, :256].copy(), 8, 0, 0, 0)
    expected = OnnxEngine(EngineOptions(threads=1), SHIPPED).retrieve(frame).phase_rad
    built_for = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built_for)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    monkeypatch.setattr(onnx, "BoundSession", lambda session, device: BoundSession(session, "cpu"))
    engine = OnnxEngine(EngineOptions(threads=1), SHIPPED)
    assert engine.identity.device == "cuda"
    assert "the network runs on CUDA: ONNX Runtime was built for Tensorrt and CUDA" in caplog.text
    np.testing.assert_array_equal(engine.retrieve(frame).phase_rad, expected)
