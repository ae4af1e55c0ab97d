"""The program beside a user's own files of the same names: nothing of theirs may be imported in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HOSTILE = ("models", "camera", "service", "bench", "tests", "frame", "device", "report")


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder full of files named like the program's own, each of which ends the process that imports it."""
    for name in _HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the user\\'s own {name}.py was imported')\n")
    return tmp_path


def _run(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(program)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_client_beside_files_of_the_same_names_imports_its_own(hostile_folder: Path) -> None:
    done = _run(hostile_folder, "from qpi_live import PhaseClient\nprint(PhaseClient.__module__)\n")
    assert (done.returncode, done.stdout.split(".")[0], done.stderr) == (0, "qpi_live", "")


def test_capture_process_beside_files_of_the_same_names_opens_the_camera(
    hostile_folder: Path, virtual_producer: Path
) -> None:
    # The script itself has its folder on the path; the capture process has not, so this one reaches the script alone.
    program = f"""
from qpi_live.camera.source import CameraOptions, open_camera
if __name__ == "__main__":
    camera = open_camera("gentl:{virtual_producer}", CameraOptions())
    camera.start()
    print(camera.read(20.0).shape)
    camera.stop()
"""
    done = _run(hostile_folder, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(")


def test_client_import_is_light(hostile_folder: Path) -> None:
    program = """
import sys
from qpi_live import PhaseClient
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"scipy", "numba", "fastapi", "uvicorn", "torch"}))
"""
    assert _run(hostile_folder, program).stdout.strip() == ""


def test_namespace_asked_for_what_it_lacks_says_so() -> None:
    import qpi_live

    with pytest.raises(AttributeError, match="nonsense"):
        qpi_live.nonsense  # noqa: B018
