"""Times a checkpoint in torch, eager, and prints the times in ms as one JSON line. `bench/latency.py` runs it.

A process of its own, because what is compared is also how its C library gets memory, which is set before it starts.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import typer
from qpi_live.models.export.onnx_file import GreyToPhase
from qpi_live.models.training.checkpoint import Checkpoint

_WARM_UP = 3


def main(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt of `qpi train`.")],
    frames: Annotated[Path, typer.Argument(help="(N, H, W) grey values, .npy.")],
    count: Annotated[int, typer.Option(min=1, help="Frames to time.")] = 20,
    channels_last: Annotated[bool, typer.Option(help="Keep activations in that layout.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads, else all.")] = None,
) -> None:
    """Time it."""
    if threads:
        torch.set_num_threads(threads)
    pixels = np.load(frames)
    net = GreyToPhase(Checkpoint.load(checkpoint).network(), 8 * pixels.dtype.itemsize).eval()
    if channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    took_ms = []
    with torch.inference_mode():
        for number in range(count + _WARM_UP):
            start = perf_counter()
            net(torch.from_numpy(pixels[number % len(pixels)])).numpy()
            took_ms.append((perf_counter() - start) * 1e3)
    print(json.dumps(took_ms[_WARM_UP:]))


if __name__ == "__main__":
    typer.run(main)
