"""Benches started with a Python that has not what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import qpi_live.bench

BENCHES = sorted(
    path
    for path in Path(qpi_live.bench.__path__[0]).glob("*.py")
    if f"\n    python bench/{path.name}" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.stem)
def test_bench_without_its_environment_says_in_one_sentence_which_python_to_take(bench: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", str(bench)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("expected a Python with qpi-live, got ")
    assert str(Path(".venv")) in done.stderr


_ALL_AS_MODULES = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    print("bench:", name)
    try:
        runpy.run_module(f"qpi_live.bench.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print("code:", end.code or 0)
"""


def test_benches_started_as_modules_from_anywhere_find_their_parts(tmp_path: Path) -> None:
    """One after the other in one process, which imports what they share once."""
    names = [path.stem for path in BENCHES]
    done = subprocess.run(
        [sys.executable, "-c", _ALL_AS_MODULES, *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("bench: ")[1:]
    assert [part.split()[0] for part in said] == names
    assert all("Usage" in part and "code: 0" in part for part in said), done.stdout
