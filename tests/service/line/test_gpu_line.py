"""The line with an engine on a device: frames are there in time, and losing the device is told and recovered from."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.service import opening
from qpi_live.service.line.frame_queue import queue_for
from qpi_live.service.settings import load_settings

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.fakes import DeviceFakeEngine, FakeCamera, FakeEngine
from tests.service.stations import Bench, until


@pytest.fixture
def device() -> HostDevice:
    return HostDevice()


@pytest.fixture
def bench(make_bench: Callable[..., Bench], device: HostDevice) -> Bench:
    return make_bench(engine=DeviceFakeEngine(device), baseline=FakeEngine("reference"), baseline_fraction=1.0)


def test_line_with_an_engine_on_a_device_has_each_frame_there_before_the_engine_asks(bench: Bench) -> None:
    for live in bench.frames(12):
        np.testing.assert_array_equal(live.phase.phase_rad, live.frame.pixels / np.float32(10))
        assert live.frame.on_device is None  # whoever keeps the frame keeps no slot
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["uploads"] == {"on_device": 12, "through_host": {}}
    assert bench.engine.uploaded_here == 0
    until(lambda: bench.client.get("/api/v1/stats").json()["baseline"]["frames"] > 0)
    baseline = bench.client.get("/api/v1/stats").json()["baseline"]
    assert baseline["rms_rad"] == 0
    assert baseline["latency_ms"] > 0
    bench.assert_exact()


def test_line_that_loses_its_device_says_so_and_recovers(bench: Bench, device: HostDevice) -> None:
    bench.frames(2)
    assert bench.client.get("/health/ready").status_code == 200
    device.lose()
    account = bench.station.pipeline.account
    for failed in range(1, 11):
        bench.camera.send()
        until(lambda failed=failed: account.snapshot().failed.get("device lost") == failed)  # type: ignore[misc]
    ready = bench.client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["state"] == "failing"
    assert "it fell off the bus" in ready.json()["sentence"]
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["account"]["failed"] == {"device lost": 10}
    assert stats["uploads"]["through_host"] == {"device lost": 10}
    assert "it fell off the bus" in stats["last_failure"]
    device.fail(None)
    bench.frames(1)
    assert bench.client.get("/health/ready").status_code == 200
    bench.assert_exact()


def test_line_of_the_cuda_chain_agrees_with_the_cpus_on_the_same_frames(
    make_bench: Callable[..., Bench], device: HostDevice
) -> None:
    needs_compiler()
    engine = ClassicalCudaEngine(EngineOptions(), open_device=lambda: device)
    bench = make_bench(engine=engine, baseline=ClassicalEngine(EngineOptions()), baseline_fraction=1.0)
    bench.frames(4)
    until(lambda: bench.client.get("/api/v1/stats").json()["baseline"]["frames"] > 0)
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["engine"]["name"] == "goldstein-cuda"
    assert stats["uploads"] == {"on_device": 4, "through_host": {}}
    assert stats["baseline"]["engine"] == "goldstein"
    assert stats["baseline"]["rms_rad"] < 1e-3
    assert stats["latency_ms"]["retrieval"]["p50"] > 0
    assert stats["baseline"]["latency_ms"] > 0


def test_queue_for_an_engine_on_the_cpu_is_in_host_memory_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from qpi_live.camera.account import FrameAccount

    with caplog.at_level(logging.INFO):
        queue = queue_for(EngineSwitch(FakeEngine()), FakeCamera, FrameAccount())
    assert queue.uploads is None
    assert [record.message for record in caplog.records] == ["the engine works on cpu; frames wait in host memory"]


@pytest.mark.parametrize(
    ("engine", "settings", "has_gpu_chain", "expected"),
    [
        ("device", {"engine": "x.trt"}, True, "goldstein-cuda"),
        ("device", {"engine": "x.trt"}, False, "goldstein"),
        ("device", {"engine": "goldstein-cuda"}, True, "goldstein"),
        ("device", {"engine": "x.trt", "baseline": "goldstein"}, True, "goldstein"),
        ("device", {"engine": "x.trt", "baseline_fraction": 0}, True, None),
        ("host", {"engine": "auto"}, True, "goldstein"),
        ("host", {"engine": "goldstein"}, True, None),
    ],
)
def test_baseline_that_nobody_chose_is_the_classical_chain_where_the_engine_works(
    engine: str,
    settings: dict[str, object],
    has_gpu_chain: bool,
    expected: str | None,
    device: HostDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def open_fake(name: str, options: EngineOptions, **_: bool) -> PhaseEngine:
        if name == "goldstein-cuda" and not has_gpu_chain:
            raise EngineUnavailable("expected a GPU, got none")
        return FakeEngine(name)

    monkeypatch.setattr(opening, "open_engine", open_fake)
    live = DeviceFakeEngine(device) if engine == "device" else FakeEngine()
    baseline = opening._open_baseline(load_settings(dict(settings)), live, EngineOptions())
    assert (baseline.identity.name if baseline else None) == expected
