"""Times the shipped network by the best runtime at hand: TensorRT, TensorRT-RTX, or ONNX Runtime on the GPU.

Where none of them is there, it says why not of each: the figure is then torch's, which has a step of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from qpi_live.camera.device import Device, DeviceError
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.onnx import SHIPPED, OnnxEngine
from qpi_live.models.errors import EngineError

_CPU = "cpu"


def main(
    work: Annotated[Path, typer.Option(help="Folder for the compiled network.")],
    size: Annotated[int, typer.Option(help="Edge of the frames, in pixels.")] = 1024,
    frames: Annotated[int, typer.Option(help="Frames to time for each figure.")] = 1000,
) -> None:
    """Print it; the last line is JSON."""
    ways: dict[str, Callable[[], str]] = {
        "TensorRT": lambda: _compiled(work, size),
        "ONNX Runtime on the GPU": _onnx_runtime,
    }
    why_not: dict[str, str] = {}
    for way, engine_of in ways.items():
        try:
            engine = engine_of()
        except (EngineError, DeviceError, ModuleNotFoundError, OSError) as error:
            why_not[way] = str(error)
            print(f"{way}: {error}")
            continue
        asked = ["--engine", engine, "--no-peers", "--size", str(size), "--frames", str(frames)]
        raise typer.Exit(subprocess.run([sys.executable, "bench/latency.py", *asked], check=False).returncode)
    print(json.dumps({"runtime": None, "why_not": why_not}))


def _compiled(work: Path, size: int) -> str:
    """The shipped network compiled by TensorRT, or by TensorRT-RTX where that supports the GPU."""
    from qpi_live.models.artifacts.sizes import Sizes  # noqa: PLC0415 - onnx may be missing
    from qpi_live.models.artifacts.tensorrt_library import choose_library  # noqa: PLC0415
    from qpi_live.models.export.compilation import Plan, compile_network  # noqa: PLC0415

    device: Device = open_device()
    capability = device.identity.compute_capability
    library = choose_library(capability, [capability])
    plan = Plan(SHIPPED, work / "nasprnet.trt", None, Sizes.parse(str(size)), (capability,))
    compile_network(plan, library, device, lambda share, step: None)
    return str(plan.out)


def _onnx_runtime() -> str:
    engine = OnnxEngine(EngineOptions())
    identity = engine.identity
    engine.close()
    if identity.device == _CPU:
        raise EngineError(f"{identity.detail['runtime']} runs on the CPU here")
    return "nasprnet"


if __name__ == "__main__":
    typer.run(main)
