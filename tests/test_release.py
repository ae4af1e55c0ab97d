"""What is released: the version that programs say, and packages with what belongs in them and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.hostile import ASK_CLIENT, make_hostile, read_a_frame, run_beside

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
_TAG = "v9.8.7"
_OURS = {"bench", "camera", "models", "service"}
_BESIDE = {"CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}


def git(*command: str, folder: Path) -> None:
    someone = ("-c", "user.name=someone", "-c", "user.email=someone@localhost")
    subprocess.run(["git", *someone, *command], cwd=folder, check=True, capture_output=True)


def clone(into: Path, tag: str = "") -> Path:
    """A clone of this repository as it is committed, with no tag but `tag`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    git("clone", "--quiet", "--no-tags", str(ROOT), str(into / "clone"), folder=into)
    if tag:
        git("tag", tag, folder=into / "clone")
    return into / "clone"


def version_at(folder: Path) -> str:
    """What would be built there."""
    pytest.importorskip("setuptools_scm", reason="needs setuptools-scm: pip install 'qpi-live[integrations]'")
    command = [sys.executable, "-m", "setuptools_scm"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_version_of_the_command_is_that_of_the_package() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output == f"qpi-live {version('qpi-live')}\n"


def test_release_has_a_block_in_the_changelog() -> None:
    released = Version(version("qpi-live"))
    if not released.is_devrelease:
        assert f"\n## {released} (" in CHANGELOG


def test_version_on_its_way_is_that_of_the_changelog_s_first_block() -> None:
    (fallback,) = re.findall(r'^fallback_version = "(.+)\.dev0"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    newest, is_out = re.findall(r"^## (\S+) \((unreleased)?", CHANGELOG, re.MULTILINE)[0]
    assert Version(newest) == Version(fallback) if is_out else Version(newest) < Version(fallback)


def test_version_is_that_of_the_tag(tmp_path: Path) -> None:
    assert version_at(clone(tmp_path, tag=_TAG)) == _TAG.removeprefix("v")


def test_version_of_a_commit_after_the_tag_is_of_the_next_one(tmp_path: Path) -> None:
    later = clone(tmp_path, tag=_TAG)
    git("commit", "--quiet", "--allow-empty", "--message", "Later", folder=later)
    assert re.fullmatch(r"9\.8\.8\.dev1\+g[0-9a-f]+", version_at(later))


def test_version_of_a_clone_without_tags_is_the_one_on_its_way(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev\d+\+g[0-9a-f]+", version_at(clone(tmp_path)))


@pytest.mark.parametrize(("tag", "expected"), [(_TAG, r"9\.8\.7"), ("", r"\d+\.\d+\.\d+\.dev0.*")])
def test_version_of_a_downloaded_zip_needs_no_git(tag: str, expected: str, tmp_path: Path) -> None:
    origin, folder = clone(tmp_path, tag), tmp_path / "zip"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=origin, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=folder, input=archive, check=True)
    assert re.fullmatch(expected, version_at(folder))


@pytest.mark.parametrize("copied", [("pyproject.toml", "setup.py"), ("pyproject.toml", ".git_archival.txt")])
def test_version_of_a_copy_without_git_is_the_one_on_its_way(copied: tuple[str, ...], tmp_path: Path) -> None:
    for name in copied:  # an image's build has the first two alone
        shutil.copy(ROOT / name, tmp_path)
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev0", version_at(tmp_path))


@pytest.mark.parametrize(
    "name", ["mine.trt", "mine.trt.json", "engines/mine-sm90.trt", "producer.cti", "runs/mine/best.pt"]
)
def test_what_a_user_makes_in_a_clone_is_ignored_by_git(name: str) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    assert subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of a tagged clone and, built from that, the wheel."""
    # Not `build` alone: that is also the folder of what make builds.
    pytest.importorskip("build.__main__", reason="needs build: pip install 'qpi-live[integrations]'")
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(clone(folder, tag=_TAG))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_packages_have_the_tag_s_version_and_are_fit_for_an_index(built: Path) -> None:
    pytest.importorskip("twine", reason="needs twine: pip install 'qpi-live[integrations]'")
    files = sorted(str(path) for path in built.iterdir() if path.is_file())
    assert [Path(path).name for path in files] == ["qpi_live-9.8.7-py3-none-any.whl", "qpi_live-9.8.7.tar.gz"]
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=False)
    assert done.returncode == 0


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


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """A folder with the wheel's files as an installation has them; what it depends on comes from the environment."""
    (wheel,) = built.glob("*.whl")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(built / "site"),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    return built / "site"


@pytest.mark.slow
def test_installed_wheel_beside_files_of_the_same_names_imports_its_own(installed: Path, tmp_path: Path) -> None:
    done = run_beside(make_hostile(tmp_path), ASK_CLIENT, PYTHONPATH=str(installed))
    assert (done.returncode, done.stderr) == (0, "")
    module, file = done.stdout.split()
    assert module.startswith("qpi_live.")
    assert Path(file) == installed / "qpi_live" / "__init__.py"  # not the checkout's


@pytest.mark.slow
def test_capture_process_of_an_installed_wheel_beside_files_of_the_same_names_opens_the_camera(
    installed: Path, tmp_path: Path, virtual_producer: Path
) -> None:
    done = run_beside(make_hostile(tmp_path), read_a_frame(virtual_producer), PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(")
