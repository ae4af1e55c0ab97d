"""Recordings that other programs write, shorten, replace and delete while they play."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.camera.errors import CameraError, CameraLost, CameraTimeout, CameraUnavailable
from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import Camera, CameraOptions

from tests.camera.files.written.stack import frames
from tests.camera.files.written.table import WRITERS
from tests.soak import at_length

FULL_SPEED = CameraOptions(frame_rate_hz=0)
ONCE = CameraOptions(frame_rate_hz=0, loop=False)
FOLLOW = CameraOptions(frame_rate_hz=0, follow=True)


def opened(path: Path | str, options: CameraOptions = FULL_SPEED) -> Camera:
    camera = ReplayCamera.open(str(path), options)
    camera.start()
    return camera


def until(camera: Camera, holds: Callable[[Frame], bool], patience_s: float = 10.0) -> Frame:
    """The first frame for which something holds; the camera is started again as the pipeline does."""
    end = monotonic() + patience_s
    while monotonic() < end:
        try:
            frame = camera.read(0.1)
        except CameraTimeout:
            continue
        except CameraLost:
            camera.stop()
            sleep(0.05)
            try:
                camera.start()
            except CameraUnavailable:
                continue
            continue
        if frame is not None and holds(frame):
            return frame
    pytest.fail("no such frame came")


def grey(camera: Camera) -> int:
    frame = camera.read(2.0)
    assert frame is not None
    return int(frame.pixels[5, 5])


def level(value: int, count: int = 6, shape: tuple[int, int] = (36, 48)) -> np.ndarray:
    return np.full((count, *shape), value, np.uint8)


def numbered(count: int, first: int = 0, shape: tuple[int, int] = (36, 48)) -> np.ndarray:
    return np.stack([np.full(shape, number, np.uint8) for number in range(first, first + count)])


def save(path: Path, stack: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, stack)
    elif path.suffix == ".h5":
        held = io.BytesIO()  # this process's HDF5 library would not write a file that it reads, which others' do
        with h5py.File(held, "w") as file:
            file["data"] = stack
        path.write_bytes(held.getvalue())
    else:
        tifffile.imwrite(path, stack, imagej=path.stem == "imagej", photometric="minisblack", metadata={"axes": "TYX"})


@pytest.fixture(params=["stack.npy", "stack.tif", "imagej.tif", "stack.h5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_replay_of_a_file_that_is_overwritten_in_place_goes_on_with_the_new_one(path: Path) -> None:
    save(path, level(1))
    camera = opened(path)
    assert grey(camera) == 1
    before = path.stat().st_ino
    save(path, level(2, count=9))
    assert path.stat().st_ino == before
    until(camera, lambda frame: bool((frame.pixels == 2).all()))
    assert not camera.take_losses()


def test_replay_of_a_file_that_is_replaced_goes_on_with_the_new_one_of_another_size_and_says_so(path: Path) -> None:
    save(path, level(1))
    camera = opened(path)
    assert grey(camera) == 1
    other = path.with_name(f"{path.stem}_new{path.suffix}")
    save(other, level(3, shape=(50, 60)))
    os.replace(other, path)
    frame = until(camera, lambda frame: frame.shape == (50, 60))
    assert (frame.pixels == 3).all()
    assert camera.identity.shape == (50, 60)
    assert "was saved anew" in camera.identity.remark


def test_replay_of_a_file_that_is_shortened_plays_the_whole_frames_that_are_left_never_zeros(path: Path) -> None:
    save(path, level(200, count=12, shape=(64, 64)))
    camera = opened(path)
    assert grey(camera) == 200
    os.truncate(path, path.stat().st_size // 2)
    for _ in range(40):
        try:
            frame = camera.read(0.1)
        except CameraError:
            camera.stop()
            try:
                camera.start()
            except CameraUnavailable:
                return  # nothing of it can be read any more
            continue
        assert frame is not None
        assert frame.pixels.min() == 200
    assert " of 12 frames; the file is truncated" in camera.identity.remark


def test_replay_of_a_file_that_is_deleted_is_lost_and_comes_back_with_it(path: Path) -> None:
    save(path, level(1))
    camera = opened(path)
    assert grey(camera) == 1
    path.unlink()
    with pytest.raises(CameraLost, match=f"{path.name} is gone"):
        camera.read(0.1)
    camera.stop()
    with pytest.raises(CameraUnavailable, match="nothing there"):
        camera.start()
    save(path, level(4))
    camera.start()
    assert grey(camera) == 4


@pytest.mark.parametrize(
    ("kind", "whole"),
    [
        ("TIFF", 6),
        ("TIFF without a description", 6),
        ("TIFF, page by page", 0),
        ("BigTIFF", 6),
        ("ImageJ", 6),
        ("ImageJ beyond 4 GB", 6),
        ("npy", 6),
        ("HDF5", 6),
        ("raw frames", 6),
    ],
)
def test_recording_that_is_truncated_plays_its_whole_frames_and_says_how_many(
    tmp_path: Path, kind: str, whole: int
) -> None:
    stack = frames(24)
    path = Path(WRITERS[kind](tmp_path, stack))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 11 // 24 + 1200])
    camera = opened(path, ONCE)
    read = []
    while (frame := camera.read(0.0)) is not None:
        read.append(frame.pixels)
    assert 9 <= len(read) <= 12
    np.testing.assert_array_equal(read, stack[: len(read)])
    assert not camera.take_losses()
    said = f"{len(read)} of 24 frames; the file is truncated" if whole else "The file is truncated"
    assert said in camera.identity.remark


def test_recording_follows_a_growing_stack_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "live.raw"
    (tmp_path / "live.json").write_text('{"shape": [36, 48], "dtype": "uint8"}')
    path.write_bytes(numbered(2).tobytes())
    camera = opened(path, FOLLOW)
    assert [grey(camera), grey(camera)] == [0, 1]
    with pytest.raises(CameraTimeout, match=r"Waiting for more frames in live\.raw, after 2"):
        camera.read(0.05)
    with path.open("ab") as file:
        file.write(numbered(2, first=2).tobytes())
    assert [grey(camera), grey(camera)] == [2, 3]
    assert not camera.take_losses()


def test_recording_follows_a_growing_tiff_and_does_not_start_again(tmp_path: Path) -> None:
    path = tmp_path / "live.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in numbered(3):
            writer.write(frame, contiguous=False, metadata=None)
    camera = opened(path, FOLLOW)
    assert [grey(camera) for _ in range(3)] == [0, 1, 2]
    tifffile.imwrite(path, numbered(1, first=3), append=True, metadata=None)
    assert grey(camera) == 3


def test_recording_follows_a_growing_folder_and_waits_for_a_half_written_image(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(numbered(1, number)[0]).save(tmp_path / f"{number}.png")
    camera = opened(tmp_path, FOLLOW)
    assert [grey(camera), grey(camera)] == [0, 1]
    Image.fromarray(numbered(1, 2)[0]).save(tmp_path.parent / "whole.png")
    data = (tmp_path.parent / "whole.png").read_bytes()
    (tmp_path / "2.png").write_bytes(data[: len(data) // 2])
    end = monotonic() + 1.3
    while monotonic() < end:
        with pytest.raises(CameraTimeout):
            camera.read(0.1)
    (tmp_path / "2.png").write_bytes(data)
    assert grey(camera) == 2
    assert not camera.take_losses()


def test_recording_follows_hdf5_while_it_is_written_under_swmr(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "live.h5", "w", libver="latest") as file:
        data = file.create_dataset("data", (2, 36, 48), np.uint8, maxshape=(None, 36, 48), chunks=(1, 36, 48))
        data[:] = numbered(2)
        file.swmr_mode = True
        camera = opened(tmp_path / "live.h5", FOLLOW)
        assert [grey(camera), grey(camera)] == [0, 1]
        data.resize(5, axis=0)
        data[2:4] = numbered(2, 2)  # the fifth is announced and not written: it is no black frame
        data.flush()
        assert [grey(camera), grey(camera)] == [2, 3]
        with pytest.raises(CameraTimeout):
            camera.read(0.2)
        assert not camera.take_losses()
        camera.stop()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_recording_of_hdf5_that_another_program_writes_without_swmr_is_refused_without_dangerous_advice(
    tmp_path: Path, libver: str
) -> None:
    path = tmp_path / "live.h5"
    write = f"""
