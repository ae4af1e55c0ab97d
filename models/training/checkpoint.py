"""Checkpoints: a network, what trains it, and where that stands, in a file that is loaded without running code."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, field_validator
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.card import Card, CardError
from qpi_live.models.nets.aberration_net import AberrationNet
from qpi_live.models.nets.connections import Connection
from qpi_live.models.nets.mobilenet_v2 import from_imagenet
from qpi_live.models.nets.nas_prnet import NasPRNet
from qpi_live.models.nets.super_prnet import SuperPRNet
from qpi_live.models.nets.unet import NARROW_WIDTH, UNet
from qpi_live.models.training.pairs import Origin
from torch import Tensor, nn

NETS = ("superprnet", "nasprnet", "sparsemask", "unet", "narrow-unet", "background")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the text says what was expected, what came, and what to do."""


@dataclass(frozen=True, slots=True)
class NetSpec:
    """Which network: its name, one of `NETS`, and its connections where it has any."""

    name: str
    connections: tuple[Connection, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} with {len(self.connections)} connections" if self.connections else self.name

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


class TrainedOn(BaseModel):
    """What a run's pairs said of themselves."""

    shape: tuple[int, int] | None = None
    bit_depth: int
    origin: Origin = Origin()


class RunRecord(BaseModel):
    """What a run was asked to do and on what data; whatever else a kind of run notes is kept.

    Attributes:
        step: `search` or `train`.
        started_from: what the first weights were.
        plan: as asked for.
        data: the pairs of a network for phase retrieval.
        batch_norm_frozen: whether the batch statistics stay as they are.
        cultures: how many cultures a learned background saw.
        tenth_db: the tenth map from below of its last validation, in dB.
    """

    model_config = ConfigDict(extra="allow")

    step: str = "train"
    started_from: str = "random weights"
    plan: dict[str, Any] = {}
    data: TrainedOn | None = None
    batch_norm_frozen: bool = False
    cultures: int = 0
    tenth_db: float = math.nan

    @field_validator("data", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value  # as formats up to 2 had it


class CheckpointCard(Card):
    """The card of a checkpoint: all but its tensors; see `Checkpoint`."""

    FORMAT: ClassVar[str] = "qpi checkpoint 3"
    EARLIER: ClassVar[tuple[str, ...]] = ("qpi checkpoint 2",)
    WHAT: ClassVar[str] = "a checkpoint of `qpi search` or `qpi train`"
    REMEDY: ClassVar[str] = "train again, or take another file"

    net: str
    connections: tuple[str, ...]
    epoch: int
    samples: int
    elapsed_s: float
    psnr_db: float
    best_psnr_db: float
    record: RunRecord


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
        record: what the run was asked to do and on what data.
    """

    spec: NetSpec
    model: dict[str, Tensor]
    optimizer: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    samples: int = 0
    elapsed_s: float = 0.0
    psnr_db: float = float("nan")
    best_psnr_db: float = float("-inf")
    record: RunRecord = field(default_factory=RunRecord)

    def save(self, path: Path) -> None:
        """Write the checkpoint; a kill leaves the old file or the new one, never half of one."""
        card = CheckpointCard(
            net=self.spec.name,
            connections=tuple(connection.name for connection in self.spec.connections),
            epoch=self.epoch,
            samples=self.samples,
            elapsed_s=self.elapsed_s,
            psnr_db=self.psnr_db,
            best_psnr_db=self.best_psnr_db,
            record=self.record,
        )
        document = {"card": card.document(), "model": self.model, "optimizer": self.optimizer}
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
        if not isinstance(document, dict) or not {"model", "optimizer"} <= document.keys():
            raise CheckpointError(f"expected a checkpoint of `qpi search` or `qpi train`, got {path}")
        try:
            card = CheckpointCard.of(document.get("card", document))  # up to format 2 all stood side by side
        except CardError as error:
            raise CheckpointError(f"cannot use {path}: {error}") from error
        return cls(
            spec=NetSpec(card.net, tuple(Connection.named(name) for name in card.connections)),
            model=document["model"],
            optimizer=document["optimizer"],
            epoch=card.epoch,
            samples=card.samples,
            elapsed_s=card.elapsed_s,
            psnr_db=card.psnr_db,
            best_psnr_db=card.best_psnr_db,
            record=card.record,
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


def start_from(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into `net` by name; parts of the net that they do not name keep their random start.

    Raises:
        CheckpointError: a name or a shape that the net has not.
    """
    try:
        unexpected = net.load_state_dict(dict(weights), strict=False).unexpected_keys
    except RuntimeError as error:
        raise CheckpointError(f"expected weights of this network's shapes, got others: {error}") from error
    if unexpected:
        raise CheckpointError(
            f"expected weights of this network, got {len(unexpected)} others, first {unexpected[0]!r}"
        )
