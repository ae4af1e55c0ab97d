"""HDF5 files whose frames lie in other files, and TIFFs whose pages are not all alike."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import open_recording

STACK = np.random.default_rng(0).integers(900, 1000, (4, 36, 48)).astype(np.uint16)


def _link(folder: Path) -> Path:
    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("entry/frames", data=STACK, chunks=(1, 36, 48))
    with h5py.File(folder / "master.h5", "w") as file:
        file["frames"] = h5py.ExternalLink("data.h5", "/entry/frames")
    return folder / "data.h5"


def _virtual(folder: Path) -> Path:
    layout = h5py.VirtualLayout(STACK.shape, STACK.dtype)
    for half in range(2):
        with h5py.File(folder / f"data{half}.h5", "w") as file:
            file.create_dataset("frames", data=STACK[2 * half : 2 * half + 2], chunks=(1, 36, 48))
        layout[2 * half : 2 * half + 2] = h5py.VirtualSource(f"data{half}.h5", "frames", (2, 36, 48))
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_virtual_dataset("frames", layout)
    return folder / "data1.h5"


def _bytes(folder: Path) -> Path:
    (folder / "data.raw").write_bytes(STACK.tobytes())
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_dataset("frames", STACK.shape, STACK.dtype, external=[("data.raw", 0, STACK.nbytes)])
    return folder / "data.raw"


WAYS = pytest.mark.parametrize("write", [_link, _virtual, _bytes])


@WAYS
def test_frames_in_another_file_are_played_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    write(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recording = open_recording(str(tmp_path / "master.h5"))
    assert np.array_equal([recording.read(frame).pixels for frame in range(recording.frames)], STACK)
    recording.close()


@WAYS
@pytest.mark.parametrize("part", [0.0, 0.7])
def test_frames_whose_other_file_is_cut_or_gone_are_never_zeros(
    tmp_path: Path, write: Callable[[Path], Path], part: float
) -> None:
    data = write(tmp_path)
    held = data.read_bytes()[: int(data.stat().st_size * part)]
    if part:
        data.write_bytes(held)
    else:
        data.unlink()
    least = []
    try:
        recording = open_recording(str(tmp_path / "master.h5"))
    except ImageFileError:
        return
    for frame in range(recording.frames):
        try:
            least.append(int(recording.read(frame).pixels.min()))
        except ImageFileError:
            continue
    recording.close()
    assert len(least) < 4
    assert all(value >= 900 for value in least)


def test_pages_of_another_size_are_left_out_and_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as file:
        for page in (STACK[0], STACK[1, :20, :20], STACK[2]):
            file.write(page)
    recording = open_recording(str(tmp_path / "mixed.tif"))
    assert recording.frames == 2
    assert "another size or type than the first: 1 of its pages" in recording.remark
    recording.close()
