"""The program beside a user's own files of the same names: nothing of theirs may be imported in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import ASK_CLIENT, make_hostile, read_a_frame, run_beside


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    return make_hostile(tmp_path)


def test_client_beside_files_of_the_same_names_imports_its_own(hostile_folder: Path) -> None:
    done = run_beside(hostile_folder, ASK_CLIENT)
    assert (done.returncode, done.stdout.split(".")[0], done.stderr) == (0, "qpi_live", "")


def test_capture_process_beside_files_of_the_same_names_opens_the_camera(
    hostile_folder: Path, virtual_producer: Path
) -> None:
    done = run_beside(hostile_folder, read_a_frame(virtual_producer))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(")


def test_client_import_is_light(hostile_folder: Path) -> None:
    program = """
import sys
from qpi_live import PhaseClient
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"scipy", "numba", "fastapi", "uvicorn", "torch"}))
"""
    assert run_beside(hostile_folder, program).stdout.strip() == ""


def test_namespace_asked_for_what_it_lacks_says_so() -> None:
    import qpi_live

    with pytest.raises(AttributeError, match="nonsense"):
        qpi_live.nonsense  # noqa: B018
