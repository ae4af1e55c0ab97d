"""The same network in torch, eager, as people run it: each way in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qpi_live.bench.report import console
from qpi_live.camera.frame import Frame

# The C library keeps large blocks instead of giving them back to the system after each layer.
_TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": "268435456"}
_WAYS: dict[str, tuple[dict[str, str], list[str]]] = {
    "torch eager": ({}, []),
    "torch eager, malloc tuned": (_TUNED, []),
    "torch eager, malloc tuned, channels last": (_TUNED, ["--channels-last"]),
}


def torch_times_ms(
    checkpoint: Path, frames: Sequence[Frame], count: int, threads: int | None
) -> dict[str, list[float]]:
    """What each way takes for each of `count` frames, in ms; a way that fails is named and left out."""
    times_ms: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        pixels = Path(scratch) / "frames.npy"
        np.save(pixels, np.stack([frame.pixels for frame in frames]))
        for name, (environment, flags) in _WAYS.items():
            command = [
                sys.executable,
                "-m",
                "qpi_live.bench.timing.torch_peer",
                str(checkpoint),
                str(pixels),
                "--count",
                str(count),
            ]
            command += [*flags, *(["--threads", str(threads)] if threads else [])]
            done = subprocess.run(
                command,
                env={**os.environ, **environment},
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                console.print(f"{name} is left out: {last}", style="red")
                continue
            times_ms[name] = json.loads(done.stdout.splitlines()[-1])
    return times_ms
