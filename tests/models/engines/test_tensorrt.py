"""The engine of a compiled network, on a library that runs it on ONNX Runtime and a device on the host."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="compiling needs onnx: pip install 'qpi-live[gpu]'")

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.device import Device, DeviceOutOfMemory, DeviceUnavailable
from qpi_live.camera.frame import Frame, OnDevice, Pixels
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.gpu.queue import GpuFrameQueue
from qpi_live.camera.simulation.instrument import Fringes
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.models.artifacts.compiled_network import card_path
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.artifacts.tensorrt_library import choose_library
from qpi_live.models.engine import DeviceEngine, EngineOptions, open_engine
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.engines.tensorrt import TensorRtEngine
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.export.compilation import Plan, compile_network
from qpi_live.models.training.simulate import simulate_pair

from tests.cuda_host.device import HostDevice
from tests.models.small_network import BENCH, SHAPE, small_network, written
from tests.onnx_library import OnnxLibrary, host_gpu


def compiled(folder: Path, bit_depth: int = 8, size: str = "96x128", device: HostDevice | None = None) -> Path:
    model = written(folder, small_network(bit_depth))
    plan = Plan(model, folder / "small.trt", "fp32", Sizes.parse(size), ((8, 9),))
    compile_network(plan, OnnxLibrary(), device or host_gpu(), lambda share, step: None)
    return plan.out


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("engine"))


def pixels(seed: int = 1) -> Pixels:
    return simulate_pair(BENCH, "nominal", seed).pixels


def frame(grey: Pixels, sequence: int = 0, bit_depth: int = 8, captured_ns: int = 0) -> Frame:
    return Frame(grey, bit_depth, sequence, captured_ns=0, captured_monotonic_ns=captured_ns)


def opened(path: Path, device: HostDevice, library: OnnxLibrary | None = None) -> TensorRtEngine:
    return TensorRtEngine(EngineOptions(), path, library=library or OnnxLibrary(), open_device=lambda: device)


def on_device(grey: Pixels, device: HostDevice, shown: Pixels | None = None) -> Frame:
    """A frame that a queue has put on the device; `shown` is what its host pixels pretend to be."""
    stream = device.stream()
    memory = device.allocate(grey.nbytes + 64)
    began = stream.record()
    stream.upload(grey, memory)
    there = OnDevice(device, memory, began, stream.record())
    return replace(frame(grey if shown is None else shown), on_device=there)


@pytest.mark.parametrize("lazy", [False, True])
def test_retrieve_gives_what_the_network_gives_on_onnx_runtime(path: Path, lazy: bool) -> None:
    engine = opened(path, host_gpu(lazy=lazy))
    engine.warm_up(SHAPE, 8)
    expected = OnnxEngine(EngineOptions(), path.with_name("small.onnx"))
    for seed in (1, 2):
        given = frame(pixels(seed))
        result = engine.retrieve(given)
        np.testing.assert_allclose(result.phase_rad, expected.retrieve(given).phase_rad, atol=1e-5)
        assert np.ptp(result.phase_rad) > 1


def test_retrieve_returns_phases_that_are_read_only_and_share_no_memory(path: Path) -> None:
    engine = opened(path, host_gpu())
    first, second = (engine.retrieve(frame(pixels(), number)).phase_rad for number in (0, 1))
    assert np.array_equal(first, second)
    assert not np.shares_memory(first, second)
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


@pytest.mark.parametrize("lazy", [False, True])
def test_retrieve_of_a_frame_on_the_device_takes_it_from_there_once_it_is_ready(path: Path, lazy: bool) -> None:
    device = host_gpu(lazy=lazy)
    engine = opened(path, device)
    expected = engine.retrieve(frame(pixels())).phase_rad
    given = on_device(pixels(), device, shown=np.zeros(SHAPE, np.uint8))
    result = engine.retrieve(given)
    assert np.array_equal(result.phase_rad, expected)
    assert list(result.stages_ms) == ["upload", "inference", "download"]
    assert all(took_ms >= 0 for took_ms in result.stages_ms.values())


@pytest.mark.parametrize("lazy", [False, True])
def test_retrieve_of_frames_out_of_a_device_queue_gives_each_its_own_phase(path: Path, lazy: bool) -> None:
    library, device = OnnxLibrary(), host_gpu(lazy=lazy)
    engine = opened(path, device, library)
    expected = OnnxEngine(EngineOptions(), path.with_name("small.onnx"))
    queue = GpuFrameQueue(engine.open_device, FrameAccount(), capacity=2)
    for number in range(12):
        given = frame(pixels(number), number)
        queue.put(given)
        taken = queue.get(5.0)
        assert taken is not None
        assert taken.on_device is not None
        np.testing.assert_allclose(
            engine.retrieve(taken).phase_rad, expected.retrieve(given).phase_rad, atol=1e-5, err_msg=str(number)
        )
    assert library.enqueued <= 2 * 6  # no more places than the queue has slots
    queue.close()
    engine.close()


def test_retrieve_of_a_frame_on_another_device_uploads_its_pixels(path: Path) -> None:
    engine = opened(path, host_gpu())
    expected = engine.retrieve(frame(pixels())).phase_rad
    elsewhere = replace(on_device(np.zeros(SHAPE, np.uint8), host_gpu("Another")), pixels=pixels())
    assert np.array_equal(engine.retrieve(elsewhere).phase_rad, expected)


def test_retrieve_records_one_graph_for_each_place_that_frames_come_from_and_replays_it(path: Path) -> None:
    device, library = host_gpu(), OnnxLibrary()
    engine = opened(path, device, library)
    engine.warm_up(SHAPE, 8)
    slots = [on_device(pixels(seed), device) for seed in (1, 2)]
    for given in (*slots, frame(pixels(3))):
        engine.retrieve(given)
    calls, memory = library.enqueued, device.allocated_bytes
    results = [engine.retrieve(given).phase_rad for given in (*slots, frame(pixels(3))) for _ in range(3)]
    assert library.enqueued == calls == 3 * 2  # each place: one run before the recording, and the recording
    assert device.allocated_bytes == memory
    assert len({result.tobytes() for result in results}) == 3


def test_retrieve_with_a_library_that_cannot_be_recorded_enqueues_each_inference(path: Path) -> None:
    device, library = host_gpu(), OnnxLibrary(captures=False)
    engine = opened(path, device, library)
    there = on_device(pixels(2), device)
    results = [engine.retrieve(given).phase_rad for given in (frame(pixels(1)), there, frame(pixels(1)), there)]
    assert np.array_equal(results[0], results[2])
    assert np.array_equal(results[1], results[3])
    assert not np.array_equal(results[0], results[1])


def test_retrieve_of_16_bit_frames_loses_none_of_their_bits(tmp_path: Path) -> None:
    path = compiled(tmp_path, bit_depth=12)
    grey = pixels().astype(np.uint16) * 16 + np.arange(SHAPE[1], dtype=np.uint16) % 16
    engine = opened(path, host_gpu())
    expected = OnnxEngine(EngineOptions(), tmp_path / "small.onnx").retrieve(frame(grey, bit_depth=12)).phase_rad
    np.testing.assert_allclose(engine.retrieve(frame(grey, bit_depth=12)).phase_rad, expected, atol=1e-5)


def test_engine_for_a_range_of_sizes_follows_the_frames(tmp_path: Path) -> None:
    device, library = host_gpu(), OnnxLibrary()
    engine = opened(compiled(tmp_path, size="64-96x128-128x192"), device, library)
    expected = OnnxEngine(EngineOptions(), tmp_path / "small.onnx")
    engine.warm_up(SHAPE, 8)
    for shape in ((64, 64), (96, 128), (64, 128)):
        given = frame(np.ascontiguousarray(pixels()[: shape[0], : shape[1]]))
        np.testing.assert_allclose(
            engine.retrieve(given).phase_rad, expected.retrieve(given).phase_rad, atol=1e-5, err_msg=str(shape)
        )
    assert library.loads == 1
    assert device.allocated_bytes == 64 * 128 * 5


def test_engine_refuses_frames_it_cannot_take_and_says_how_to_get_one_that_can(path: Path) -> None:
    engine = opened(path, host_gpu())
    with pytest.raises(EngineUnavailable, match=r"expected frames of 96 × 128 px, got 64 × 64 px.* qpi compile"):
        engine.warm_up((64, 64), 8)
    with pytest.raises(EngineUnavailable, match="of 8 bit"):
        engine.warm_up(SHAPE, 12)
    with pytest.raises(InferenceError, match="got 64 × 64 px") as refusal:
        engine.retrieve(frame(np.zeros((64, 64), np.uint8)))
    assert refusal.value.reason == "wrong shape"


def test_engine_on_other_fringes_warns_and_looks_again_within_a_second(path: Path) -> None:
    engine = opened(path, host_gpu())
    plain = ForwardModel(BENCH).calibration(np.random.default_rng(0))
    other = ForwardModel(replace(BENCH, fringes=Fringes((-0.1, 0.3), 0.7))).calibration(np.random.default_rng(0))
    at_ns = [0, 10**8, 10**9, 2 * 10**9]
    shown = [plain, other, other, plain]
    warnings = [
        engine.retrieve(frame(grey, captured_ns=ns)).quality.warning for ns, grey in zip(at_ns, shown, strict=True)
    ]
    assert warnings[0] is warnings[1] is warnings[3] is None
    assert warnings[2] is not None
    assert "trained for fringes of 3.00 px" in warnings[2]
    assert "--engine goldstein" in warnings[2]
    from_another_camera = replace(frame(other, captured_ns=2 * 10**9 + 1), source="another")
    assert engine.retrieve(from_another_camera).quality.warning == warnings[2]


def test_identity_says_what_runs_where(path: Path) -> None:
    engine = opened(path, host_gpu())
    assert (engine.identity.name, engine.identity.kind, engine.identity.device) == ("small", "network", "Host GPU")
    assert engine.identity.detail["runtime"] == "onnx_on_host 1.0"
    assert engine.identity.detail["precision"] == "fp32"
    assert isinstance(engine, DeviceEngine)


def two_devices(path: Path, library: OnnxLibrary) -> tuple[TensorRtEngine, list[HostDevice]]:
    """An engine that gets the second device when the first one is lost."""
    devices = [host_gpu(), host_gpu()]

    def first_that_is_there() -> HostDevice:
        return next(device for device in devices if not device.is_lost)

    return TensorRtEngine(EngineOptions(), path, library=library, open_device=first_that_is_there), devices


def test_retrieve_that_loses_the_device_fails_with_the_reason_and_goes_on_with_a_new_one(path: Path) -> None:
    library = OnnxLibrary()
    engine, devices = two_devices(path, library)
    expected = engine.retrieve(frame(pixels())).phase_rad
    library.on_run = devices[0].lose
    with pytest.raises(InferenceError, match="fell off the bus") as lost:
        engine.retrieve(frame(pixels()))
    assert lost.value.reason == "device lost"
    library.on_run = lambda: None
    assert np.array_equal(engine.retrieve(frame(pixels())).phase_rad, expected)
    assert engine.open_device() is devices[1]
    assert library.loads == 2


def test_retrieve_after_somebody_else_noticed_the_loss_goes_on_with_a_new_device(path: Path) -> None:
    engine, devices = two_devices(path, OnnxLibrary())
    expected = engine.retrieve(frame(pixels())).phase_rad
    devices[0].lose()
    assert np.array_equal(engine.retrieve(frame(pixels())).phase_rad, expected)


def test_retrieve_without_room_on_the_device_fails_with_the_reason_and_goes_on(path: Path) -> None:
    device = host_gpu()
    engine = opened(path, device)
    expected = engine.retrieve(frame(pixels())).phase_rad
    device.fail(DeviceOutOfMemory("expected room, got none"))
    with pytest.raises(InferenceError, match="expected room") as refusal:
        engine.retrieve(frame(pixels()))
    assert refusal.value.reason == "device out of memory"
    device.fail(None)
    assert np.array_equal(engine.retrieve(frame(pixels())).phase_rad, expected)


def test_warm_up_without_room_on_the_device_says_so_and_leaves_nothing_allocated(path: Path) -> None:
    device = HostDevice(memory_bytes=SHAPE[0] * SHAPE[1] * 4)
    device.identity = replace(device.identity, compute_capability=(8, 9), name="Host GPU")
    with pytest.raises(EngineUnavailable, match=r"expected small\.trt to run on this GPU"):
        opened(path, device).warm_up(SHAPE, 8)
    assert device.allocated_bytes == 0


def test_close_gives_the_memory_back_and_leaves_the_device_open(path: Path) -> None:
    device = host_gpu()
    engine = opened(path, device)
    engine.retrieve(frame(pixels()))
    assert device.allocated_bytes > 0
    engine.close()
    engine.close()
    assert device.allocated_bytes == 0
    assert device.allocate(8).nbytes == 8


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """The engine and its card, to spoil."""
    for name in (path, card_path(path)):
        (tmp_path / name.name).write_bytes(name.read_bytes())
    return tmp_path / path.name


REBUILD = r"build it here: qpi compile small\.onnx -o .*small\.trt --precision fp32 --size 96x128"


@pytest.mark.parametrize("spoil", [lambda content: content[:-100], lambda content: content[:50] + b"!" + content[51:]])
def test_engine_that_was_cut_short_or_altered_is_refused_before_it_is_loaded(copy: Path, spoil: Callable) -> None:
    copy.write_bytes(spoil(copy.read_bytes()))
    library = OnnxLibrary()
    with pytest.raises(EngineUnavailable, match=f"cut short or altered.* {REBUILD}"):
        opened(copy, host_gpu(), library)
    assert library.loads == 0


def test_engine_altered_after_it_was_opened_is_not_loaded(copy: Path) -> None:
    library = OnnxLibrary()
    engine = opened(copy, host_gpu(), library)
    copy.write_bytes(copy.read_bytes() + b"!")
    with pytest.raises(EngineUnavailable, match="altered"):
        engine.warm_up(SHAPE, 8)
    assert library.loads == 0


def test_engine_without_its_card_is_refused(copy: Path) -> None:
    card_path(copy).unlink()
    with pytest.raises(EngineUnavailable, match=r"expected the card small\.trt\.json beside.*qpi compile"):
        opened(copy, host_gpu())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "qpi compiled network 9"}, "expected a compiled network of `qpi compile`"),
        ({"sizes": None}, "card is damaged: sizes"),
        ({"network": {}}, "expected a network exported by"),
        ({"network": {"format": "qpi onnx 2"}}, "card is damaged: .*net"),
    ],
)
def test_engine_with_a_damaged_card_is_refused(copy: Path, change: dict, complaint: str) -> None:
    path = card_path(copy)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EngineUnavailable, match=complaint):
        opened(copy, host_gpu())
    path.write_text("{")
    with pytest.raises(EngineUnavailable, match="card is damaged"):
        opened(copy, host_gpu())


def test_engine_of_another_version_of_its_library_is_refused(path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=f"expected onnx_on_host 1.0, .*got onnx_on_host 2.0; {REBUILD}"):
        opened(path, host_gpu(), OnnxLibrary(version="2.0"))


@pytest.mark.parametrize("device", [host_gpu("Other GPU", (8, 9)), host_gpu("Host GPU", (12, 0))])
def test_engine_for_another_gpu_is_refused(path: Path, device: HostDevice) -> None:
    with pytest.raises(EngineUnavailable, match=rf"expected Host GPU of compute capability 8\.9, .*{REBUILD}"):
        opened(path, device)


def test_engine_whose_library_is_not_installed_names_it(path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"expected onnx_on_host, with which .* was made, got none"):
        TensorRtEngine(EngineOptions(), path)


def test_engine_without_a_gpu_says_so(path: Path) -> None:
    def no_gpu() -> HostDevice:
        raise DeviceUnavailable("expected an NVIDIA GPU, got none")

    with pytest.raises(EngineUnavailable, match=r"small\.trt needs a GPU: expected an NVIDIA GPU, got none"):
        TensorRtEngine(EngineOptions(), path, library=OnnxLibrary(), open_device=no_gpu)


def test_open_engine_of_a_trt_file_that_is_not_there_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"qpi compile MODEL\.onnx -o"):
        open_engine(str(tmp_path / "missing.trt"), EngineOptions(), may_be_file=True)


@pytest.fixture(scope="module")
def gpu() -> Device:
    try:
        device = open_device()
        choose_library(device.identity.compute_capability, [device.identity.compute_capability])
    except (DeviceUnavailable, EngineUnavailable) as missing:
        pytest.skip(str(missing))
    return device


@pytest.mark.gpu
@pytest.mark.parametrize("bit_depth", [8, 12])
def test_engine_on_the_gpu_gives_what_onnx_runtime_gives_from_host_and_device(
    tmp_path: Path, gpu: Device, bit_depth: int
) -> None:
    capability = gpu.identity.compute_capability
    model = written(tmp_path, small_network(bit_depth))
    plan = Plan(model, tmp_path / "small.trt", None, Sizes.parse("96x128"), (capability,))
    card = compile_network(plan, choose_library(capability, [capability]), gpu, lambda share, step: None)
    assert card.accuracy is not None
    assert card.accuracy.largest_difference_rad < 0.05
    grey = pixels() if bit_depth == 8 else pixels().astype(np.uint16) * 16
    given = frame(grey, bit_depth=bit_depth)
    expected = OnnxEngine(EngineOptions(), model).retrieve(given).phase_rad
    engine = open_engine(str(plan.out), EngineOptions(), may_be_file=True)
    engine.warm_up(SHAPE, bit_depth)
    queue = GpuFrameQueue(lambda: gpu, FrameAccount())
    queue.put(given)
    uploaded = queue.get(5.0)
    assert uploaded is not None
    assert uploaded.on_device is not None
    for shown in (given, uploaded, given, uploaded):
        result = engine.retrieve(shown)
        assert np.abs(result.phase_rad - expected).max() < 0.05
        assert all(took_ms >= 0 for took_ms in result.stages_ms.values())
    engine.close()
    queue.close()
