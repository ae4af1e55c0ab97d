"""The reports of all benches: percentiles, machine and versions beside each figure, one JSON line at the end."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import typer
from qpi_live.camera.cores import available_cores
from rich.console import Console
from rich.table import Table

STATISTICS = ("min", "mean", "p50", "p90", "p95", "p99", "max")
_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "fastapi",
    "uvicorn",
    "onnxruntime",
    "torch",
    "pycuda",
    "tensorrt",
    "tensorrt-rtx",
    "scikit-image",
    "qpretrieve",
    "kamui",
)
# Without markup: in square brackets are extras to install and names of files, which would vanish as styles.
# Options that several benches take.
JsonFile = Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")]
ScratchFolder = Annotated[Path | None, typer.Option(help="Folder on the disk to measure; a temporary one.")]
console = Console(width=None if os.environ.get("COLUMNS") else 118, markup=False)


def summarise(took_ms: Sequence[float]) -> dict[str, float]:
    """`STATISTICS` of some times in ms, to a microsecond."""
    p50, p90, p95, p99 = np.percentile(took_ms, (50, 90, 95, 99))
    values = (min(took_ms), float(np.mean(took_ms)), p50, p90, p95, p99, max(took_ms))
    return {name: round(float(value), 3) for name, value in zip(STATISTICS, values, strict=True)}


def latency_table(title: str, rows: Mapping[str, Mapping[str, float]], floors_ms: Mapping[str, float]) -> Table:
    """A table of `summarise`d times, with the physical floor beside each row that has one."""
    table = Table(title=title, title_justify="left")
    table.add_column("ms")
    for name in (*STATISTICS, "floor"):
        table.add_column(name, justify="right")
    for name, statistics in rows.items():
        floor = floors_ms.get(name)
        cells = [_ms(statistics[column]) for column in STATISTICS]
        table.add_row(name, *cells, "" if floor is None else _ms(floor))
    return table


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
    }


def versions() -> dict[str, str]:
    """Python's version and those of the packages that matter to a figure."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peers_or_none() -> ModuleType | None:
    """The module `bench.peers`, or None and a line that says how to get it."""
    try:
        return import_module("qpi_live.bench.peers")
    except ModuleNotFoundError as missing:
        console.print(
            f"{missing.name} is missing, so the peers are left out: pip install 'qpi-live[peers]'", soft_wrap=True
        )
        return None


def finish(result: Mapping[str, Any], json_file: Path | None) -> None:
    """Print the machine, the versions and, last, the whole result as one JSON line; also write it to `json_file`."""
    document = {**result, "machine": machine(), "versions": versions()}
    about = document["machine"]
    console.print(f"{about['cpu']}, {about['cores']} cores, {about['system']}, commit {about['commit']}")
    console.print(", ".join(f"{name} {number}" for name, number in document["versions"].items()))
    line = json.dumps(document, allow_nan=False)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(line + "\n")
    print(line, flush=True)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The checkout's commit, with a + where files differ from it; `unknown` outside of a checkout."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
