"""`qpi info`: the program's abilities on this machine, and the packages that are missing."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from qpi_live.camera.cores import available_cores
from qpi_live.camera.device import DeviceError
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.source import camera_kinds
from qpi_live.models.engine import EngineOptions, engine_names, open_engine
from qpi_live.models.errors import EngineError
from rich.table import Table

_LIBRARIES = ("numpy", "scipy", "numba", "fastapi", "uvicorn", "websockets")
# What each extra brings, known by the package that the code imports.
_EXTRAS = {
    "camera": ("harvesters", "GenICam cameras (gentl:PATH.cti)"),
    "micromanager": ("pymmcore_plus", "cameras of Micro-Manager (mmcore:CONFIG.cfg)"),
    "files": ("zarr", "OME-Zarr, and HDF5 with foreign filters"),
    "video": ("av", "AVI, MP4, MOV and MKV"),
    "telemetry": ("opentelemetry.sdk", "traces and metrics by OTLP, where OTEL_… asks for them"),
    "train": ("torch", "search, pruning and training of networks"),
    "peers": ("skimage", "peers to measure against"),
}
# What the line on a GPU is made of: packages of which one must be there, what they do, and the command that adds them.
_GPU_PARTS = (
    (("cuda.bindings",), "NVIDIA's binding, which drives the GPU", "pip install 'qpi-live[gpu]'"),
    (("nvidia.cuda_nvrtc", "nvidia.cu13"), "NVRTC, which compiles the kernels", "pip install 'qpi-live[gpu]'"),
    (("tensorrt", "tensorrt_rtx"), "TensorRT, for compiled networks (.trt)", "pip install 'qpi-live[gpu,tensorrt]'"),
)


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing the program may be able to do here; `remedy` says what would make it so, empty where it is."""

    kind: str
    name: str
    is_here: bool
    remedy: str


def abilities() -> list[Ability]:
    """Cameras, engines, extras and the GPU, one by one."""
    found = [Ability("camera", name, not missing, missing) for name, missing in camera_kinds().items()]
    found += [_engine(name) for name in engine_names()]
    for extra, (package, what) in _EXTRAS.items():
        remedy = "" if _is_installed(package) else f"pip install 'qpi-live[{extra}]'"
        found.append(Ability("extra", f"{extra}: {what}", not remedy, remedy))
    return found + _gpu_line()


def machine() -> dict[str, str]:
    """The machine and the versions that matter."""
    facts = {
        "qpi-live": _version("qpi-live"),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "CPU cores": str(available_cores()),
    }
    return facts | {name: _version(name) for name in _LIBRARIES}


def tables() -> list[Table]:
    """Both as tables for a terminal."""
    facts = Table(title="This machine", title_justify="left", show_header=False)
    for name, value in machine().items():
        facts.add_row(name, value)
    can = Table("", "name", "here", "to have it", title="What it can do", title_justify="left")
    for ability in abilities():
        mark = "[green]yes[/]" if ability.is_here else "[yellow]no[/]"
        can.add_row(ability.kind, ability.name, mark, ability.remedy.replace("[", "\\["))
    return [facts, can]


def _engine(name: str) -> Ability:
    try:
        open_engine(name, EngineOptions()).close()
    except EngineError as error:
        return Ability("engine", name, False, str(error))
    return Ability("engine", name, True, "")


def _gpu_line() -> list[Ability]:
    """The GPU, the packages that the line on it needs, and whether all of it works together."""
    gpu = _gpu()
    found = [Ability("GPU", gpu or "NVIDIA", bool(gpu), "" if gpu else "none found; the rest runs without one")]
    for packages, what, remedy in _GPU_PARTS:
        is_here = any(_is_installed(package) for package in packages)
        found.append(Ability("GPU", what, is_here, "" if is_here else remedy))
    try:
        device = open_device().identity
    except DeviceError as error:
        return [*found, Ability("GPU", "line on the GPU", False, str(error))]
    capability = ".".join(map(str, device.compute_capability))
    return [*found, Ability("GPU", f"line on {device.name}, compute {capability}, {device.runtime}", True, "")]


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package it belongs to
        return False


def _gpu() -> str:
    """The names of the NVIDIA GPUs; empty where there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(names.split("\n")).strip(", ")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
