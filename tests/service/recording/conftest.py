"""Fixtures of recordings: a running station that records into the test's folder, and a disk that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.stations import Bench


@pytest.fixture
def make(make_bench: Callable[..., Bench], tmp_path: Path) -> Callable[..., Bench]:
    """A running station that records into the test's folder."""

    def made(**options: object) -> Bench:
        return make_bench(**{"recordings": tmp_path / "kept", "recordings_free_mb": 0, **options})

    return made


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "qpi", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
