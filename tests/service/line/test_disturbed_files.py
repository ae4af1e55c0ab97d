"""A service that plays files which another program overwrites, truncates, grows and deletes in turn."""

from __future__ import annotations

import io
import os
from pathlib import Path
from time import monotonic, sleep

import h5py
import httpx
import numpy as np
import psutil
import pytest
import tifffile
from qpi_live.bench.stream.stuck import all_exact
from qpi_live.service.client import PhaseClient

from tests.fakes import fringes
from tests.service.served import Service, free_port
from tests.soak import MINUTES

NAMES = ("stack.npy", "stack.tif", "imagej.tif", "stack.h5")
WITHIN_S = 30.0
FLAT_DESCRIPTORS = 12


def stack(step: int, shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    return np.stack([fringes(shape, step + number) for number in range(4 + step % 7)])


def save(path: Path, frames: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, frames)
    elif path.suffix == ".h5":
        held = io.BytesIO()
        with h5py.File(held, "w") as file:
            file["data"] = frames
        path.write_bytes(held.getvalue())
    else:
        imagej = path.stem == "imagej"
        tifffile.imwrite(path, frames, imagej=imagej, photometric="minisblack", metadata={"axes": "TYX"})


def disturb(path: Path, step: int) -> None:
    """One of the things that other programs do to a file; no step leaves it as it was."""
    what = step % 5
    if what == 0:
        save(path, stack(step))
    elif what == 1 and path.exists():
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif what == 2:
        with path.open("ab") as file:
            file.write(os.urandom(5000))
    elif what == 3:
        path.unlink(missing_ok=True)
    else:
        other = path.with_name(f".part-{path.name}")
        save(other, stack(step, (80 + 16 * (step % 3), 112)))
        other.rename(path)


SOAK_S = 60 * (MINUTES or 0.25)


@pytest.mark.timeout(300 + SOAK_S)
def test_service_of_files_that_others_change_all_the_while_never_ends(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in NAMES]
    for path in paths:
        save(path, stack(0))
    cameras = [word for path in paths for word in ("--camera", f"replay:{path}")]
    service = Service(free_port(), (*cameras, "--engine", "goldstein", "--fps", "20", "--log-level", "error"), tmp_path)
    service.start()
    try:
        assert service.process is not None
        process = psutil.Process(service.process.pid)
        with PhaseClient(service.url) as asking:
            clients = [PhaseClient(service.url, camera=one["name"]) for one in asking.cameras()]
        assert len(clients) == len(NAMES)
        descriptors, began, step = list[int](), monotonic(), 0
        while monotonic() - began < SOAK_S:
            for path in paths:
                disturb(path, step)
            step += 1
            sleep(0.1 + 0.1 * (step % 4))
            assert httpx.get(f"{service.url}/health/live", timeout=WITHIN_S).status_code == 200
            assert all(all_exact(client.stats()) for client in clients)
            descriptors.append(process.num_fds())
        played = [client.stats().account.delivered for client in clients]
        assert min(played) > SOAK_S / 3  # of some 20 a second where nothing is wrong with the file
        for path in paths:
            save(path, stack(0))
        for client, before in zip(clients, played, strict=True):
            give_up = monotonic() + WITHIN_S
            while (stats := client.stats()).account.delivered < before + 20 or stats.state.name != "live":
                assert monotonic() < give_up, (client._camera_name, stats.state)
                sleep(0.1)
            client.close()
        quarter = max(1, len(descriptors) // 4)
        assert max(descriptors[-quarter:]) < max(descriptors[:quarter]) + FLAT_DESCRIPTORS
        assert service.process.poll() is None
    finally:
        service.stop()
