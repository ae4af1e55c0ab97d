"""What an exported network says of itself, and whether a stream is what it was trained for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot

from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.engine import EngineIdentity, PhaseQuality
from qpi_live.models.errors import EngineUnavailable, InferenceError

FORMAT = "qpi onnx 1"
_CARRIER_TOLERANCE = 0.012  # cycles per pixel, three bins of the middle; 12 rad of tilt across 1024 px are 0.002
_MIDDLE_PX = 256
_REMEDY = " Its phase cannot be trusted here: choose --engine goldstein, or train the network for this instrument."


@dataclass(frozen=True, slots=True)
class NetworkIdentity:
    """The passport of an exported network.

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

    def to_metadata(self) -> dict[str, str]:
        """As the string pairs that an ONNX file holds."""
        return {
            "qpi.format": FORMAT,
            "qpi.net": self.net,
            "qpi.precision": self.precision,
            "qpi.connections": json.dumps(self.connections),
            "qpi.stride": str(self.stride),
            "qpi.shape": json.dumps(self.shape),
            "qpi.bit_depth": str(self.bit_depth),
            "qpi.phase_range_rad": str(self.phase_range_rad),
            "qpi.psnr_db": f"{self.psnr_db:.2f}",
            "qpi.samples": str(self.samples),
            "qpi.trained_s": f"{self.trained_s:.0f}",
            "qpi.instrument": "" if self.instrument is None else self.instrument.to_json(),
            "qpi.commit": self.commit,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> NetworkIdentity:
        """What `to_metadata` wrote.

        Raises:
            EngineUnavailable: the metadata are missing or of another format.
        """
        if metadata.get("qpi.format") != FORMAT:
            raise EngineUnavailable(
                f"expected a network exported by `qpi export` ({FORMAT}), got one that says "
                f"{metadata.get('qpi.format', 'nothing of itself')!r}; export its checkpoint again"
            )
        try:
            shape = json.loads(metadata["qpi.shape"])
            instrument = metadata["qpi.instrument"]
            return cls(
                net=metadata["qpi.net"],
                precision=metadata["qpi.precision"],
                connections=tuple(json.loads(metadata["qpi.connections"])),
                stride=int(metadata["qpi.stride"]),
                shape=None if shape is None else (int(shape[0]), int(shape[1])),
                bit_depth=int(metadata["qpi.bit_depth"]),
                phase_range_rad=float(metadata["qpi.phase_range_rad"]),
                psnr_db=float(metadata["qpi.psnr_db"]),
                samples=int(metadata["qpi.samples"]),
                trained_s=float(metadata["qpi.trained_s"]),
                instrument=Instrument.from_json(instrument) if instrument else None,
                commit=metadata["qpi.commit"],
            )
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise EngineUnavailable(f"expected the metadata of `qpi export`, got damaged ones: {error}") from error

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
