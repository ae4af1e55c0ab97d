"""The card of an exported network, and its test of a stream against the instrument it was trained for."""

from __future__ import annotations

import json
from math import hypot
from typing import Any, ClassVar

from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.card import Card
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import EngineIdentity, PhaseQuality

_CARRIER_TOLERANCE = 0.012  # cycles per pixel, three bins of the middle; 12 rad of tilt across 1024 px are 0.002
_MIDDLE_PX = 256
_REMEDY = " Its phase cannot be trusted here: choose --engine goldstein, or train the network for this instrument."


class NetworkCard(Card):
    """The card of an exported network.

    Attributes:
        net: `nasprnet`, `unet`, …
        precision: `fp32`, `fp16` or `int8`.
        connections: their names (`E2_D1`), none for a U-Net.
        stride: divides both sides of every frame it takes.
        shape: (H, W) it takes; None: any that `stride` divides.
        bit_depth: of the frames it was trained on.
        phase_range_rad: phases are cut to 0 … this.
        psnr_db: median on validation frames it never trained on.
        samples: training crops it saw.
        trained_s: how long it trained, in s.
        instrument: what it was trained for; None for pairs of unknown origin.
        commit: of the code that exported it.
    """

    FORMAT: ClassVar[str] = "qpi onnx 2"
    EARLIER: ClassVar[tuple[str, ...]] = ("qpi onnx 1",)
    WHAT: ClassVar[str] = "a network exported by `qpi export`"
    REMEDY: ClassVar[str] = "export its checkpoint again"

    net: str
    precision: str
    connections: tuple[str, ...]
    stride: int
    shape: tuple[int, int] | None
    bit_depth: int
    phase_range_rad: float
    psnr_db: float
    samples: int
    trained_s: float
    instrument: Instrument | None
    commit: str

    @classmethod
    def _upgraded(cls, document: dict[str, Any]) -> dict[str, Any]:
        """The first format had a text for each value, JSON for what is no number."""
        parsed = {key: json.loads(document[key] or "null") for key in ("connections", "shape", "instrument")}
        return document | parsed

    def why_not(self, shape: tuple[int, int], bit_depth: int) -> str | None:
        """Why the network cannot take frames of this (H, W) and depth at all; None if it can."""
        height, width = shape
        if self.shape is not None and shape != self.shape:
            return (
                f"expected frames of {self.shape[0]} × {self.shape[1]} px, got {height} × {width}; choose that --size"
            )
        if height % self.stride or width % self.stride:
            return (
                f"expected frames whose height and width {self.stride} divides, got {height} × {width}; "
                "choose such a --size, or --engine goldstein"
            )
        if bit_depth != self.bit_depth:
            return (
                f"expected frames of {self.bit_depth} bit, for which the network was trained, got {bit_depth} bit; "
                "train it on such frames, or choose --engine goldstein"
            )
        return None

    def engine_identity(self, device: str, file: str, precision: str, runtime: str) -> EngineIdentity:
        """Of an engine that runs this network from `file` on `device` by `runtime`, in `precision`."""
        return EngineIdentity(
            self.net,
            "network",
            device,
            self.commit[:12],
            {
                "file": file,
                "precision": precision,
                "connections": len(self.connections),
                "instrument": self.instrument.name if self.instrument else None,
                "validation_psnr_db": self.psnr_db,
                "training_samples": self.samples,
                "phase_range_rad": self.phase_range_rad,
                "runtime": runtime,
            },
        )

    def quality(self, frame: Frame) -> PhaseQuality:
        """With a warning where the frame's fringes are not those the network was trained for; see `mismatch`."""
        difference = self.mismatch(frame)
        return PhaseQuality(warning=difference and difference + _REMEDY)

    def mismatch(self, frame: Frame) -> str | None:
        """How the frame's fringes differ from those the network was trained for, in a sentence; None if they do not.

        The middle of the frame is looked at, which takes a few per cent of the time that the network does.
        """
        if self.instrument is None:
            return None
        trained_fy, trained_fx = self.instrument.fringes.carrier_cycles_per_px
        trained_period = 1 / hypot(trained_fy, trained_fx)
        try:
            found = find_carrier(_middle(frame.pixels))
        except InferenceError:
            return f"The network was trained for fringes of {trained_period:.2f} px; this stream shows none."
        distance = min(hypot(found.fy - s * trained_fy, found.fx - s * trained_fx) for s in (1, -1))
        if distance <= _CARRIER_TOLERANCE:
            return None
        return (
            f"The network was trained for fringes of {trained_period:.2f} px at ({trained_fy:.3f}, {trained_fx:.3f}) "
            f"cycles per pixel; this stream has {found.period_px:.2f} px at ({found.fy:.3f}, {found.fx:.3f})."
        )


def _middle(pixels: Pixels) -> Pixels:
    top, left = (max(0, (edge - _MIDDLE_PX) // 2) for edge in pixels.shape)
    return pixels[top : top + _MIDDLE_PX, left : left + _MIDDLE_PX]
