"""What the GPU image's entry point asks of `qpi`, with stand-ins for the programs it calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "gpu-entrypoint"
ENTRYPOINT = '#!/bin/sh\nexec "$@"\n'
QPI = '#!/bin/sh\necho "$QPI_ENGINE | $*" >>"$CALLS"\ncase "$1" in compile) exit "${COMPILE_EXIT:-0}";; esac\n'

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


def run(folder: Path, **environment: str) -> tuple[int, list[str]]:
    """The exit code, and what `qpi` was called with, behind the engine that was set then."""
    for name, text in (("entrypoint", ENTRYPOINT), ("qpi", QPI)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    done = subprocess.run(
        ["sh", str(SCRIPT), "qpi", "serve"],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), **environment},
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.returncode, calls.read_text().splitlines()


def test_entrypoint_without_an_engine_compiles_the_shipped_network_then_serves_with_it(tmp_path: Path) -> None:
    engine = "/data/compiled/nasprnet.trt"
    compiled = f"{engine} | compile -o {engine} --size 1024 --reuse"
    assert run(tmp_path) == (0, [compiled, f"{engine} | serve"])


def test_entrypoint_with_a_model_compiles_that_one_under_its_own_name(tmp_path: Path) -> None:
    model, engine = "/data/models/my net.onnx", "/data/compiled/my net.trt"
    code, calls = run(tmp_path, QPI_MODEL=model, QPI_SIZE="512")
    assert code == 0
    assert calls == [f"{engine} | compile {model} -o {engine} --size 512 --reuse", f"{engine} | serve"]


def test_entrypoint_with_an_engine_serves_it_as_it_is(tmp_path: Path) -> None:
    assert run(tmp_path, QPI_ENGINE="goldstein") == (0, ["goldstein | serve"])


def test_entrypoint_whose_compilation_fails_does_not_serve(tmp_path: Path) -> None:
    code, calls = run(tmp_path, COMPILE_EXIT="2")
    assert code == 2
    assert not any(call.endswith("serve") for call in calls)
