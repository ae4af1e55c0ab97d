"""A stand-in for NVIDIA's driver library: the real binding calls it, and it runs the kernels' own source on the host.

    python -m tests.cuda_host.stand_in qpi info
    python -m tests.cuda_host.stand_in bench/gpu_day.sh WHEELS OUT

What a program makes of the binding's answers is tested so, in a process of its own: which function it calls with what,
whether a context is current, whether it waits. What only a GPU does is not.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import platformdirs
from qpi_live.camera.device import DeviceError

HERE = Path(__file__).parent
_FLAGS = ("-std=c++20", "-O2", "-Wall", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libcuda.so.1")


def environment() -> dict[str, str]:
    """The environment of a process that meets the stand-in; builds it, unless that was done before."""
    folder = _built()
    root = HERE.parents[2]
    paths = {
        "LD_LIBRARY_PATH": [str(folder), os.environ.get("LD_LIBRARY_PATH", "")],
        "PYTHONPATH": [str(HERE / "site"), str(root), os.environ.get("PYTHONPATH", "")],
    }
    joined = {name: os.pathsep.join(filter(None, places)) for name, places in paths.items()}
    return {**os.environ, **joined, "QPI_STAND_IN_DRIVER": str(folder / "libcuda.so.1")}


def _built() -> Path:
    source = HERE / "driver.cpp"
    key = hashlib.sha256("\0".join([source.read_text(), *_FLAGS]).encode()).hexdigest()[:24]
    folder = Path(platformdirs.user_cache_dir("qpi-live")) / "host-kernels" / f"driver-{key}"
    library = folder / "libcuda.so.1"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half_done = folder / f"{os.getpid()}.part"
        command = ["g++", *_FLAGS, str(source), "-o", str(half_done)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise DeviceError(f"{source.name} does not compile: {done.stderr}")
        half_done.replace(library)
    return folder
