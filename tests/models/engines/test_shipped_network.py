"""The network that ships, in both precisions, on frames of its instrument that it never saw."""

from dataclasses import replace
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
from qpi_live.models.artifacts.session import open_session
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


class OnCuda(onnxruntime.InferenceSession):
    """A session of ONNX Runtime's own that says it works through CUDA."""

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


BUILT_FOR_GPUS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> Frame:
    """All engines from now on believe that a GPU runs them; and a frame."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: BUILT_FOR_GPUS)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    monkeypatch.setattr(onnx, "BoundSession", lambda session, _, another: BoundSession(session, "cpu", another))
    return Frame(np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8), 8, 0, 0, 0)


def plain_phase(frame: Frame) -> np.ndarray:
    phase_rad: np.ndarray = open_session(SHIPPED).run(None, {"interferogram": frame.pixels})[0]
    return phase_rad


def test_network_whose_best_provider_is_not_there_says_which_runs_it(
    on_cuda: Frame, caplog: pytest.LogCaptureFixture
) -> None:
    """TensorRT was asked for first."""
    engine = OnnxEngine(EngineOptions(threads=1), SHIPPED)
    assert engine.identity.device == "cuda"
    assert "the network runs on CUDA: ONNX Runtime was built for Tensorrt and CUDA" in caplog.text
    np.testing.assert_allclose(engine.retrieve(on_cuda).phase_rad, plain_phase(on_cuda), atol=1e-4)


def test_graph_is_asked_of_each_gpu_provider_and_said(on_cuda: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(onnx, "open_session", lambda *given, graph: (asked.append(graph), open_session(*given))[1])
    engine = OnnxEngine(EngineOptions(threads=1), SHIPPED)
    engine.retrieve(on_cuda)
    engine.retrieve(on_cuda)
    assert engine.identity.detail["cuda_graph"] is True
    assert asked == [True]
    smaller = replace(on_cuda, pixels=on_cuda.pixels[:128, :160].copy())
    np.testing.assert_allclose(engine.retrieve(smaller).phase_rad, plain_phase(smaller), atol=1e-4)
    assert asked == [True, True]  # a graph is of one size: another size has a session of its own


def test_provider_that_refuses_a_graph_runs_without_one_and_says_so(
    on_cuda: Frame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_graph(*given: object, graph: bool) -> onnxruntime.InferenceSession:
        if graph:
            raise RuntimeError("not all nodes are on the CUDA provider")
        return open_session(*given)

    monkeypatch.setattr(onnx, "open_session", refuse_graph)
    engine = OnnxEngine(EngineOptions(threads=1), SHIPPED)
    np.testing.assert_allclose(engine.retrieve(on_cuda).phase_rad, plain_phase(on_cuda), atol=1e-4)
    assert "not all nodes are on the CUDA provider" in str(engine.identity.detail["cuda_graph"])
    assert "runs without a CUDA graph" in caplog.text


def test_graph_that_fails_when_it_is_recorded_costs_no_frame(on_cuda: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recording(BoundSession):
        def run(self, pixels: np.ndarray) -> np.ndarray:
            raise RuntimeError("operation not permitted when stream is capturing")

    def bound(session: onnxruntime.InferenceSession, _: str, another: object) -> BoundSession:
        return (BoundSession if another is None else Recording)(session, "cpu", another)

    monkeypatch.setattr(onnx, "BoundSession", bound)
    engine = OnnxEngine(EngineOptions(threads=1), SHIPPED)
    np.testing.assert_allclose(engine.retrieve(on_cuda).phase_rad, plain_phase(on_cuda), atol=1e-4)
    assert "stream is capturing" in str(engine.identity.detail["cuda_graph"])
