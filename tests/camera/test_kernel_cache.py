"""Kernels compile where nothing can be kept: a full disk, no folder to write to, a cache that was cut short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
import numba
@numba.njit(cache=True)
def twice(x):
    return 2 * x
"""
PROGRAM = """
import resource, signal, sys
{before}
import qpi_live.camera.kernel_cache
sys.path.insert(0, {folder!r})
import kernel
print(kernel.twice(21))
"""
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"  # every write fails, as on a full disk


def run(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "kernel.py").write_text(KERNEL) if not (folder / "kernel.py").exists() else None
    environment = {"NUMBA_CACHE_DIR": str(folder / "cache"), "PATH": "/usr/bin:/bin"}
    program = PROGRAM.format(before=before, folder=str(folder))
    command = [sys.executable, "-B", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_kernel_on_a_full_disk_compiles_and_says_once_that_it_is_not_kept(tmp_path: Path) -> None:
    done = run(tmp_path, FULL)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert done.stderr.count("cannot be kept") == 1
    assert run(tmp_path).stdout == "42\n"


def test_kernel_whose_cache_was_cut_short_compiles_and_is_kept_again(tmp_path: Path) -> None:
    assert run(tmp_path).stdout == "42\n"
    for part in (0, 20):
        for file in (tmp_path / "cache").rglob("*.nb*"):
            file.write_bytes(file.read_bytes()[:part])
        assert run(tmp_path).stdout == "42\n"
        assert run(tmp_path).stderr == ""


def test_kernel_with_nowhere_to_be_kept_compiles(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, where a folder is needed")
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
