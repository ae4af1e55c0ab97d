"""How far the shipped network in torch, in half precision on the GPU, is from itself on ONNX Runtime in float32."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
import typer
from qpi_live.bench.frames import instrument_examples
from qpi_live.bench.timing.engines import open_to_time
from qpi_live.camera.device import DeviceError
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.onnx import SHIPPED, OnnxEngine
from qpi_live.models.errors import EngineError

_FRAMES = 3


def main(size: Annotated[int, typer.Option(help="Edge of the frames, in pixels.")] = 1024) -> None:
    """Print it; the last line is JSON."""
    options = EngineOptions()
    try:
        in_torch = open_to_time(f"torch:{SHIPPED}", options)
    except (EngineError, DeviceError) as error:
        print(f"nothing to compare: {error}")
        raise typer.Exit(2) from error
    reference = OnnxEngine(options, SHIPPED)
    instrument = reference.network.instrument
    assert instrument is not None
    differences = []
    for example in instrument_examples(instrument, "nominal", (size, size), _FRAMES):
        expected, got = (engine.retrieve(example.frame).phase_rad for engine in (reference, in_torch))
        differences.append(got - expected)
    in_torch.close()
    found = {
        "largest_difference_rad": round(float(max(np.abs(one).max() for one in differences)), 5),
        "rms_difference_rad": round(float(np.sqrt(np.mean(np.square(differences)))), 6),
        "runtime": in_torch.identity.detail["runtime"],
        "precision": in_torch.identity.detail["precision"],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    typer.run(main)
