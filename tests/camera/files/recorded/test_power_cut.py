"""A power cut while recording, on a real file system: what had reached the disk a second ago is there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import numpy as np
import pytest
from qpi_live.camera.files.repair import repair
from qpi_live.camera.files.writers.layer_names import Format
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer

from tests.camera.files.recorded.recordings import frame_of, images_of, manifest_of
from tests.fakes import fringes

SHAPE = (96, 128)
SYNC_S, AGE_S = 0.4, 1.0  # the recorder's own habit, and what must never be lost

Mount = Callable[[Path], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts disk images; skips where that is not allowed."""
    mounted: list[Path] = []

    def on_folder(image: Path) -> Path:
        folder = tmp_path / f"{image.stem} mounted"
        folder.mkdir()
        done = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk image cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield on_folder
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("kind", Format)
def test_power_cut_leaves_every_frame_that_is_older_than_a_second(mount: Mount, tmp_path: Path, kind: Format) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(100_000_000)
    with suppress(FileNotFoundError):
        made = subprocess.run(["mkfs.ext4", "-q", disk], capture_output=True, check=False)
        if made.returncode:
            pytest.skip("no file system can be made here")
    folder = mount(disk) / "run"
    layer = RecordedLayer(folder, "interferogram", manifest_of(folder), 4 << 30, kind)
    is_over = Event()

    def keep_synced() -> None:
        while not is_over.wait(SYNC_S):
            layer.sync()

    syncing = Thread(target=keep_synced)
    syncing.start()
    began, written_at = monotonic(), []
    try:
        while monotonic() - began < 3:
            frame = frame_of(len(written_at))
            layer.append(frame, frame.pixels)
            written_at.append(monotonic())
            sleep(0.005)
        cut_at = monotonic()
        # What the disk holds at this moment; what the system has not written yet is gone, as without power.
        (tmp_path / "after.img").write_bytes(disk.read_bytes())
    finally:
        is_over.set()
        syncing.join()
        layer.close()
    after = mount(tmp_path / "after.img") / "run"
    (left,) = repair(after)
    assert left.frames >= sum(at < cut_at - AGE_S for at in written_at) > 10
    kept = images_of(after)
    assert (kept == np.stack([fringes(SHAPE, number) for number in range(left.frames)])).all()
