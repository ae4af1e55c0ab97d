"""Root runs what lies in the cache of docker/engine.sh, so it must be a folder that nobody else could fill."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "docker" / "engine.sh"


def own_folder(folder: Path) -> subprocess.CompletedProcess[str]:
    script = '. "$1" && own_folder "$2"'
    return subprocess.run(["bash", "-c", script, "-", ENGINE, folder], capture_output=True, text=True, check=False)


def test_cache_that_is_new_or_this_users_own_is_taken(tmp_path: Path) -> None:
    for _ in range(2):
        assert own_folder(tmp_path / "cache").returncode == 0
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_cache_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    refused = own_folder(tmp_path / "cache")
    assert refused.returncode == 1
    assert "to be this user's alone" in refused.stderr


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can make a folder that is another's")
def test_cache_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    os.chown(tmp_path / "cache", 12345, 12345)
    assert own_folder(tmp_path / "cache").returncode == 1


def test_cache_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    assert own_folder(tmp_path / "cache").returncode == 1
