"""Checkpoints: a network, what trains it, and where that stands, in a file that is loaded without running code."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.nets.aberration_net import AberrationNet
from qpi_live.models.nets.connections import Connection
from qpi_live.models.nets.mobilenet_v2 import from_imagenet
from qpi_live.models.nets.nas_prnet import NasPRNet
from qpi_live.models.nets.super_prnet import SuperPRNet
from qpi_live.models.nets.unet import NARROW_WIDTH, UNet
from torch import Tensor, nn

_FORMAT = "qpi checkpoint 2"
NETS = ("superprnet", "nasprnet", "sparsemask", "unet", "narrow-unet", "background")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the text says what was expected, what came, and what to do."""


@dataclass(frozen=True, slots=True)
class NetSpec:
    """Which network: its name, one of `NETS`, and its connections where it has any."""

    name: str
    connections: tuple[Connection, ...] = ()

    def build(self) -> nn.Module:
        """The network, freshly initialised from torch's random state.

        Raises:
            CheckpointError: no such network.
        """
        if self.name == "superprnet":
            return SuperPRNet(self.connections)
        if self.name in ("nasprnet", "sparsemask"):
            return NasPRNet(self.connections)
        if self.name == "unet":
            return UNet()
        if self.name == "narrow-unet":
            return UNet(NARROW_WIDTH)
        if self.name == "background":
            return AberrationNet()
        raise CheckpointError(f"expected a network among {', '.join(NETS)}, got {self.name!r}")


@dataclass(slots=True)
class Checkpoint:
    """All that a run needs to go on, or an export to begin.

    Attributes:
        spec: the network.
        model: its state dict.
        optimizer: the optimiser's state dict.
        epoch: epochs done.
        samples: training crops seen.
        elapsed_s: time trained, in s.
        psnr_db: median over the last validation's frames, on the 0–12 rad scale.
        best_psnr_db: the best of the run so far.
        record: what the run was asked to do and on what data, for people and model cards.
    """

    spec: NetSpec
    model: dict[str, Tensor]
    optimizer: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    samples: int = 0
    elapsed_s: float = 0.0
    psnr_db: float = float("nan")
    best_psnr_db: float = float("-inf")
    record: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint; a kill leaves the old file or the new one, never half of one."""
        document = {
            "format": _FORMAT,
            "net": self.spec.name,
            "connections": [connection.name for connection in self.spec.connections],
            "model": self.model,
            "optimizer": self.optimizer,
            "epoch": self.epoch,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "psnr_db": self.psnr_db,
            "best_psnr_db": self.best_psnr_db,
            "record": self.record,
        }
        with whole_file(path) as written:
            torch.save(document, written)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint onto the CPU.

        Raises:
            CheckpointError: the file is missing, damaged, or holds anything but tensors and plain values.
        """
        try:
            document = torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise CheckpointError(f"expected a checkpoint at {path}, got: {error.strerror}") from error
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"expected a checkpoint of `qpi search` or `qpi train` at {path}, got a file that is damaged or holds "
                "more than tensors and plain values; it was not loaded"
            ) from error
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise CheckpointError(f"expected a checkpoint of `qpi search` or `qpi train`, got {path}")
        return cls(
            spec=NetSpec(document["net"], tuple(Connection.named(name) for name in document["connections"])),
            **{key: document[key] for key in _PLAIN},
        )

    def network(self) -> nn.Module:
        """The trained network in evaluation mode, on the CPU."""
        net = self.spec.build()
        net.load_state_dict(self.model)
        return net.eval()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Weights to start from: a checkpoint's, a bare state dict's, or torchvision's mobilenet_v2 for the encoder.

    Raises:
        CheckpointError: the file holds anything but tensors and plain values, or no tensors by name.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"expected weights at {path}, got a file that holds more than tensors") from error
    weights = loaded.get("model", loaded) if isinstance(loaded, dict) else None
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"expected a state dict or a checkpoint of `qpi train` at {path}, got something else")
    if any(name.startswith("features.") for name in weights):
        return {f"encoder.{name}": value for name, value in from_imagenet(weights).items()}
    return dict(weights)


_PLAIN = ("model", "optimizer", "epoch", "samples", "elapsed_s", "psnr_db", "best_psnr_db", "record")
