"""The GPU's figures: rates are measured on whatever device there is, floors and overlap are arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from qpi_live.bench.floors import gpu as gpu_floors
from qpi_live.bench.floors.gpu import GpuRates, device_floors_ms, measured_rates
from qpi_live.bench.timing.line import LineFailed, Span, overlapped_uploads, overlapping_part, saturated_fps, serialized
from qpi_live.camera.device import DeviceUnavailable, Event
from qpi_live.camera.frame import Frame
from qpi_live.camera.gpu.cuda_device import open_device

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.fakes import DeviceFakeEngine, FakeEngine

SHAPE = (48, 64)


@dataclass(frozen=True)
class At:
    """An event that was passed at a known time."""

    ms: float

    def is_done(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def ms_since(self, earlier: Event) -> float:
        assert isinstance(earlier, At)
        return self.ms - earlier.ms


def span(began: float, done: float, upload: tuple[float, float] | None) -> Span:
    return At(began), At(done), None if upload is None else (At(upload[0]), At(upload[1]))


@pytest.mark.parametrize(
    ("upload_of_second", "part"),
    [((2, 3), 1.0), ((-1, 1), 1.0), ((9, 12), 1.0), ((-2, -1), 0.0), ((11, 12), 0.0), (None, 0.0)],
)
def test_upload_overlaps_where_it_runs_within_the_work_on_the_frame_before(
    upload_of_second: tuple[float, float] | None, part: float
) -> None:
    spans = [span(0, 10, (-5, -4)), span(13, 20, upload_of_second)]
    assert overlapping_part(spans) == part


def test_upload_overlaps_behind_a_queue_where_it_runs_within_the_work_on_a_frame_further_back() -> None:
    """As a queue with room for two has it: each frame goes up when the engine takes the one before the last."""
    spans = [span(10 * n, 10 * n + 9, (10 * (n - 2) + 1, 10 * (n - 2) + 2)) for n in range(6)]
    assert overlapping_part(spans) == pytest.approx(4 / 5)  # before the second frame's upload there was no work


def frames() -> Sequence[Frame]:
    return [Frame(np.full(SHAPE, value, np.uint8), 8, value, 0, 0) for value in range(4)]


def test_line_on_a_device_is_timed_with_its_uploads_and_left_open() -> None:
    engine = DeviceFakeEngine(HostDevice())
    total_ms, stages_ms = serialized(engine, frames(), 12)
    assert len(total_ms) == len(stages_ms["divide"]) == 12
    uploaded_by_engine = engine.uploaded_here
    assert saturated_fps(engine, frames(), 30) > 0
    part = overlapped_uploads(engine, frames(), 30)
    assert part is not None
    assert 0 <= part <= 1
    assert engine.uploaded_here == uploaded_by_engine  # the queue did all of them
    assert not engine.closed


def test_line_of_an_engine_on_the_cpu_has_no_uploads_to_overlap() -> None:
    assert overlapped_uploads(FakeEngine(), frames(), 10) is None


def test_line_whose_engine_fails_gives_no_figure() -> None:
    engine = FakeEngine()
    engine.failures[3] = RuntimeError("a bad frame")
    with pytest.raises(LineFailed, match="a bad frame"):
        saturated_fps(engine, frames(), 20)


def test_rates_of_a_device_are_measured_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler()
    monkeypatch.setattr(gpu_floors, "_half_macs", lambda device: None)
    device = HostDevice()
    rates = measured_rates(device, nbytes=1 << 16)
    assert min(rates.upload, rates.download, rates.copy) > 0
    assert rates.half_macs is None
    assert device.allocated_bytes == 0


def test_copy_that_the_bandwidth_is_measured_by_copies_everything() -> None:
    needs_compiler()
    device = HostDevice()
    stream = device.stream()
    sent, got = np.random.default_rng(0).integers(0, 256, 5008, np.uint8), np.zeros(5008, np.uint8)
    here, there = device.allocate(5008), device.allocate(5008)
    stream.upload(sent, here)
    kernel = device.kernels(gpu_floors.COPY_KERNEL)["copy"]
    stream.launch(kernel, (3, 1, 1), (32, 1, 1), here, there, np.int64(5008 // 16))
    stream.download(there, got)
    stream.synchronize()
    np.testing.assert_array_equal(got, sent)


@pytest.mark.gpu
def test_rates_of_a_gpu_are_those_of_a_gpu() -> None:
    try:
        device = open_device()
    except DeviceUnavailable as missing:
        pytest.skip(str(missing))
    rates = measured_rates(device)
    assert 1e9 < rates.upload < 1e12
    assert 1e9 < rates.download < 1e12
    assert rates.upload < rates.copy < 1e14
    assert rates.half_macs is None or rates.half_macs > 1e12


def test_floors_of_a_gpu_are_bytes_over_bandwidth_and_arithmetic_over_rate() -> None:
    rates = GpuRates(upload=25e9, download=20e9, copy=4e12, half_macs=400e12)
    floors = device_floors_ms(rates, (1000, 1000), 2, macs=8 * 10**9, weight_bytes=16 * 10**6)
    assert floors["upload"] == pytest.approx(0.08)
    assert floors["download"] == pytest.approx(0.2)
    assert floors["normalise"] == pytest.approx(0.0015)
    assert floors["inference"] == pytest.approx(0.02)
    assert floors["unwrap"] == pytest.approx(0.002)
    without_rate = device_floors_ms(GpuRates(25e9, 20e9, 4e12, None), (1000, 1000), 2, 8 * 10**9, 16 * 10**6)
    assert without_rate["inference"] == pytest.approx(22e6 / 4e12 * 1e3, abs=1e-4)


def test_work_of_a_network_is_counted_from_its_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip(
        "onnx", reason="networks' arithmetic is counted with onnx: pip install 'qpi-live[train]'"
    )
    pytest.importorskip("sympy", reason="shapes are inferred with sympy: pip install 'qpi-live[train]'")
    from qpi_live.bench.floors.network import network_work

    helper, number = onnx.helper, onnx.TensorProto
    weights = {
        "down": np.zeros((8, 1, 3, 3), np.float32),
        "each": np.zeros((8, 1, 5, 5), np.float32),
        "up": np.zeros((8, 1, 2, 2), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["grey"], ["cast"], to=number.FLOAT),
        helper.make_node("Unsqueeze", ["cast", "axes"], ["x"]),
        helper.make_node("Conv", ["x", "down"], ["halved"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["halved", "each"], ["grouped"], group=8, pads=[2, 2, 2, 2]),
        helper.make_node("ConvTranspose", ["grouped", "up"], ["whole"], strides=[2, 2]),
        helper.make_node("Squeeze", ["whole", "axes"], ["phase"]),
    ]
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("grey", number.UINT8, ["H", "W"])],
        [helper.make_tensor_value_info("phase", number.FLOAT, ["H", "W"])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
        + [onnx.numpy_helper.from_array(np.array([0, 1]), "axes")],
    )
    file = tmp_path / "known.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), file)
    work = network_work(file, (32, 48))
    points = 16 * 24
    assert work.macs == points * 9 * 8 + points * 25 * 8 + points * 8 * 4
    assert work.weight_bytes == 4 * (72 + 200 + 32) + 16
    assert (work.frame_bytes, work.phase_bytes) == (32 * 48, 4 * 32 * 48)
