"""What someone wants to see of every frame: which layer, at what scale, in which dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layer = Literal["phase", "wrapped", "interferogram", "baseline", "true"]
Dtype = Literal["float32", "uint8"]


@dataclass(frozen=True, slots=True)
class View:
    """What someone wants to see of every frame.

    Attributes:
        layer: `phase` (unwrapped, rad), `wrapped` (modulo 2π, rad), `interferogram` (the camera's grey values),
            `baseline` (the baseline's phase, rad) or `true` (the phase that a simulated frame was made from, rad).
        dtype: `float32` for exact values (an interferogram keeps the camera's uint8 or uint16), `uint8` for a preview
            whose scale and offset stand in the header.
        downscale: edge of the pixel blocks that are averaged into one; what fills no block is left out.
        lo: value that a preview shows as 0; None: from the frame.
        hi: value that a preview shows as 255; None: from the frame.
    """

    layer: Layer = "phase"
    dtype: Dtype = "float32"
    downscale: int = 1
    lo: float | None = None
    hi: float | None = None
