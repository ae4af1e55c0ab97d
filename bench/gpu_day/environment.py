"""What is there: the GPU, its driver, the packages, and `qpi info`. Needs nothing: what is missing is said."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "fastapi",
    "pydantic",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "triton",
    "cuda-bindings",
    "nvidia-cuda-nvrtc",
    "nvidia-cufft",
    "nvidia-cudnn-cu13",
    "cupy-cuda13x",
    "tensorrt",
    "tensorrt-rtx",
    "pycuda",
    "pytest",
)
_ABOUT_GPU = "name,driver_version,memory.total,clocks.max.sm,power.limit,pcie.link.gen.max,pcie.link.width.max"


def main() -> None:
    """Print it; the last line is JSON."""
    found = {
        "python": platform.python_version(),
        "gpu": _gpu(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    found["providers"] = _ask("import onnxruntime as o; print(o.get_available_providers())")
    found["torch"] = _ask("import torch as t; print(t.__version__, t.cuda.is_available(), t.backends.cudnn.version())")
    found["nvcc"] = _run(["nvcc", "--version"]).rpartition("\n")[2]
    print(_run([sys.executable, "-m", "qpi_live.bench.gpu_day.environment", "info"]))
    print(json.dumps(found))


def info() -> None:
    """`qpi info`, without the command being installed."""
    sys.argv = ["qpi", "info"]
    import_module("qpi_live.service.cli.entry").main()


def _gpu() -> str:
    said = _run(["nvidia-smi", f"--query-gpu={_ABOUT_GPU}", "--format=csv,noheader"])
    return said if said else "nvidia-smi says nothing"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _ask(program: str) -> str:
    return _run([sys.executable, "-c", program]).rpartition("\n")[2]


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{Path(command[0]).name}: {error}"
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()


if __name__ == "__main__":
    info() if sys.argv[1:] == ["info"] else main()
