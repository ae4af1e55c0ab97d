"""What every camera owes the rest of the program."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic_ns

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.camera.errors import CameraError, CameraTimeout
from qpi_live.camera.simulation.instrument import Instrument, Sensor
from qpi_live.camera.source import Camera, CameraOptions, open_camera

SHAPE = (72, 96)  # taller and wider than nothing in particular, so that swapped axes show


def _stack(frames: int = 5, dtype: type = np.uint8, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, *shape)).astype(dtype)


def _simulated(_: Path) -> str:
    return "simulated"


def _simulated_12_bit(folder: Path) -> str:
    path = folder / "instrument.json"
    path.write_text(Instrument(sensor=Sensor(bit_depth=12)).to_json())
    return f"simulated:{path}"


def _npy(folder: Path) -> str:
    np.save(folder / "stack.npy", _stack())
    return f"replay:{folder / 'stack.npy'}"


def _npz(folder: Path) -> str:
    np.savez(folder / "pair.npz", data=_stack(), bg_data=_stack(1)[0])
    return f"replay:{folder / 'pair.npz'}"


def _tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "stack.tif", _stack(dtype=np.uint16) * 16, photometric="minisblack", compression="lzw")
    return f"replay:{folder / 'stack.tif'}"


def _folder(folder: Path) -> str:
    for index, pixels in enumerate(_stack()):
        Image.fromarray(pixels).save(folder / f"frame{index}.png")
    return f"replay:{folder}"


def _hdf5(folder: Path) -> str:
    with h5py.File(folder / "series.h5", "w") as file:
        for index, pixels in enumerate(_stack()):
            file[str(index)] = pixels
    return f"replay:{folder / 'series.h5'}"


def _window(folder: Path) -> str:
    np.save(folder / "large.npy", _stack(1, shape=(200, 150))[0])
    return f"replay:{folder / 'large.npy'}"


# A camera joins the suite by its name and a function that prepares it in an empty folder and returns its source.
CAMERAS: dict[str, Callable[[Path], str]] = {
    "simulated": _simulated,
    "simulated 12 bit": _simulated_12_bit,
    "replay npy": _npy,
    "replay npz": _npz,
    "replay tiff": _tiff,
    "replay folder": _folder,
    "replay hdf5": _hdf5,
    "replay window": _window,
    "replay bundled": lambda _: "replay:",
}


# These send frames when they please: they have no use for a consumer's pace.
HARDWARE = ("virtual camera", "micro-manager")


@pytest.fixture(params=CAMERAS)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return CAMERAS[request.param](tmp_path)


@pytest.fixture(params=[*CAMERAS, *HARDWARE])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "micro-manager":
        plus = pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus: pip install 'qpi-live[micromanager]'")
        if plus.find_micromanager() is None:
            pytest.skip("needs Micro-Manager's drivers: pip install mm-test-adapters")
        return "mmcore:"
    if request.param in HARDWARE:
        return f"gentl:{request.getfixturevalue('virtual_producer')}"
    return CAMERAS[request.param](tmp_path)


@pytest.fixture
def camera(source: str) -> Iterator[Camera]:
    """A camera at full speed, started."""
    camera = open_camera(source, CameraOptions(shape=SHAPE, frame_rate_hz=0))
    camera.start()
    yield camera
    camera.stop()


def test_camera_frames_match_the_identity(camera: Camera) -> None:
    identity = camera.identity
    for _ in range(6):
        frame = camera.read(1.0)
        assert frame is not None
        assert frame.shape == identity.shape == SHAPE
        assert frame.bit_depth == identity.bit_depth
        assert int(frame.pixels.max()) < 2**frame.bit_depth


def test_camera_frames_are_numbered_without_gaps_and_stamped_when_read(camera: Camera) -> None:
    camera.stop()
    before = monotonic_ns()
    camera.start()
    frames = [camera.read(1.0) for _ in range(12)]
    after = monotonic_ns()
    assert [frame.sequence for frame in frames if frame] == list(range(12))
    stamps = [before, *(frame.captured_monotonic_ns for frame in frames if frame), after]
    assert all(earlier <= later for earlier, later in pairwise(stamps))


def test_camera_frames_once_given_away_never_change(camera: Camera) -> None:
    first = camera.read(1.0)
    assert first is not None
    kept = first.pixels.copy()
    for _ in range(12):
        camera.read(1.0)
    np.testing.assert_array_equal(first.pixels, kept)
    assert not first.pixels.flags.writeable


def test_camera_that_is_stopped_and_started_goes_on_counting(camera: Camera) -> None:
    assert camera.read(1.0) is not None
    camera.stop()
    camera.stop()
    camera.start()
    frame = camera.read(1.0)
    assert frame is not None
    assert frame.sequence == 1


def test_camera_that_was_not_started_refuses_to_read(source: str) -> None:
    camera = open_camera(source, CameraOptions(shape=SHAPE, frame_rate_hz=0))
    with pytest.raises(CameraError):
        camera.read(0.0)
    camera.stop()


def test_camera_whose_frame_is_not_due_times_out_and_loses_nothing(recording: str) -> None:
    camera = open_camera(recording, CameraOptions(shape=SHAPE, frame_rate_hz=0.01))
    camera.start()
    assert camera.read(0.0) is not None
    for _ in range(3):
        with pytest.raises(CameraTimeout):
            camera.read(0.0)
    assert not camera.take_losses()
    camera.stop()


def test_camera_waits_for_the_consumer_only_at_rate_zero(recording: str) -> None:
    unpaced = open_camera(recording, CameraOptions(shape=SHAPE, frame_rate_hz=0))
    assert unpaced.waits_for_consumer
    assert unpaced.identity.frame_rate_hz is None
    unpaced.stop()


def test_camera_at_a_set_rate_keeps_it_whoever_waits(source: str) -> None:
    if source == "mmcore:":
        pytest.skip("Micro-Manager has no frame rate")
    paced = open_camera(source, CameraOptions(shape=SHAPE, frame_rate_hz=25))
    assert not paced.waits_for_consumer
    assert paced.identity.frame_rate_hz == 25
    paced.stop()


def test_camera_losses_are_told_once(camera: Camera) -> None:
    camera.read(1.0)
    camera.take_losses()
    assert not camera.take_losses()


@pytest.mark.parametrize("rate_hz", [-1.0, float("nan"), float("inf")])
def test_camera_asked_for_an_impossible_rate_says_so(source: str, rate_hz: float) -> None:
    with pytest.raises(CameraError, match="expected a frame rate"):
        open_camera(source, CameraOptions(shape=SHAPE, frame_rate_hz=rate_hz))


@pytest.mark.parametrize("address", ["nowhere", "simulated:nothing", "simulated:nothing.json", "replay:/no/such/file"])
def test_open_camera_of_nothing_says_what_was_expected(address: str) -> None:
    with pytest.raises(CameraError, match="expected"):
        open_camera(address, CameraOptions())
