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


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.stem)
def test_bench_started_as_a_module_from_anywhere_finds_its_parts(bench: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"qpi_live.bench.{bench.stem}", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
