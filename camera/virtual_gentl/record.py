"""Write a recording for the virtual camera to show: `python -m camera.virtual_gentl.record simulated stack.npy`.

The camera shows it when VIRTUAL_GENTL_SOURCE names the file, or its feature VirtualSource does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from qpi_live.camera.errors import CameraError
from qpi_live.camera.frame import Pixels
from qpi_live.camera.source import CameraOptions, open_camera


def record(source: str, frames: int, shape: tuple[int, int] | None) -> Pixels:
    """(N, H, W) grey values of the first `frames` frames of any camera (`simulated`, `replay:PATH`, …).

    Raises:
        CameraError: there is no such camera, or it sends nothing.
    """
    camera = open_camera(source, CameraOptions(shape, frame_rate_hz=0))
    camera.start()
    try:
        taken: list[Pixels] = []
        while len(taken) < frames and (frame := camera.read(60.0)) is not None:
            taken.append(frame.pixels)
    finally:
        camera.stop()
    return np.stack(taken)  # type: ignore[return-value]  # of the frames' own dtype


def main() -> int:
    """Record what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m camera.virtual_gentl.record", description=__doc__)
    parser.add_argument("source", help="simulated, simulated:harsh, replay:PATH or gentl:PATH.cti")
    parser.add_argument("output", type=Path, help="the .npy file to write")
    parser.add_argument("--frames", type=int, default=32, help="how many frames [32]")
    parser.add_argument(
        "--size", type=int, default=1024, help="edge of the frames in pixels; 0: the source's own [1024]"
    )
    asked = parser.parse_args()
    if asked.frames < 1:
        parser.error(f"expected at least one frame, got {asked.frames}")
    try:
        stack = record(asked.source, asked.frames, (asked.size, asked.size) if asked.size else None)
    except CameraError as error:
        print(error, file=sys.stderr)
        return 1
    np.save(asked.output, stack)
    print(f"{asked.output}: {stack.shape[0]} frames of {stack.shape[2]} × {stack.shape[1]} {stack.dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
