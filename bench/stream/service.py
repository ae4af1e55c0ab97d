"""A real `qpi serve` in a process of its own, on frames of any size."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import typer

_PROGRAM = "from qpi_live.service.cli.main import main; main()"
_CARRIER = (0.11, 0.17)  # cycles per pixel
_FRAMES = 3


@contextmanager
def serving(engine: str, size: int, fps: float, camera: str | None = None) -> Iterator[str]:
    """The address of a service; without a `camera` it replays fringes of this size, in pixels."""
    with tempfile.TemporaryDirectory() as folder:
        source = camera or f"replay:{fringes_file(Path(folder), size)}"
        with running(source, engine, size, fps, "--baseline-fraction", "0") as (_, url):
            yield url


@contextmanager
def running(
    camera: str, engine: str, size: int, fps: float, *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service's process and address."""
    given = ["--camera", camera, "--size", str(size), "--fps", str(fps), "--engine", engine, *options]
    command = [sys.executable, "-c", _PROGRAM, "serve", "--port", "0", *given, "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
            if found is None:
                raise typer.Exit(2)  # the service has said why
            yield process, found[0]
        finally:
            process.terminate()


def fringes_file(folder: Path, size: int) -> Path:
    """A file with fringes over a round cell that moves, as an .npy of (frames, H, W) uint8."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    frames = np.empty((_FRAMES, size, size), np.uint8)
    for number in range(_FRAMES):
        squared = ((y / size - 0.5) ** 2 + (x / size - 0.4 - 0.1 * number) ** 2) * 25
        phase_rad = 4 * np.sqrt(np.clip(1 - squared, 0, None)) + 2 * np.pi * (_CARRIER[0] * y + _CARRIER[1] * x)
        frames[number] = np.rint(127 + 100 * np.cos(phase_rad))
    file = folder / f"fringes-{size}.npy"
    np.save(file, frames)
    return file
