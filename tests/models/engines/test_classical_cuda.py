"""goldstein-cuda: what it shares with the host's engine, and what a device adds: frames on it, faults, memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qpi_live.camera
from qpi_live.camera.device import Device, DeviceError, DeviceOutOfMemory, DeviceUnavailable
from qpi_live.camera.frame import Frame, OnDevice
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.cuda.chain import CudaChain
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engine import CHOSEN, POLYNOMIAL, DeviceEngine, EngineOptions, TunableEngine, open_engine
from qpi_live.models.engines import classical_cuda
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.engines.warm_up_frames import CARRIER
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from scipy.ndimage import gaussian_filter

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.cuda_host.memory import HostMemory
from tests.models.fringes import SHAPE, bump, frame, interferogram

INSIDE = (slice(16, -16), slice(16, -16))


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error[INSIDE] ** 2)))


@pytest.fixture
def engine(device: Device) -> Iterator[ClassicalCudaEngine]:
    engine = ClassicalCudaEngine(EngineOptions(threads=2), open_device=lambda: device)
    yield engine
    engine.close()


def on_host(device: HostDevice, background: str = CHOSEN) -> ClassicalCudaEngine:
    needs_compiler()
    return ClassicalCudaEngine(EngineOptions(threads=2, background=background), open_device=lambda: device)


def uploaded(device: Device, given: Frame) -> Frame:
    """The frame as a queue hands it over: on the device, by another stream."""
    stream, memory = device.stream(), device.allocate(given.pixels.nbytes)
    began = stream.record()
    stream.upload(given.pixels, memory)
    return replace(given, on_device=OnDevice(device, memory, began, stream.record()))


def test_engine_is_tunable_and_works_on_a_device(engine: ClassicalCudaEngine, device: Device) -> None:
    assert isinstance(engine, TunableEngine)
    assert isinstance(engine, DeviceEngine)
    assert engine.open_device() is device
    assert engine.identity.name == "goldstein-cuda"
    assert engine.identity.device == device.identity.name


def test_round_field_is_masked_and_inverted_as_by_the_hosts_engine(engine: ClassicalCudaEngine) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    pixels = interferogram(bump())
    dark = np.hypot(y - 128, x - 160) > 110
    pixels[dark] = np.random.default_rng(0).integers(10, 14, int(dark.sum()))
    made, hosts = (one.retrieve(frame(pixels)) for one in (engine, ClassicalEngine(EngineOptions(threads=2))))
    assert made.mask is not None
    assert hosts.mask is not None
    assert np.mean(made.mask != hosts.mask) < 0.001
    seen = ~(made.mask | hosts.mask)
    assert np.abs(made.phase_rad - hosts.phase_rad)[seen].max() < 1e-2
    assert made.amplitude is not None
    assert hosts.amplitude is not None
    assert np.abs(made.amplitude - hosts.amplitude).max() < 1e-2


def assert_same_as_the_host(engine: ClassicalCudaEngine, given: Frame) -> PhaseFrame:
    made, hosts = (one.retrieve(given) for one in (engine, ClassicalEngine(EngineOptions(threads=2))))
    seen = np.ones(given.shape, np.bool_)
    for mask in (made.mask, hosts.mask):
        seen &= True if mask is None else ~mask
    assert (made.mask is None) == (hosts.mask is None)
    assert np.mean(np.abs(made.phase_rad - hosts.phase_rad)[seen] > 1e-2) < 1e-3
    assert (made.disputed_mask is None) == (hosts.disputed_mask is None)
    assert made.quality.residues == pytest.approx(hosts.quality.residues, rel=0.05, abs=3)
    assert made.quality.warning == hosts.quality.warning
    return made


def test_parts_that_a_wire_separates_are_levelled_as_by_the_hosts_engine(engine: ClassicalCudaEngine) -> None:
    pixels = interferogram(bump())
    pixels[:, 90:118] = np.random.default_rng(1).integers(10, 14, (SHAPE[0], 28))
    made = assert_same_as_the_host(engine, frame(pixels))
    assert made.mask is not None
    assert made.disputed_mask is not None
    assert not (made.disputed_mask & made.mask).any()


def test_pixels_that_a_frame_misses_are_left_out_as_by_the_hosts_engine(engine: ClassicalCudaEngine) -> None:
    missing = np.zeros(SHAPE, np.bool_)
    missing[100:130, 140:200] = True
    pixels = interferogram(bump())
    pixels[missing] = 0
    first = assert_same_as_the_host(engine, replace(frame(pixels), missing=missing))
    missing = np.roll(missing, 40, axis=0)  # another mask in the next frame of the same stream
    second = assert_same_as_the_host(engine, replace(frame(interferogram(bump())), missing=missing))
    whole = assert_same_as_the_host(engine, frame(interferogram(bump())))
    assert first.mask is not None
    assert second.mask is not None
    assert whole.mask is None


def test_ground_that_a_person_named_is_heard(engine: ClassicalCudaEngine) -> None:
    ground = np.zeros(SHAPE, np.bool_)
    ground[:60, :120] = True
    assert_same_as_the_host(engine, replace(frame(interferogram(bump())), ground=ground))


def moved_bytes(given: Frame, background: str = CHOSEN) -> tuple[int, int, PhaseFrame]:
    """Bytes that go to the device and come back for a frame, once its stream is laid out."""
    device = HostDevice()
    engine = on_host(device, background)
    engine.retrieve(given)
    before = device.uploaded_bytes, device.downloaded_bytes
    result = engine.retrieve(given)
    up, down = device.uploaded_bytes - before[0], device.downloaded_bytes - before[1]
    engine.close()
    return up, down, result


def test_usual_frame_goes_up_once_and_its_phase_and_amplitude_come_down_once() -> None:
    up, down, _ = moved_bytes(frame(interferogram(bump())))
    pixels = SHAPE[0] * SHAPE[1]
    assert up == pixels
    assert 8 * pixels < down < 9.5 * pixels  # and the amplitude's means over blocks of four pixels


def test_frame_with_residues_moves_prices_and_links_instead_of_maps() -> None:
    scattered = gaussian_filter(np.random.default_rng(0).normal(0, 1, SHAPE), 2.5) * 9
    up, down, result = moved_bytes(frame(interferogram(scattered)), POLYNOMIAL)  # it has no ground: all would be asked
    pixels = SHAPE[0] * SHAPE[1]
    assert result.quality.residues
    assert up < 1.5 * pixels
    assert down < 9.1 * pixels + (2.2 + 1) * pixels + 4 * 17_000  # prices, disputed, a sample


def test_mask_goes_up_once_for_all_frames_that_have_it() -> None:
    missing = np.zeros(SHAPE, np.bool_)
    missing[:, :40] = True
    up, _, result = moved_bytes(replace(frame(interferogram(bump())), missing=missing))
    assert result.mask is not None
    assert up < 1.5 * SHAPE[0] * SHAPE[1]


@pytest.mark.parametrize("bit_depth", [8, 12])
@pytest.mark.parametrize("shape", [SHAPE, (255, 319), (64, 64), (200, 210)])
def test_phase_equals_the_hosts_engines(engine: ClassicalCudaEngine, shape: tuple[int, int], bit_depth: int) -> None:
    given = frame(interferogram(bump(shape), bit_depth=bit_depth), bit_depth)
    expected, result = ClassicalEngine(EngineOptions()).retrieve(given), engine.retrieve(given)
    assert np.abs(result.phase_rad - expected.phase_rad).max() < 1e-3
    assert result.quality.residues == expected.quality.residues
    assert result.quality.carrier_strength == pytest.approx(expected.quality.carrier_strength, rel=1e-3)
    assert result.quality.fringe_contrast == pytest.approx(expected.quality.fringe_contrast, rel=1e-3)
    assert result.quality.fringes == expected.quality.fringes
    assert result.engine.detail == expected.engine.detail


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_phase_of_a_real_cell_equals_the_hosts_engines(engine: ClassicalCudaEngine, is_calibrated: bool) -> None:
    pair = np.load(Path(qpi_live.camera.__file__).parent / "data" / "hl60_pair.npz")
    given, empty = (frame(pair[name].astype(np.uint8)) for name in ("data", "bg_data"))
    host = ClassicalEngine(EngineOptions())
    if is_calibrated:
        host.use_calibration(empty)
        engine.use_calibration(empty)
    expected, result = host.retrieve(given), engine.retrieve(given)
    assert np.abs(result.phase_rad - expected.phase_rad).max() < 1e-3
    assert result.engine.detail == expected.engine.detail


def test_every_stage_is_timed(engine: ClassicalCudaEngine) -> None:
    first, second = (engine.retrieve(frame(interferogram(bump()))) for _ in range(2))
    assert list(first.stages_ms) == ["carrier", "upload", "retrieve", "unwrap", "background", "download"]
    assert list(second.stages_ms) == ["upload", "retrieve", "unwrap", "background", "download"]


def test_sideband_calibration_and_carrier_take_effect_mid_stream(engine: ClassicalCudaEngine) -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    ripple = 1.5 * np.sin(9 * x) * np.cos(7 * y)
    assert engine.retrieve(frame(interferogram(bump()))).phase_rad.max() > 5
    engine.use_sideband("lower")
    assert engine.retrieve(frame(interferogram(bump()))).phase_rad.min() < -5
    engine.use_sideband("auto")
    engine.use_calibration(frame(interferogram(ripple, seed=4)))
    assert rms(engine.retrieve(frame(interferogram(bump() + ripple))).phase_rad - bump()) < 0.15
    engine.use_calibration(None)
    engine.refind_carrier()
    moved = engine.retrieve(frame(interferogram(bump(), (0.18, 0.3))))
    assert "carrier" in moved.stages_ms
    assert rms(moved.phase_rad - bump()) < 0.15


def test_frames_of_another_size_are_followed_and_give_their_memory_back() -> None:
    device = HostDevice()
    engine = on_host(device)
    engine.retrieve(frame(interferogram(bump())))
    before = device.allocated_bytes
    small = engine.retrieve(frame(interferogram(bump((192, 200)))))
    assert rms(small.phase_rad - bump((192, 200))) < 0.15
    assert device.allocated_bytes < before
    engine.close()
    assert device.allocated_bytes == 0


def test_frames_allocate_no_device_memory_once_the_chain_is_laid_out() -> None:
    device = HostDevice()
    engine = on_host(device)
    engine.warm_up(SHAPE, 8)
    assert device.allocated_bytes == 0
    engine.retrieve(frame(interferogram(bump())))
    before = device.allocations
    for sequence in range(3):
        engine.retrieve(frame(interferogram(bump()), sequence=sequence))
    assert device.allocations == before
    engine.close()


def test_frame_on_the_device_is_taken_from_there(engine: ClassicalCudaEngine, device: Device) -> None:
    given = frame(interferogram(bump()))
    expected = engine.retrieve(given).phase_rad
    there = uploaded(device, frame(interferogram(bump()) // 2 + 60))
    blank = replace(there, pixels=np.full(SHAPE, 9, np.uint8))  # what is on the host must not be looked at
    result = engine.retrieve(blank)
    assert rms(result.phase_rad - expected) < 0.05
    assert result.stages_ms["upload"] >= 0
    assert there.on_device is not None
    there.on_device.memory.free()


def test_frame_whose_upload_is_not_done_is_waited_for() -> None:
    """A lazy device uploads only when somebody waits: reading too early would give rubbish."""
    device = HostDevice(lazy=True)
    engine = on_host(device)
    given = frame(interferogram(bump()))
    expected = engine.retrieve(given).phase_rad
    there = uploaded(device, given)
    assert there.on_device is not None
    assert not there.on_device.ready.is_done()
    assert np.array_equal(engine.retrieve(there).phase_rad, expected)


def test_frame_on_another_device_is_uploaded_from_the_host() -> None:
    engine, given = on_host(HostDevice()), frame(interferogram(bump()))
    expected = engine.retrieve(given).phase_rad
    elsewhere = uploaded(HostDevice(), given)
    assert elsewhere.on_device is not None
    elsewhere.on_device.memory.free()  # taking it would raise
    assert np.array_equal(engine.retrieve(elsewhere).phase_rad, expected)


def test_frames_full_of_residues_carry_a_warning_and_a_mask(device: Device) -> None:
    options = EngineOptions(threads=2, carrier_cycles_per_px=(0.21, 0.26))
    engine = ClassicalCudaEngine(options, open_device=lambda: device)
    scattered = gaussian_filter(np.random.default_rng(0).normal(0, 1, SHAPE), 1.5) * 12
    result = engine.retrieve(frame(interferogram(scattered)))
    assert (result.quality.residues or 0) > 300
    assert result.disputed_mask is not None
    assert result.disputed_mask.dtype == np.bool_
    assert result.quality.disputed_pixels == result.disputed_mask.sum() > 0
    assert f"{result.quality.residues} residues" in str(result.quality.warning)
    engine.close()


def test_device_that_is_lost_fails_the_frame_and_is_opened_again_for_the_next() -> None:
    needs_compiler()
    opened: list[HostDevice] = []

    def open_another() -> Device:
        opened.append(HostDevice())
        return opened[-1]

    engine = ClassicalCudaEngine(EngineOptions(threads=2), open_device=open_another)
    given = frame(interferogram(bump()))
    expected = engine.retrieve(given).phase_rad
    opened[0].lose_at_launch("count_turns")
    with pytest.raises(InferenceError, match="fell off the bus") as caught:
        engine.retrieve(given)
    assert caught.value.reason == "device lost"
    assert np.array_equal(engine.retrieve(given).phase_rad, expected)
    assert len(opened) == 2


def test_device_that_does_not_come_back_fails_every_frame_with_one_sentence() -> None:
    needs_compiler()
    devices = [HostDevice()]

    def open_once() -> Device:
        if not devices:
            raise DeviceUnavailable("expected a GPU, got none")
        return devices.pop()

    engine = ClassicalCudaEngine(EngineOptions(threads=2), open_device=open_once)
    given = frame(interferogram(bump()))
    engine.retrieve(given)
    device = engine.open_device()
    assert isinstance(device, HostDevice)
    device.lose()
    for _ in range(2):
        with pytest.raises(InferenceError, match="expected a GPU, got none") as caught:
            engine.retrieve(given)
        assert caught.value.reason == "device failed"


def test_device_without_room_refuses_at_warm_up_and_fails_frames_with_its_reason() -> None:
    device = HostDevice(memory_bytes=2**20)
    engine = on_host(device)
    with pytest.raises(EngineUnavailable, match=r"256 × 320 px, got: expected .* free bytes of device memory"):
        engine.warm_up(SHAPE, 8)
    with pytest.raises(InferenceError) as caught:
        engine.retrieve(frame(interferogram(bump())))
    assert caught.value.reason == DeviceOutOfMemory.reason
    assert device.allocated_bytes == 0
    small = engine.retrieve(frame(interferogram(bump((64, 64)))))
    assert small.phase_rad.shape == (64, 64)


def test_device_that_is_full_at_any_of_the_allocations_gives_all_back() -> None:
    class Filling(HostDevice):
        def allocate(self, nbytes: int) -> HostMemory:
            if self.allocations >= self.most:
                raise DeviceOutOfMemory("expected free device memory, got none")
            return super().allocate(nbytes)

    needs_compiler()
    device, shape = Filling(), (64, 64)
    plan, background = TakedaRetriever(shape, CARRIER, threads=1), BackgroundFit(shape)
    for failures in range(100):
        device.allocations, device.most = 0, failures
        try:
            chain = CudaChain(device, plan, background)
            break
        except DeviceOutOfMemory:
            left_bytes = device.allocated_bytes
        assert left_bytes == 0
    assert failures > 30
    chain.free()
    assert device.allocated_bytes == 0


@pytest.mark.parametrize("kernel", ["block_means", "lay_ground", "fit_ground", "subtract_polynomial"])
def test_device_that_is_lost_while_the_background_is_fitted_is_opened_again(kernel: str) -> None:
    needs_compiler()
    opened: list[HostDevice] = []

    def open_another() -> Device:
        opened.append(HostDevice())
        return opened[-1]

    engine = ClassicalCudaEngine(EngineOptions(threads=2), open_device=open_another)
    given = frame(interferogram(bump((96, 100))))
    expected = engine.retrieve(given).phase_rad
    opened[0].lose_at_launch(kernel)
    with pytest.raises(InferenceError):
        engine.retrieve(given)
    assert np.array_equal(engine.retrieve(given).phase_rad, expected)


def test_fault_that_passes_costs_one_frame() -> None:
    device = HostDevice()
    engine, given = on_host(device), frame(interferogram(bump()))
    expected = engine.retrieve(given).phase_rad
    device.fail(DeviceError("a launch failed"))
    with pytest.raises(InferenceError, match="a launch failed"):
        engine.retrieve(given)
    device.fail(None)
    assert np.array_equal(engine.retrieve(given).phase_rad, expected)


def test_engine_without_a_gpu_is_unavailable_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_none() -> Device:
        raise DeviceUnavailable("expected the package 'pycuda' for the GPU, got none: pip install 'qpi-live[gpu]'")

    monkeypatch.setattr(classical_cuda, "open_cuda_device", open_none)
    with pytest.raises(
        EngineUnavailable, match=r"^expected a GPU for the engine goldstein-cuda, got none: .*pip install"
    ):
        open_engine("goldstein-cuda", EngineOptions())


def test_warm_up_for_more_rows_or_columns_than_the_kernels_count_says_so() -> None:
    for shape in ((70_000, 64), (64, 36_672)):
        expected = rf"at most 65535 rows and 32000 columns, got {shape[0]} × {shape[1]}"
        with pytest.raises(EngineUnavailable, match=expected):
            on_host(HostDevice()).warm_up(shape, 8)
