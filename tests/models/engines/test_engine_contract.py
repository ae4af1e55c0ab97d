"""What every engine promises, run against each engine that can be made here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import qpi_live.camera
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models import engine as engine_module
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.engine import EngineOptions, PhaseEngine, engine_names, open_engine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.engines import auto, classical_cuda, tensorrt
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8
from qpi_live.models.errors import EngineError, EngineUnavailable

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.fringes import SHAPE, bump, frame, interferogram
from tests.onnx_library import OnnxLibrary, host_gpu

OPTIONS = EngineOptions(threads=2)
LARGEST_RMS_RAD = 0.2  # in frames so small that a network sees little ground
INSTRUMENT = Path(qpi_live.camera.__file__).parent / "data" / "glioblastoma.json"


@dataclass(frozen=True)
class Case:
    """An engine, and a frame that it can make something of, with its truth."""

    engine: PhaseEngine
    pixels: Pixels
    true_phase_rad: NDArray[np.floating]

    def retrieve(self, sequence: int = 0) -> tuple[Frame, NDArray[np.float32]]:
        given = frame(self.pixels, sequence=sequence)
        return given, self.engine.retrieve(given).phase_rad


def _named(name: str, _folder: Path, _patch: pytest.MonkeyPatch) -> PhaseEngine:
    return open_engine(name, OPTIONS)


def _learned(_folder: Path, _patch: pytest.MonkeyPatch) -> PhaseEngine:
    return open_engine("goldstein", replace(OPTIONS, background="learned"))


def _cuda(_folder: Path, patch: pytest.MonkeyPatch) -> PhaseEngine:
    needs_compiler()
    device = HostDevice()
    patch.setattr(classical_cuda, "open_cuda_device", lambda: device)
    return open_engine("goldstein-cuda", OPTIONS)


def _auto_with_the_network(_folder: Path, patch: pytest.MonkeyPatch) -> PhaseEngine:
    patch.setattr(auto, "_CPU", "no device")  # as where ONNX Runtime has a GPU
    return open_engine("auto", OPTIONS)


def _onnx_file(_folder: Path, _patch: pytest.MonkeyPatch) -> PhaseEngine:
    return open_engine(str(SHIPPED), OPTIONS, may_be_file=True)


def _compiled(folder: Path, patch: pytest.MonkeyPatch) -> PhaseEngine:
    pytest.importorskip("onnx", reason="compiling needs onnx: pip install 'qpi-live[gpu]'")
    from qpi_live.models.export.compilation import Plan, compile_network

    library, device = OnnxLibrary(), host_gpu()
    plan = Plan(SHIPPED, folder / "nasprnet.trt", "fp32", Sizes.parse("x".join(map(str, SHAPE))), ((8, 9),))
    compile_network(plan, library, device, lambda share, step: None)
    patch.setattr(tensorrt, "open_cuda_device", lambda: device)
    patch.setattr(tensorrt, "library_named", lambda name: library)
    return open_engine(str(plan.out), OPTIONS, may_be_file=True)


def _switch(_folder: Path, _patch: pytest.MonkeyPatch) -> PhaseEngine:
    return EngineSwitch(open_engine("goldstein", OPTIONS))


def _switched(_folder: Path, _patch: pytest.MonkeyPatch) -> PhaseEngine:
    switch = EngineSwitch(open_engine("goldstein", OPTIONS))
    switch.warm_up(SHAPE, 8)
    switch.choose(open_engine(str(SHIPPED_INT8), OPTIONS, may_be_file=True))
    return switch


ENGINES: dict[str, Callable[[Path, pytest.MonkeyPatch], PhaseEngine]] = {
    "goldstein": partial(_named, "goldstein"),
    "goldstein, learned background": _learned,
    "goldstein-cuda": _cuda,
    "auto": partial(_named, "auto"),
    "auto, with the network": _auto_with_the_network,
    "fused": partial(_named, "fused"),
    "fused, with the network": partial(_named, "fused"),
    "nasprnet": partial(_named, "nasprnet"),
    ".onnx": _onnx_file,
    ".trt": _compiled,
    "switch": _switch,
    "switch, changed": _switched,
}
NETWORKS = ("auto, with the network", "fused, with the network", "nasprnet", ".onnx", ".trt", "switch, changed")


def _cell_under_the_networks_instrument() -> tuple[Pixels, NDArray[np.floating]]:
    true_phase_rad = bump(peak_rad=4.0)
    model = ForwardModel(replace(Instrument.from_file(INSTRUMENT), shape=SHAPE))
    return model.interferogram(true_phase_rad.astype(np.float32), default_rng(0)), true_phase_rad


@pytest.fixture(scope="module", params=ENGINES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        engine = ENGINES[request.param](tmp_path_factory.mktemp("engine"), patch)
        engine.warm_up(SHAPE, 8)
        if request.param in NETWORKS:
            yield Case(engine, *_cell_under_the_networks_instrument())
        else:
            yield Case(engine, interferogram(bump()), bump())
        engine.close()


def test_contract_covers_every_engine_that_can_be_asked_for() -> None:
    assert set(engine_names()) | engine_module._FROM_FILE.keys() <= ENGINES.keys()


def test_retrieve_of_a_known_cell_gives_its_phase(case: Case) -> None:
    _, phase_rad = case.retrieve()
    error = (phase_rad - case.true_phase_rad)[16:-16, 16:-16]
    assert np.sqrt(np.mean(error**2)) < LARGEST_RMS_RAD


def test_retrieve_returns_read_only_float32_of_the_frames_shape(case: Case) -> None:
    given = frame(case.pixels)
    result = case.engine.retrieve(given)
    assert result.frame is given
    assert result.phase_rad.dtype == np.float32
    assert result.phase_rad.shape == SHAPE
    assert np.isfinite(result.phase_rad).all()
    with pytest.raises(ValueError, match="read-only"):
        result.phase_rad[0, 0] = 1


def test_retrieve_twice_gives_equal_arrays_that_share_no_memory(case: Case) -> None:
    (_, first), (_, second) = case.retrieve(0), case.retrieve(1)
    assert np.array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_retrieve_leaves_the_frame_as_it_was(case: Case) -> None:
    before = case.pixels.copy()
    given, _ = case.retrieve()
    assert np.array_equal(given.pixels, before)


def test_retrieve_names_the_engine_and_times_its_stages(case: Case) -> None:
    result = case.engine.retrieve(frame(case.pixels))
    assert result.engine.name == case.engine.identity.name
    assert result.stages_ms
    assert all(took_ms >= 0 for took_ms in result.stages_ms.values())


def test_retrieve_of_a_frame_that_cannot_be_inverted_raises_an_engine_error_and_goes_on(case: Case) -> None:
    case.retrieve()
    with pytest.raises(EngineError, match="expected"):
        case.engine.retrieve(frame(np.zeros((100, 90), np.uint8)))
    given, _ = case.retrieve(2)
    assert given.sequence == 2


def test_warm_up_for_a_size_it_cannot_take_says_which_it_can(case: Case) -> None:
    with pytest.raises(EngineUnavailable, match=r"expected frames .* got 8 × 8"):
        case.engine.warm_up((8, 8), 8)


def test_close_twice_is_harmless(case: Case) -> None:  # the last of these: an engine is opened once for all of them
    case.engine.close()
    case.engine.close()


def test_open_engine_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(EngineUnavailable, match=r"expected an engine among .*goldstein.* got 'herraez'"):
        open_engine("herraez", EngineOptions())
