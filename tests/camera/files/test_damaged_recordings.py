"""Damaged files of every kind: an error sentence, or fewer frames; never another exception, never a crash."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import open_recording

from tests.camera.files.written.stack import frames
from tests.camera.files.written.table import EIGHT_BIT_WRITERS, WRITERS

KINDS = {**WRITERS, **EIGHT_BIT_WRITERS}
EXAMPLES = 25


def read_all(address: str) -> int:
    """How many frames can be read; every failure is an `ImageFileError`."""
    try:
        recording = open_recording(address)
    except ImageFileError:
        return 0
    read = 0
    for index in range(min(recording.frames, 40)):
        try:
            image = recording.read(index)
        except ImageFileError:
            continue
        assert image.pixels.ndim == 2
        read += 1
    recording.close()
    return read


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    made = {}
    for kind, write in KINDS.items():
        folder = tmp_path_factory.mktemp("original")
        made[kind] = (folder, write(folder, frames(4, bits=8 if kind in EIGHT_BIT_WRITERS else 12)))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_recording_that_is_damaged_gives_a_sentence_or_fewer_frames(
    kind: str, originals: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder, address = originals[kind]
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def damage(data: st.DataObject) -> None:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        victim = copy / data.draw(st.sampled_from(files)).relative_to(folder)
        content = bytearray(victim.read_bytes())
        for _ in range(data.draw(st.integers(0, 6))):
            at = data.draw(st.integers(0, min(len(content) - 1, 400)) | st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content))) :]
        victim.write_bytes(content)
        read_all(address.replace(str(folder), str(copy)))

    assert read_all(address) == 4
    damage()


@pytest.mark.parametrize("kind", ["OME-Zarr 0.4", "OME-Zarr 0.5", "Zarr", "HDF5, gzip", "TIFF, tiles", "npy"])
def test_recording_with_missing_bytes_never_makes_zeros_of_them(tmp_path: Path, kind: str) -> None:
    stack = np.random.default_rng(0).integers(900, 1000, (4, 36, 48)).astype(np.uint16)
    address = KINDS[kind](tmp_path, stack)
    files = sorted((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest = files[-1]
    if "Zarr" in kind:
        largest.unlink()
    else:
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size * 3 // 4])
    try:
        recording = open_recording(address)
    except ImageFileError:
        return
    seen = []
    for index in range(recording.frames):
        try:
            seen.append(int(recording.read(index).pixels.min()))
        except ImageFileError:
            continue
    assert set(seen) <= {900, 901}
    assert len(seen) < 4
