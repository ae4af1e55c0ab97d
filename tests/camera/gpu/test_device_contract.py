"""What every device owes the GPU line; the host's runs everywhere, CUDA's where there is a GPU."""

import gc
import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from qpi_live.camera.device import Device, DeviceError, DeviceOutOfMemory, DeviceUnavailable
from qpi_live.camera.gpu.cuda_device import open_device

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler

KERNELS = Path(__file__).parent / "device_contract.cu"
ROOT = Path(__file__).parents[3]
FLOAT = np.dtype(np.float32)

with_gpu = pytest.mark.gpu


def cuda() -> Device:
    try:
        return open_device()
    except DeviceUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["host", "host, lazy", pytest.param("cuda", marks=with_gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    if request.param == "cuda":
        yield cuda()
        return
    host = HostDevice(lazy=request.param == "host, lazy")
    yield host
    host.close()


def test_device_gives_back_what_was_uploaded(device: Device) -> None:
    sent = device.page_locked((33, 47), FLOAT)
    sent[...] = np.random.default_rng(0).normal(size=sent.shape)
    got = device.page_locked((33, 47), FLOAT)
    got[...] = 0
    memory, stream = device.allocate(sent.nbytes), device.stream()
    stream.upload(sent, memory)
    stream.download(memory, got)
    stream.synchronize()
    np.testing.assert_array_equal(got, sent)
    stream.fill(memory, 7)
    stream.download(memory, got)
    stream.synchronize()
    assert (got.view(np.uint8) == 7).all()
    memory.free()
    memory.free()


def test_device_takes_arrays_that_are_not_page_locked(device: Device) -> None:
    sent = np.arange(1000, dtype=np.uint16)
    sent.flags.writeable = False
    memory, stream, got = device.allocate(sent.nbytes), device.stream(), np.zeros_like(sent)
    stream.upload(sent, memory)
    stream.download(memory, got)
    stream.synchronize()
    np.testing.assert_array_equal(got, sent)
    memory.free()


def test_device_refuses_an_array_that_does_not_fit(device: Device) -> None:
    memory, stream = device.allocate(16), device.stream()
    with pytest.raises(DeviceError, match="at most 16 bytes, got 17"):
        stream.upload(np.zeros(17, np.uint8), memory)
    memory.free()


def test_event_is_passed_after_the_work_before_it(device: Device) -> None:
    memory, stream, got = device.allocate(4000), device.stream(), np.zeros(4000, np.uint8)
    before = stream.record()
    stream.fill(memory, 3)
    stream.download(memory, got)
    after = stream.record()
    after.synchronize()
    assert after.is_done()
    assert before.is_done()
    assert (got == 3).all()
    assert 0 <= after.ms_since(before) < 10_000
    memory.free()


def test_stream_waits_for_an_event_of_another(device: Device) -> None:
    size = 8 << 20
    memory, one, other = device.allocate(size), device.stream(), device.stream()
    got = device.page_locked((size,), np.dtype(np.uint8))
    for value in range(1, 6):
        one.fill(memory, value)
        other.wait_for(one.record())
        other.download(memory, got)
        other.synchronize()
        assert (got == value).all()
    memory.free()


def test_graph_runs_nothing_when_recorded_and_everything_when_launched(device: Device) -> None:
    stream, memory = device.stream(), device.allocate(64)
    sent, got = device.page_locked((64,), np.dtype(np.uint8)), device.page_locked((64,), np.dtype(np.uint8))
    sent[...], got[...] = 5, 0

    def work() -> None:
        stream.upload(sent, memory)
        stream.download(memory, got)

    graph = stream.capture(work)
    stream.synchronize()
    assert (got == 0).all()
    for value in (5, 9):
        sent[...] = value
        graph.launch(stream)
        stream.synchronize()
        assert (got == value).all()
    memory.free()


def test_graph_whose_recording_fails_leaves_the_stream_usable(device: Device) -> None:
    stream, memory, got = device.stream(), device.allocate(8), np.zeros(8, np.uint8)

    def work() -> None:
        stream.fill(memory, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stream.capture(work)
    stream.fill(memory, 2)
    stream.download(memory, got)
    stream.synchronize()
    assert (got == 2).all()
    memory.free()


def test_kernel_takes_arguments_of_every_size(device: Device) -> None:
    if isinstance(device, HostDevice):
        needs_compiler()
    stream, memory = device.stream(), device.allocate(400)
    values = np.arange(100, dtype=np.float32)
    stream.upload(values, memory)
    kernel = device.kernels(KERNELS, {"OFFSET": 0})["scale"]
    stream.launch(kernel, (4, 1, 1), (32, 1, 1), memory, np.int32(90), np.float32(0.5), np.uint8(3))
    got = np.zeros_like(values)
    stream.download(memory, got)
    stream.synchronize()
    np.testing.assert_array_equal(got, np.where(values < 90, values * np.float32(0.5) + 3, values))
    memory.free()


def test_kernel_shares_memory_in_a_block_and_takes_constants(device: Device) -> None:
    if isinstance(device, HostDevice):
        needs_compiler()
    stream, memory = device.stream(), device.allocate(4 * 256)
    values = np.arange(256, dtype=np.int32)
    stream.upload(values, memory)
    kernels = device.kernels(KERNELS, {"OFFSET": 1000})
    assert device.kernels(KERNELS, {"OFFSET": 1000}) is kernels
    stream.launch(kernels["reverse_blocks"], (4, 1, 1), (64, 1, 1), memory)
    got = np.zeros_like(values)
    stream.download(memory, got)
    stream.synchronize()
    np.testing.assert_array_equal(got, values.reshape(4, 64)[:, ::-1].ravel() + 1000)
    memory.free()


@pytest.mark.parametrize("source", [KERNELS, ROOT / "bench" / "floors" / "copy.cu"], ids=lambda path: path.name)
def test_kernels_of_tests_and_benches_compile_for_a_gpu(source: Path) -> None:
    pytest.importorskip("cuda.bindings", reason="needs NVRTC: pip install 'qpi-live[gpu]'")
    from qpi_live.camera.gpu.nvrtc import compile_cubin

    assert compile_cubin(source, (9, 0), {"OFFSET": 0})[:4] == b"\x7fELF"


@pytest.mark.parametrize("shape", [(64, 80), (33, 50), (31, 47)])
def test_field_transform_is_numpys(device: Device, shape: tuple[int, int]) -> None:
    height, width = shape
    rng = np.random.default_rng(1)
    reals = rng.normal(size=shape).astype(np.float32)
    field = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    half = np.zeros((height, width // 2 + 1), np.complex64)
    back = np.zeros(shape, np.complex64)
    stream, transform = device.stream(), device.field_transform(shape)
    on_device = [device.allocate(array.nbytes) for array in (reals, half, field)]
    stream.upload(reals, on_device[0])
    stream.upload(field, on_device[2])
    transform.forward(stream, on_device[0], on_device[1])
    transform.inverse(stream, on_device[2], on_device[2])
    stream.download(on_device[1], half)
    stream.download(on_device[2], back)
    stream.synchronize()
    np.testing.assert_allclose(half, np.fft.rfft2(reals), atol=1e-3)
    np.testing.assert_allclose(back, np.fft.ifft2(field) * height * width, atol=1e-3)
    for memory in on_device:
        memory.free()


def test_device_without_enough_memory_says_so_and_goes_on(device: Device) -> None:
    with pytest.raises(DeviceOutOfMemory):
        device.allocate(1 << 50)
    device.allocate(1 << 10).free()


def test_page_locked_array_stays_as_long_as_a_view_of_it(device: Device) -> None:
    array = device.page_locked((64, 64), FLOAT)
    array[...] = 5
    view = array[3:, ::2]
    del array
    gc.collect()
    others = [device.page_locked((64, 64), FLOAT) for _ in range(4)]
    for other in others:
        other[...] = 1
    assert (view == 5).all()


def test_device_locks_and_unlocks_memory_of_others(device: Device) -> None:
    pages = np.frombuffer(mmap.mmap(-1, 1 << 20), np.uint8)
    stream, memory, got = device.stream(), device.allocate(1 << 20), np.zeros(1 << 20, np.uint8)
    for value in (1, 2):
        pages[...] = value
        with device.page_lock(pages):
            stream.upload(pages, memory)
            stream.download(memory, got)
            stream.synchronize()
        assert (got == value).all()
    memory.free()


def test_device_works_from_threads_that_come_and_go(device: Device) -> None:
    results: list[int] = []

    def work(value: int) -> None:
        stream, memory = device.stream(), device.allocate(64)
        got = device.page_locked((64,), np.dtype(np.uint8))
        stream.fill(memory, value)
        stream.download(memory, got)
        stream.record().synchronize()
        results.append(int(got.sum()))
        memory.free()

    for value in range(8):
        thread = Thread(target=work, args=(value,))
        thread.start()
        thread.join(30)
    assert results == [64 * value for value in range(8)]


_FAULT = """
import sys
import numpy as np
from pathlib import Path
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.device import DeviceLost, DeviceUnavailable

device = open_device()
held = device.page_locked((8,), np.dtype(np.uint8))
held[...] = 4
stream, memory = device.stream(), device.allocate(64)
stream.launch(device.kernels(Path(sys.argv[1]), {"OFFSET": 0})["fault"], (1, 1, 1), (32, 1, 1), memory)
try:
    stream.synchronize()
except DeviceLost:
    print("lost", device.is_lost)
print("held", int(held.sum()))
try:
    other = open_device()
except DeviceUnavailable as unavailable:
    print("unavailable", unavailable)
else:
    stream, memory, got = other.stream(), other.allocate(64), np.zeros(64, np.uint8)
    stream.fill(memory, 9)
    stream.download(memory, got)
    stream.synchronize()
    print("recovered", other is not device, int(got.sum()))
"""


@with_gpu
def test_cuda_device_after_a_kernel_that_faults_is_lost_and_can_be_opened_again_or_says_it_cannot() -> None:
    cuda()
    done = subprocess.run(
        [sys.executable, "-c", _FAULT, str(KERNELS)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout.splitlines()
    assert said[:2] == ["lost True", "held 32"], done.stdout + done.stderr
    assert said[2] == f"recovered True {9 * 64}" or said[2].startswith("unavailable"), done.stdout


def test_open_device_where_there_is_none_says_what_is_missing_in_one_sentence() -> None:
    try:
        device = open_device()
    except DeviceUnavailable as missing:
        sentence = str(missing)
        assert sentence.startswith("expected ")
        assert "\n" not in sentence
        assert any(remedy in sentence for remedy in ("pip install", "nvidia-smi"))
    else:
        assert open_device() is device
