"""A client's view of every frame: its layer, scale and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qpi_live.camera.words import Word

Dtype = Literal["float32", "uint8"]
Masked = Literal["kept", "nan"]


class Layer(Word):
    """What a frame can be shown as."""

    PHASE = "phase", "unwrapped, rad"
    WRAPPED = "wrapped", "modulo 2π, rad"
    INTERFEROGRAM = "interferogram", "the camera's grey values"
    AMPLITUDE = "amplitude", "of the fringes, grey values"
    MASK = "mask", "1 where the fringes are too weak for a phase"
    NETWORK = "network", "what the network beside the measured phase has made last, rad"
    BASELINE = "baseline", "the baseline's phase, rad"
    TRUE = "true", "the phase that a simulated frame was made from, rad"
    GRADIENT = "gradient", "steepness of the phase, rad per pixel"
    DIC = "dic", "what differential interference contrast would show, 0 … 1"
    DARKFIELD = "darkfield", "what a dark field would show, over the mean intensity"
    MEAN = "mean", "of the newest frames, rad"
    CHANGE = "change", "of the mean since the reference, rad"
    FLUCTUATION = "fluctuation", "standard deviation over the newest frames, rad"

    @property
    def unit(self) -> str:
        """The unit of its values."""
        if self in (Layer.MASK, Layer.DIC, Layer.DARKFIELD):
            return "1"
        if self is Layer.GRADIENT:
            return "rad/px"
        return "grey value" if self in (Layer.INTERFEROGRAM, Layer.AMPLITUDE) else "rad"


@dataclass(frozen=True, slots=True)
class View:
    """What someone wants to see of every frame.

    Attributes:
        layer: see `Layer`.
        dtype: `float32` for exact values (an interferogram keeps the camera's uint8 or uint16), `uint8` for a preview
            whose scale and offset stand in the header.
        downscale: edge of the pixel blocks that are averaged into one; what fills no block is left out.
        lo: value that a preview shows as 0; None: from the frame.
        hi: value that a preview shows as 255; None: from the frame.
        masked: what stands in exact phase where the fringes are too weak for one: `kept`, the noise as it is, or `nan`.
        focus_um: by how much the focal plane is moved along the light, in µm.
    """

    layer: Layer = Layer.PHASE
    dtype: Dtype = "float32"
    downscale: int = 1
    lo: float | None = None
    hi: float | None = None
    masked: Masked = "kept"
    focus_um: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", Layer(self.layer))  # its plain word will do
