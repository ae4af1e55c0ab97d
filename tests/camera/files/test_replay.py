"""Recordings replayed: order, size, window, optics, and frames that cannot be read."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.camera.errors import CameraLost, CameraUnavailable
from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.files.stage_path import StagePath
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import Camera, CameraOptions

DATA = Path(__file__).parents[3] / "camera" / "data"
HOLOGRAMS = Path(os.environ.get("QPI_HOLOGRAMS", "no such folder"))
AS_RECORDED = CameraOptions(shape=None, frame_rate_hz=0)
ONCE = CameraOptions(shape=None, frame_rate_hz=0, loop=False)


def _open(path: Path | str, options: CameraOptions = AS_RECORDED) -> Camera:
    camera = ReplayCamera.open(str(path), options)
    camera.start()
    return camera


def _read(camera: Camera) -> Frame:
    frame = camera.read(0.0)
    assert frame is not None
    return frame


def _numbered(frames: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.stack([np.full(shape, index, np.uint8) for index in range(frames)])


def _order(camera: Camera, limit: int = 100) -> list[int]:
    """The grey values of the frames until the recording ends."""
    values = []
    while (frame := camera.read(0.0)) is not None and len(values) < limit:
        values.append(int(frame.pixels[0, 0]))
    return values


def test_replay_once_ends_and_begins_again_when_restarted(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", _numbered(3))
    camera = _open(tmp_path / "stack.npy", ONCE)
    assert _order(camera) == [0, 1, 2]
    assert camera.read(0.0) is None
    camera.stop()
    camera.start()
    assert _order(camera) == [0, 1, 2]


def test_replay_in_a_loop_starts_over(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", _numbered(3))
    camera = _open(tmp_path / "stack.npy")
    assert [int(_read(camera).pixels[0, 0]) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_replay_of_a_folder_goes_in_natural_order(tmp_path: Path) -> None:
    for index in (10, 9, 2, 1, 0, 100):
        Image.fromarray(np.full((20, 30), index, np.uint8)).save(tmp_path / f"Frame_{index}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    assert _order(_open(tmp_path, ONCE)) == [0, 1, 2, 9, 10, 100]


@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}, {"bigtiff": True}, {"compression": "zlib"}])
def test_replay_of_tiff_stacks_gives_every_page(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / ("stack.ome.tif" if "ome" in options else "stack.tif")
    tifffile.imwrite(path, _numbered(6), photometric="minisblack", **options)
    assert _order(_open(path, ONCE)) == list(range(6))


def test_replay_of_imagej_stack_behind_one_page_gives_every_frame_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    stack = _numbered(5).astype(np.uint16) * 200
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX", "finterval": 0.125}, byteorder=">")
    with tifffile.TiffFile(path) as tiff:  # ImageJ's own stacks of over 4 GB have one page: cut the chain after it
        next_page = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    data = bytearray(path.read_bytes())
    data[next_page : next_page + 4] = bytes(4)
    path.write_bytes(data)
    assert len(tifffile.TiffFile(path).pages) == 1
    assert _order(_open(path, ONCE)) == [0, 200, 400, 600, 800]
    assert ReplayCamera.open(str(path), CameraOptions(shape=None)).identity.frame_rate_hz == 8.0


def test_replay_of_tiff_leaves_thumbnails_out(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for index in range(3):
            writer.write(np.full((40, 50), index, np.uint8), contiguous=False)
            writer.write(np.full((20, 25), 99, np.uint8), contiguous=False)
    assert _order(_open(tmp_path / "stack.tif", ONCE)) == [0, 1, 2]


def test_replay_of_a_big_stack_reads_only_the_frames_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "big.npy"
    # Three terabytes that occupy no disk: whoever read them all would fail at once.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (1_500_000, 1024, 1024)}
        )
        start = file.tell()
        try:
            file.truncate(start + 1_500_000 * 1024 * 1024 * 2)
        except OSError:
            pytest.skip("this file system holds no sparse file of 3 TB")
    camera = _open(path, ONCE)
    assert camera.identity.shape == (1024, 1024)
    assert [int(_read(camera).pixels.max()) for _ in range(3)] == [0, 0, 0]


def test_replay_of_larger_frames_asked_for_a_size_sends_their_middle_and_says_so(tmp_path: Path) -> None:
    y, x = np.mgrid[:250, :200]
    large = (y * 250 + x).astype(np.uint16)  # each pixel tells where it is
    np.save(tmp_path / "large.npy", large)
    camera = _open(tmp_path / "large.npy", CameraOptions(shape=(64, 48), frame_rate_hz=0))
    for _ in range(5):
        np.testing.assert_array_equal(_read(camera).pixels, large[93:157, 76:124])
    assert "The middle of 64 × 48 pixels of 250 × 200." in camera.identity.remark


def test_replay_of_larger_frames_sends_them_whole_unless_a_size_is_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", _numbered(2, (1100, 1300)))
    camera = _open(tmp_path / "large.npy", CameraOptions(frame_rate_hz=0))
    assert camera.identity.shape == _read(camera).shape == (1100, 1300)
    assert camera.identity.remark == ""


def test_replay_of_the_bundled_hologram_moves_a_window_as_a_stage_would() -> None:
    whole = _read(_open("", AS_RECORDED)).pixels
    camera = _open("", CameraOptions(shape=(64, 48), frame_rate_hz=0))
    path = StagePath((2049, 2049), (64, 48))
    for step in range(60):
        top, left = path.at(step)
        np.testing.assert_array_equal(_read(camera).pixels, whole[top : top + 64, left : left + 48])
    assert "A window of 64 × 48 pixels of 2049 × 2049." in camera.identity.remark


@pytest.mark.parametrize(
    ("outer", "inner"), [((2049, 2049), (1024, 1024)), ((1023, 600), (1023, 512)), ((17, 16), (16, 16))]
)
def test_stage_path_stays_inside_and_moves_smoothly(outer: tuple[int, int], inner: tuple[int, int]) -> None:
    path = StagePath(outer, inner)
    corners = np.array([path.at(step) for step in range(4000)])
    assert corners.min() >= 0
    assert (corners <= np.subtract(outer, inner)).all()
    assert np.abs(np.diff(corners, axis=0)).max() <= 4


def test_replay_of_smaller_frames_sends_them_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", _numbered(2, (33, 70)))
    camera = _open(tmp_path / "small.npy", CameraOptions(shape=(64, 48), frame_rate_hz=0))
    assert camera.identity.shape == _read(camera).shape == (33, 48)


def test_replay_counts_frames_that_cannot_be_read_and_goes_on(tmp_path: Path) -> None:
    for index in range(6):
        Image.fromarray(np.full((20, 30), index, np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    Image.fromarray(np.zeros((20, 31), np.uint8)).save(tmp_path / "4.png")
    camera = _open(tmp_path, ONCE)
    assert _order(camera) == [0, 1, 3, 5]
    assert dict(camera.take_losses()) == {"unreadable in the recording": 1, "other size than the recording": 1}
    assert not camera.take_losses()


def test_replay_whose_frames_all_vanish_is_lost(tmp_path: Path) -> None:
    for index in range(3):
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / f"{index}.png")
    camera = _open(tmp_path)
    _read(camera)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(CameraLost, match="Expected a readable frame"):
        camera.read(0.0)
    assert camera.take_losses() == {"unreadable in the recording": 3}


def test_replay_states_the_bits_that_are_used(tmp_path: Path) -> None:
    stack = _numbered(20).astype(np.uint16)
    stack[-1, 3, 3] = 900
    np.save(tmp_path / "stack.npy", stack)
    camera = _open(tmp_path / "stack.npy", ONCE)
    assert camera.identity.bit_depth == 10
    assert {_read(camera).bit_depth for _ in range(20)} == {10}


def test_replay_of_qpformat_takes_optics_and_rate_from_the_file() -> None:
    camera = ReplayCamera.open(str(DATA / "series_raw-oah.h5"), CameraOptions(shape=None))
    optics = camera.identity.optics
    assert optics is not None
    assert optics.wavelength_m == pytest.approx(532e-9)
    assert optics.object_pixel_m == pytest.approx(84.75e-9, rel=1e-3)
    assert optics.numerical_aperture == 1.0
    assert camera.identity.frame_rate_hz == pytest.approx(1 / 0.3)
    with h5py.File(DATA / "series_raw-oah.h5") as file:
        camera = _open(DATA / "series_raw-oah.h5", ONCE)
        for name in ("0", "1"):
            np.testing.assert_array_equal(_read(camera).pixels, file[name][()])


def test_replay_of_the_pair_sends_the_one_with_the_cell() -> None:
    pixels = _read(_open(DATA / "hl60_pair.npz")).pixels
    np.testing.assert_array_equal(pixels, np.load(DATA / "hl60_pair.npz")["data"])


def test_replay_without_a_path_is_the_bundled_hologram() -> None:
    camera = _open("", CameraOptions(shape=(1024, 1024), frame_rate_hz=0))
    assert camera.identity.source == "replay:glioblastoma"
    assert camera.identity.optics is not None
    assert camera.identity.optics.wavelength_m == pytest.approx(533e-9)
    assert camera.identity.shape == _read(camera).shape == (1024, 1024)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.tif", b"II*\0broken", "broken.tif"),
        ("broken.h5", b"\x89HDF broken", "broken.h5"),
        ("broken.npy", b"\x93NUMPY", "broken.npy"),
        ("broken.npz", b"PK broken", "broken.npz"),
        ("notes.txt", b"notes", "expected a .npy, TIFF, PNG, JPEG or BMP image"),
    ],
)
def test_replay_of_a_broken_recording_says_so(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CameraUnavailable, match="expected") as error:
        ReplayCamera.open(str(tmp_path / name), AS_RECORDED)
    assert sentence in str(error.value)


def test_replay_never_loads_pickles(tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(CameraUnavailable, match=r"pickled\.npy"):
        ReplayCamera.open(str(tmp_path / "pickled.npy"), AS_RECORDED)


def test_replay_of_an_empty_folder_or_foreign_hdf5_says_what_it_found(tmp_path: Path) -> None:
    with pytest.raises(CameraUnavailable, match="expected images"):
        ReplayCamera.open(str(tmp_path), AS_RECORDED)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["phase"] = np.zeros((20, 20))
    with pytest.raises(CameraUnavailable, match="expected holograms, got /phase"):
        ReplayCamera.open(str(tmp_path / "other.h5"), AS_RECORDED)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("jpl_usaf_1024_lzw.tif", (1024, 1024)),
        ("oirl_bigcakes_nontele_1920x1200.tiff", (1200, 1920)),
        ("pydhm_rbc_1023.jpg", (1023, 1023)),
        ("pydhm_tissue_nontele_1024x1224.tif", (1024, 1224)),
        ("ri_cell_curved_bg.jpg", (600, 400)),
        ("ri_single_holo.tif", (238, 267)),
        ("tissue_paper_oa.tif", (1024, 1024)),
        ("tissue_paper_oa_background.tif", (1024, 1024)),
    ],
)
def test_replay_of_real_holograms_gives_fringes(name: str, shape: tuple[int, int]) -> None:
    path = HOLOGRAMS / name
    if not path.is_file():
        pytest.skip(f"needs {name} in the folder that QPI_HOLOGRAMS names")
    camera = _open(path)
    frame = _read(camera)
    assert frame.shape == camera.identity.shape == shape
    assert frame.bit_depth == 8
    spectrum = np.abs(np.fft.rfft2(frame.pixels - frame.pixels.mean()))
    spectrum[:, : shape[1] // 20] = 0  # leaves the zero order out
    assert spectrum.max() > 50 * np.median(spectrum)


def test_replay_of_a_folder_of_mixed_depths_sends_every_frame(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", np.full((20, 30), 7, np.uint8))
    tifffile.imwrite(tmp_path / "1.tif", np.full((20, 30), 900, np.uint16))
    camera = _open(tmp_path, ONCE)
    frames = [_read(camera), _read(camera)]
    assert [int(frame.pixels[0, 0]) for frame in frames] == [7, 900]
    assert {(frame.pixels.dtype.name, frame.bit_depth) for frame in frames} == {("uint16", 10)}


@pytest.mark.parametrize("name", ["frame.npy", "frame.tif", "frames.h5", "folder"])
def test_float_recording_with_missing_pixels_is_played_with_them_masked(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.9, (40, 60)).astype(np.float32)
    values[:5] = np.nan
    values[20, 30] = np.inf
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, values)
    elif name.endswith(".tif"):
        tifffile.imwrite(path, values)
    elif name.endswith(".h5"):
        with h5py.File(path, "w") as file:
            file["frames"] = np.stack([values, values])
    else:
        path.mkdir()
        for number in range(2):
            np.save(path / f"{number}.npy", values)
    frame = _read(_open(path))
    assert frame.missing is not None
    assert np.array_equal(frame.missing, ~np.isfinite(values))
    window = _read(_open(path, CameraOptions(shape=(20, 20), frame_rate_hz=0)))
    assert window.missing is not None
    assert np.array_equal(window.missing, ~np.isfinite(values[10:30, 20:40]))
