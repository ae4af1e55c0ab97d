"""Each example as its user runs it, against a running service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import qpi_live.camera
import tifffile

from tests.service.served import Service, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
HOLOGRAM = Path(qpi_live.camera.__file__).parent / "data" / "glioblastoma.jpg"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "256", "--fps", "20")
    service = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    service.start()
    yield service.url
    service.stop()


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(folder: Path, name: str, *words: str) -> str:
    return run(folder, sys.executable, str(EXAMPLES / name), *words)


def test_watch_phase_prints_the_frames_that_were_asked_for(url: str, tmp_path: Path) -> None:
    lines = example(tmp_path, "watch_phase.py", url, "3").splitlines()
    assert len(lines) == 3
    assert all("(256, 256) px" in line and line.endswith("rad") for line in lines)


def test_time_lapse_writes_a_stack_with_scale_and_interval(url: str, tmp_path: Path) -> None:
    example(tmp_path, "time_lapse.py", "lapse.tif", "3", "0.2", url)
    with tifffile.TiffFile(tmp_path / "lapse.tif") as file:
        assert file.is_imagej
        assert file.series[0].shape == (3, 256, 256)
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["finterval"] == 0.2
        assert file.pages[0].tags["XResolution"].value[0] > 0


def test_phase_of_a_file_saves_finite_phase(url: str, tmp_path: Path) -> None:
    said = example(tmp_path, "phase_of_a_file.py", str(HOLOGRAM), "phase.npy", url)
    phase_rad = np.load(tmp_path / "phase.npy")
    assert phase_rad.shape == (2049, 2049)
    assert np.isfinite(phase_rad).all()
    assert "goldstein" in said


def test_align_fringes_prints_a_state_until_its_time_is_over(url: str, tmp_path: Path) -> None:
    assert example(tmp_path, "align_fringes.py", url, "1").startswith("live")


def test_curl_fetches_pictures_and_sends_a_hologram(url: str, tmp_path: Path) -> None:
    said = run(tmp_path, "sh", str(EXAMPLES / "curl.sh"), url, ".")
    assert '"state"' in said
    assert np.load(tmp_path / "again.npy").shape == (256, 256)
    assert (tmp_path / "phase.tif").stat().st_size > 256 * 256


def test_notebook_runs_from_the_first_cell_to_the_last(url: str) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs Jupyter: pip install 'qpi-live[integrations]'")
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'qpi-live[integrations]'")
    import nbformat

    notebook = nbformat.read(EXAMPLES / "live_phase.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "the notebook is kept without outputs"
        cell.source = cell.source.replace("http://127.0.0.1:8000", url)
    done = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    pictures = [out for cell in done.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 2


def test_every_example_is_listed_and_run_here() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.name != "README.md":
            assert f"({path.name})" in listed
            assert f'"{path.name}"' in tests
