"""The steps of a day on a GPU, in order of worth, each with its own time limit. Standard library only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

BUDGET_S = 480
"""Of the first call: what is left of a short loan is for repairs."""

_GPU_TESTS = (
    "tests/camera/gpu/test_device_contract.py",
    "tests/models/classical/cuda/test_goldstein.py",
    "tests/models/classical/cuda/test_takeda.py",
    "tests/models/engines/test_classical_cuda.py",
    "tests/models/classical/cuda/test_background.py",
    "tests/models/engines/test_chosen_background.py",
    "tests/models/classical/cuda/test_chain.py",
    "tests/camera/gpu/test_gpu_queue.py",
)
_NOT_CORE = "not noise_of_a_whole_frame"  # whose reference on the CPU takes half a minute
_SHIPPED = "models/weights/nasprnet.onnx"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        name: of one word or two.
        what: it finds out.
        limit_s: after which it is ended; None: all the time that is left.
        command: an argument list; `{left_min}` becomes the minutes that are left.
    """

    name: str
    what: str
    limit_s: int | None
    command: tuple[str, ...]


def steps(wheels: Path, out: Path, work: Path, size: int, frames: int, patience: float = 1.0) -> list[Step]:
    """All of them.

    Args:
        wheels: the folder of wheels.
        out: for files that a step writes beside the results.
        work: for what is thrown away.
        size: edge of the frames in pixels.
        frames: to time for each figure.
        patience: times as long as a GPU machine each step may take.
    """
    edge = ("--size", str(size))
    latency = ("bench/latency.py", "--no-peers", *edge)
    many, some = ("--frames", str(frames)), ("--frames", str(max(10, frames // 5)), "--repeats", "2")
    networks = ("--engine", f"torch:{_SHIPPED}", "--engine", "torch:unet")
    own = ("--instrument", "camera/data/glioblastoma.json")  # the network's: on others it rests
    python, site = sys.executable, str(work / "site")
    tests = (python, "-m", "pytest", "-q", "-m", "gpu", "-k", _NOT_CORE, "-p", "no:cacheprovider", *_GPU_TESTS)
    planned = [
        Step("install", "the wheels that are missing", 40, _module("wheels", "--install", site, str(wheels))),
        Step("environment", "GPU, driver, packages, qpi info", 30, _module("environment")),
        Step("compile", "Numba's functions of the CPU's chain, the reference", 75, (python, "docker/precompile.py")),
        Step("kernels", "kernels, queue and chain on the GPU against the CPU", 90, tests),
        Step("classical", "goldstein-cuda", 30, (python, *latency, *many, "--engine", "goldstein-cuda")),
        Step("networks", "NAS-PRNet and U-Net in torch, in one run", 70, (python, *latency, *some, *networks)),
        Step("agreement", "torch in fp16 against ONNX Runtime", 20, _module("agreement", *edge)),
        Step(
            "best runtime",
            "NAS-PRNet by TensorRT, TensorRT-RTX or ONNX Runtime on the GPU, whichever is there",
            45,
            _module("best_runtime", "--work", str(work), *edge, *many),
        ),
        Step("fused", "the fused engine", 25, (python, *latency, *some, *own, "--engine", "fused")),
        Step(
            "overlap",
            "uploads beside the engine's work, as a timeline",
            20,
            _module("timeline", *edge, "--json", str(out / "timeline.json")),
        ),
        Step("host", "what of a frame the host does, and what travels for it", 20, _module("host_share", *edge)),
        Step("training", "the shipped network trained on", None, ("bench/train_on_gpu.sh", str(out), "{left_min}")),
    ]
    return [replace(step, limit_s=None if step.limit_s is None else round(step.limit_s * patience)) for step in planned]


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"qpi_live.bench.gpu_day.{name}", *arguments)


def table(chosen: Sequence[Step], budget_s: int) -> str:
    """The plan with the latest time at which each step begins, in s."""
    lines, at_s = [f"{'begins':>7} {'limit':>7}  step"], 0
    for step in chosen:
        limit_s = max(0, budget_s - at_s) if step.limit_s is None else step.limit_s
        lines.append(f"{at_s:>5} s {limit_s:>5} s  {step.name}: {step.what}")
        at_s += limit_s
    return "\n".join([*lines, f"{at_s:>5} s at most, of {budget_s} s"])
