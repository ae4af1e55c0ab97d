"""NVIDIA's own binding, called for real: what runs on a GPU runs on a stand-in for its driver, in another process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda_host.kernels import needs_compiler
from tests.cuda_host.stand_in import environment

pytest.importorskip("cuda.bindings", reason="needs NVIDIA's binding: pip install 'qpi-live[gpu]'")

ROOT = Path(__file__).parents[3]


def with_stand_in(*command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    needs_compiler()
    given = {**environment(), **extra}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=given, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "least"),
    [
        ("tests/camera/gpu/test_device_contract.py", 17),
        ("tests/models/classical/cuda/test_goldstein.py", 15),
        ("tests/models/engines/test_classical_cuda.py", 15),
    ],
)
def test_all_that_a_gpu_is_asked_for_holds_through_the_binding(tests: str, least: int) -> None:
    done = with_stand_in("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", tests)
    summary = done.stdout.splitlines()[-1] if done.stdout else ""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in summary
    assert int(summary.split()[0]) >= least, summary


_SAYS = """
from qpi_live.camera.device import DeviceUnavailable
from qpi_live.camera.gpu.cuda_device import open_device
try:
    print(open_device().identity)
except DeviceUnavailable as why:
    print("unavailable:", why)
"""


def test_device_says_who_it_is_and_what_drives_it() -> None:
    said = with_stand_in("-c", _SAYS).stdout
    assert "name='stand-in for a GPU'" in said
    assert "compute_capability=(9, 0)" in said
    assert "cuda-bindings" in said
    assert "driver for CUDA 13.0" in said


def test_driver_without_a_gpu_is_said_in_one_sentence() -> None:
    said = with_stand_in("-c", _SAYS, QPI_STAND_IN_HAS_NO_GPU="1").stdout
    assert said.startswith("unavailable: expected an NVIDIA GPU that works, got: ")
    assert "CUDA_ERROR_NO_DEVICE" in said
    assert "nvidia-smi" in said
    assert said.count("\n") == 1


_WAITS = """
import sys
from pathlib import Path
from threading import Thread
from time import perf_counter, sleep
import numpy as np
from qpi_live.camera.gpu.cuda_device import open_device

device = open_device()
stream, memory, ticks = device.stream(), device.allocate(400 << 20), []

def tick():
    while not done:
        ticks.append(perf_counter())
        sleep(0.001)

done = []
thread = Thread(target=tick)
thread.start()
began = perf_counter()
for value in range(4):
    stream.fill(memory, value)
enqueued = perf_counter()
stream.synchronize()
ended = perf_counter()
done.append(1)
thread.join()
print("enqueued", enqueued - began < 0.5 * (ended - began))
print("others ran", sum(enqueued < at < ended for at in ticks) > 3)
"""


def test_stream_returns_at_once_and_other_threads_run_while_one_waits() -> None:
    assert with_stand_in("-c", _WAITS).stdout.splitlines() == ["enqueued True", "others ran True"]
