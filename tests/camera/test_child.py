"""Children end with whoever started them, however that ends and however they hang."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PARENT = """
import sys, time
from qpi_live.camera.child import start_child
sys.path.insert(0, sys.argv[1])
child = start_child("tests.camera.hanging_child", ())
print(child.pid, flush=True)
time.sleep(600)
"""
ROOT = Path(__file__).parents[2]
PATIENCE_S = 20


@pytest.fixture
def parent() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(ROOT)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    yield process
    process.kill()
    process.wait(PATIENCE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends a child that hangs on Linux and Windows only")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_child_that_hangs_is_gone_with_its_parent(parent: subprocess.Popen[str], how: signal.Signals) -> None:
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "hanging\n"
    parent.send_signal(how)
    parent.wait(PATIENCE_S)
    psutil.wait_procs([child], PATIENCE_S / 4)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_child_of_a_living_parent_goes_on_and_imports_nothing_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong one')")
    code = (
        "from qpi_live.camera.child import start_child\n"
        "child = start_child('qpi_live.service.sent.worker', ())\n"  # imports numpy, and ends
        "print(child.wait(60))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "0\n", done.stderr
