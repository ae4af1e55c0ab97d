"""Memory that is bound once gives what a plain run gives; what works there is ONNX Runtime's own CPU."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the small network is made with onnx: pip install 'qpi-live[train]'")

from qpi_live.models.artifacts.bound_session import BoundSession
from qpi_live.models.artifacts.session import open_session, provider_options

from tests.models.small_network import small_network, written


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_bound_session_gives_what_a_run_gives_for_frames_of_changing_size(tmp_path: Path, bit_depth: int) -> None:
    session = open_session(written(tmp_path, small_network(bit_depth)))
    bound, rng = BoundSession(session, "cpu"), np.random.default_rng(0)
    made = []
    for shape in ((96, 128), (96, 128), (64, 64), (96, 128)):
        pixels = rng.integers(0, 2**bit_depth, shape).astype(np.uint8 if bit_depth == 8 else np.uint16)
        (expected,) = session.run(None, {session.get_inputs()[0].name: pixels})
        made.append((bound.run(pixels), expected))
    for phase_rad, expected in made:  # after all of them: none shares memory with the next
        assert phase_rad.dtype == np.float32
        np.testing.assert_array_equal(phase_rad, expected)


def test_tensorrts_builds_are_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = provider_options("TensorrtExecutionProvider")
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path)
    assert options["trt_engine_cache_enable"] == "True"
    assert provider_options("CPUExecutionProvider") == {}


def test_graph_is_an_option_of_the_providers_that_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with_graph = {
        name: provider_options(f"{name}ExecutionProvider", graph=True) for name in ("CUDA", "Tensorrt", "CPU")
    }
    assert with_graph["CUDA"]["enable_cuda_graph"] == "1"
    assert with_graph["Tensorrt"]["trt_cuda_graph_enable"] == "True"
    assert with_graph["CPU"] == {}
    for name in with_graph:
        assert not any("graph" in option for option in provider_options(f"{name}ExecutionProvider"))


def test_memory_stays_where_it_is_for_frames_of_one_size_as_a_graph_needs_it(tmp_path: Path) -> None:
    opened = []

    def another() -> object:
        opened.append(1)
        return open_session(written(tmp_path, small_network(8)))

    bound, places = BoundSession(open_session(written(tmp_path, small_network(8))), "cpu", another), []
    for shape in ((96, 128), (96, 128), (96, 128), (64, 64), (64, 64)):
        bound.run(np.zeros(shape, np.uint8))
        places.append((bound._grey.data_ptr(), bound._phase.data_ptr()))
    assert len(set(places[:3])) == len(set(places[3:])) == 1
    assert len(opened) == 1  # for the second size
