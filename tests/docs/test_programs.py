"""The page "In your own program": each program of it runs as printed, against a service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.service.served import Service, free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "programs.md"
PRINTED_AT = "127.0.0.1:8000"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "256", "--fps", "20")
    service = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    service.start()
    yield service.url.removeprefix("http://")
    service.stop()


def program(language: str, folder: Path, suffix: str, address: str, naming: str = "") -> str:
    """The first block of a language that has `naming` in it, in a file, with the service's address; the file's path."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = next(block for block in blocks if naming in block)
    file = folder / f"program{suffix}"
    file.write_text(text.replace(PRINTED_AT, address), encoding="utf-8")
    return str(file)


def needed(name: str, why: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {why}")
    return path


def first_lines(command: list[str], count: int) -> list[str]:
    """What a program without an end prints first."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        assert process.stderr is not None
        assert all(lines), process.stderr.read()
    return lines


def printed(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_python_of_the_page_prints_frames(address: str, tmp_path: Path) -> None:
    lines = first_lines([sys.executable, program("python", tmp_path, ".py", address)], 3)
    assert all(line.endswith("rad\n") for line in lines)


@pytest.mark.slow
def test_acquisition_of_the_page_records_phase_in_micro_manager(address: str, tmp_path: Path) -> None:
    plus = pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus: pip install 'qpi-live[micromanager]'")
    if plus.find_micromanager() is None:
        pytest.skip("needs Micro-Manager's drivers: pip install mm-test-adapters")
    acquisition = program("python", tmp_path, ".py", address, naming="PhaseCamera")
    said = printed([sys.executable, acquisition], tmp_path)
    assert "6 images of 256 256 float32" in said
    written = tifffile.imread(tmp_path / "phase.tif")
    assert (written.shape, written.dtype) == ((6, 256, 256), np.float32)
    assert not np.array_equal(written[0], written[-1])


@pytest.mark.slow
def test_shell_of_the_page_fetches_exact_phase(address: str, tmp_path: Path) -> None:
    needed("curl", "curl: apt-get install curl")
    said = printed(["sh", program("sh", tmp_path, ".sh", address)], tmp_path)
    assert '"state"' in said
    assert np.load(tmp_path / "phase.npy").shape == tifffile.imread(tmp_path / "phase.tif").shape == (256, 256)


@pytest.mark.slow
def test_javascript_of_the_page_prints_frames(address: str, tmp_path: Path) -> None:
    node = needed("node", "Node.js 20 or later")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    old = int(version.lstrip("v").partition(".")[0]) < 22
    options = ["--experimental-websocket"] if old else []
    lines = first_lines([node, *options, program("javascript", tmp_path, ".mjs", address)], 3)
    assert all(re.fullmatch(r"frame \d+ 256 256 -?\d[\d.e-]*\n", line) for line in lines), lines


@pytest.mark.slow
def test_triton_of_the_page_writes_a_repository(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    commands = program("sh", tmp_path, ".sh", "", naming="--triton")
    # Of this environment, whichever is activated.
    (tmp_path / "qpi").write_text(
        f"#!{sys.executable}\nfrom qpi_live.service.cli.entry import main\nmain()\n", encoding="utf-8"
    )
    (tmp_path / "qpi").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", "-e", commands]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'backend: "onnxruntime"' in done.stdout
    assert (tmp_path / "repository" / "nasprnet" / "1" / "model.onnx").is_file()


def test_start_on_windows_is_the_one_that_is_run_elsewhere() -> None:
    blocks = re.findall(r"((?:^    \S.*\n)+)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    elsewhere = next(block for block in blocks if "python -m venv" in block)
    on_windows = next(block for block in blocks if "py -m venv" in block)
    assert (
        on_windows.replace("\\", "/").replace(".venv/Scripts/", ".venv/bin/").replace("py -m", "python -m") == elsewhere
    )


@pytest.mark.slow
def test_matlab_of_the_page_reads_phase_in_octave(address: str, tmp_path: Path) -> None:
    octave = needed("octave-cli", "GNU Octave: apt-get install octave")
    said = printed([octave, "--no-gui", program("matlab", tmp_path, ".m", address)], tmp_path)
    assert re.search(r"256 x 256 px, mean -?\d+\.\d{3} rad", said), said


@pytest.mark.slow
def test_macro_of_the_page_opens_phase_with_its_scale_in_imagej(address: str, tmp_path: Path) -> None:
    imagej = Path("/usr/share/java/ij.jar")
    if not imagej.is_file():
        pytest.skip("needs ImageJ: apt-get install imagej")
    macro = program("ijm", tmp_path, ".ijm", address)
    screen = (
        [] if os.environ.get("DISPLAY") else [needed("xvfb-run", "a screen: apt-get install xvfb"), "--auto-servernum"]
    )
    java = [*screen, needed("java", "a Java runtime"), "-cp", str(imagej), "ij.ImageJ"]
    said = printed([*java, "-batch", macro], tmp_path)
    lines = re.findall(r"frame \d: (\S+) rad, a pixel is (\S+) (?:micron|µm|um)", said)
    assert len(lines) == 5, said
    assert all(np.isfinite(float(mean)) and 0 < float(pixel) < 10 for mean, pixel in lines)