import h5py, numpy, os
file = h5py.File({str(path)!r}, "w", libver={libver!r})
file["data"] = numpy.zeros((3, 36, 48), "uint8")
file.flush()
print("written", flush=True)
input()
"""
    program = subprocess.Popen([sys.executable, "-c", write], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdout is not None
    program.stdout.readline()
    try:
        with pytest.raises(CameraUnavailable, match="another program writes") as error:
            opened(path)
        assert "h5clear" not in str(error.value)
    finally:
        program.kill()
        program.wait()
    assert grey(opened(path)) == 0  # the writer was killed: what it had written can be read


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_replay_of_hdf5_does_not_keep_another_program_from_saving_it_anew(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "stack.h5"
    write = f"""
import h5py, numpy, sys
with h5py.File({str(path)!r}, "w", libver={libver!r}) as file:
    file["data"] = numpy.full((3, 36, 48), int(sys.argv[1]), "uint8")
"""
    subprocess.run([sys.executable, "-c", write, "1"], check=True)
    camera = opened(path)
    assert grey(camera) == 1
    subprocess.run([sys.executable, "-c", write, "2"], check=True)
    until(camera, lambda frame: bool((frame.pixels == 2).all()))


def test_recording_that_grows_while_it_loops_plays_the_new_frames_in_the_next_round(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(numbered(1, number)[0]).save(tmp_path / f"{number}.png")
    camera = opened(tmp_path)
    assert [grey(camera) for _ in range(4)] == [0, 1, 2, 0]
    Image.fromarray(numbered(1, 3)[0]).save(tmp_path / "3.png")
    until(camera, lambda frame: int(frame.pixels[0, 0]) == 3)
    assert not camera.take_losses()


def test_replay_of_unreadable_frames_takes_their_time_counts_them_and_names_them(tmp_path: Path) -> None:
    for number in range(10):
        Image.fromarray(numbered(1, number)[0]).save(tmp_path / f"{number}.png")
    for number in (3, 4, 5):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG broken")
    camera = opened(tmp_path, CameraOptions(frame_rate_hz=50, loop=False))
    began = monotonic()
    read = []
    while (frame := camera.read(1.0)) is not None:
        read.append(int(frame.pixels[0, 0]))
    assert read == [0, 1, 2, 6, 7, 8, 9]
    assert monotonic() - began >= 9 / 50 - 0.005
    assert dict(camera.take_losses()) == {"unreadable in the recording": 3}
    assert "5.png cannot be read" in camera.identity.remark


def test_replay_of_a_folder_whose_first_image_is_broken_plays_the_others(tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(numbered(1, number)[0]).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes(b"\x89PNG broken")
    camera = opened(tmp_path, ONCE)
    assert [grey(camera) for _ in range(3)] == [1, 2, 3]


def disturb(path: Path, step: int) -> None:
    """One of the things that other programs do to a file."""
    what = step % 5
    if what == 0:
        save(path, level(10 + step % 200, count=4 + step % 7))
    elif what == 1 and path.exists():
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif what == 2:
        with path.open("ab") as file:
            file.write(os.urandom(5000))
    elif what == 3:
        path.unlink(missing_ok=True)
    else:
        other = path.with_name(f".{path.name}.part")
        save(other.with_suffix(path.suffix), level(10 + step % 200, shape=(40 + step % 3, 50)))
        os.replace(other.with_suffix(path.suffix), path)


def play_disturbed(path: Path, steps: int, pause_s: float) -> int:
    """Replay a file while it is disturbed; the number of frames that came. Nothing but a `CameraError` may come out."""
    save(path, level(9))
    camera = opened(path, CameraOptions(frame_rate_hz=200))
    came = 0
    for step in range(steps):
        disturb(path, step)
        end = monotonic() + pause_s
        while monotonic() < end:
            try:
                came += camera.read(0.02) is not None
            except CameraTimeout:
                continue
            except CameraError:
                camera.stop()
                sleep(0.005)
                try:
                    camera.start()
                except CameraUnavailable:
                    continue
    camera.stop()
    return came


def test_replay_of_a_file_that_is_overwritten_truncated_grown_and_deleted_in_turn_never_ends(path: Path) -> None:
    assert play_disturbed(path, 25, 0.06) > 25


@pytest.mark.slow
def test_replay_of_four_files_each_disturbed_a_hundred_times_and_five_hundred_at_length_never_ends(
    tmp_path: Path,
) -> None:
    times = at_length(100, 500)
    files = [tmp_path / name for name in ("stack.npy", "stack.tif", "imagej.tif", "stack.h5")]
    with ThreadPoolExecutor(len(files)) as pool:  # at once, as most of the time is waiting for frames
        came = list(pool.map(lambda path: play_disturbed(path, times, 0.06), files))
    assert min(came) > times
