"""What is released: the version that programs say, and packages with what belongs in them and no more."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
_OURS = {"bench", "camera", "models", "service"}
_BESIDE = {"CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}


def test_version_of_the_command_is_that_of_the_package() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output == f"qpi-live {version('qpi-live')}\n"


def test_version_has_a_block_in_the_changelog() -> None:
    assert f"\n## {version('qpi-live')}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["mine.trt", "mine.trt.json", "engines/mine-sm90.trt", "producer.cti", "runs/mine/best.pt"]
)
def test_what_a_user_makes_in_a_clone_is_ignored_by_git(name: str) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    assert subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and, built from that, the wheel."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    # Not `build` alone: that is also the folder of what make builds.
    pytest.importorskip("build.__main__", reason="needs build: pip install 'qpi-live[integrations]'")
    folder = tmp_path_factory.mktemp("release")
    (folder / "clean").mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=folder / "clean", input=archive, check=True)
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(folder / "clean")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_wheel_holds_the_program_with_its_data_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    outside = {name for name in names if not name.startswith("qpi_live/")}
    assert all(".dist-info/" in name for name in outside)
    assert {name.split("/")[1] for name in names - outside} == _OURS | {"__init__.py", "py.typed"}
    for needed in (
        "service/web/index.html",
        "service/napari/napari.yaml",
        "models/weights/nasprnet.onnx",
        "models/classical/cuda/takeda.cu",
        "camera/data/glioblastoma.jpg",
        "camera/virtual_gentl/source/device.xml",
    ):
        assert f"qpi_live/{needed}" in names


@pytest.mark.slow
def test_sdist_holds_what_the_wheel_is_made_of_and_no_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        tops = {name.split("/")[1] for name in file.getnames() if "/" in name}
    assert tops == _OURS | _BESIDE | {"qpi_live", "qpi_live.egg-info"}
