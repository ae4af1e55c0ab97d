"""A network in torch as an engine, on a device whose memory is the host's: what only CUDA has is left to a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'qpi-live[train]'")

from qpi_live.bench.timing import torch_engine
from qpi_live.bench.timing.engines import open_to_time
from qpi_live.bench.timing.torch_engine import TorchEngine
from qpi_live.camera.device import DeviceUnavailable
from qpi_live.camera.frame import Frame, OnDevice
from qpi_live.models.engine import DeviceEngine, EngineOptions
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8, OnnxEngine
from qpi_live.models.errors import EngineUnavailable

from tests.cuda_host.device import HostDevice
from tests.onnx_library import host_gpu

SHAPE = (128, 160)


@pytest.fixture(autouse=True)
def on_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "ON_HOST", True)


@pytest.fixture
def device() -> Iterator[HostDevice]:
    device = host_gpu(lazy=True)
    yield device
    assert device.allocated_bytes == 0


def frame(seed: int) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8), 8, seed, 0, 0)


def test_network_in_torch_gives_what_it_gives_on_onnx_runtime_wherever_the_frame_lies(device: HostDevice) -> None:
    engine = TorchEngine(EngineOptions(), str(SHIPPED), open_device=lambda: device)
    engine.warm_up(SHAPE, 8)
    assert isinstance(engine, DeviceEngine)
    reference, stream = OnnxEngine(EngineOptions(), SHIPPED), device.stream()
    for seed in range(2):
        given = frame(seed)
        memory, began = device.allocate(given.pixels.nbytes), stream.record()
        stream.upload(given.pixels, memory)
        there = replace(given, on_device=OnDevice(device, memory, began, stream.record()))
        expected = reference.retrieve(given).phase_rad
        for one in (given, there):
            made = engine.retrieve(one)
            assert np.abs(made.phase_rad - expected).max() < 1e-3
            assert list(made.stages_ms) == ["upload", "inference", "download"]
        memory.free()
    assert "torch" in str(engine.identity.detail["runtime"])
    engine.close()


def test_network_that_has_learned_nothing_is_timed_under_its_own_name(device: HostDevice) -> None:
    engine = TorchEngine(EngineOptions(), "narrow-unet", open_device=lambda: device)
    assert engine.retrieve(frame(0)).phase_rad.shape == SHAPE
    assert engine.identity.name == "narrow-unet"
    assert engine.identity.detail["training_samples"] == 0
    engine.close()


@pytest.mark.parametrize("name", ["oracle", "gone.onnx", str(SHIPPED_INT8)])
def test_network_that_torch_cannot_run_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(EngineUnavailable, match="expected a"):
        TorchEngine(EngineOptions(), name, open_device=host_gpu)


def test_torch_without_a_gpu_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> HostDevice:
        raise DeviceUnavailable("expected an NVIDIA GPU that works, got: no driver")

    with pytest.raises(EngineUnavailable, match=r"narrow-unet needs a GPU: .* got: no driver"):
        TorchEngine(EngineOptions(), "narrow-unet", open_device=none)
    monkeypatch.setattr(torch_engine, "ON_HOST", False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EngineUnavailable, match="expected torch with CUDA and a GPU for it, got torch"):
        open_to_time("torch:narrow-unet", EngineOptions())
