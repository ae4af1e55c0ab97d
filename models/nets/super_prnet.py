"""Super-PRNet: every connection at once, each with a weight (Shu 2022 §2A, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from qpi_live.models.nets.blocks import (
    LEVEL_STRIDES,
    LEVELS,
    FusedStage,
    RegressionHead,
    conv3x3,
    depth_of,
    ground,
    require_interferogram,
    resize,
)
from qpi_live.models.nets.connections import ALL_CONNECTIONS, Connection
from qpi_live.models.nets.mobilenet_v2 import ENCODER_DEPTHS, MobileNetV2
from torch import Tensor, nn

INITIAL_WEIGHT = 0.5
"""Undecided: the binary loss has no slope there, so the phase loss and the sparsity loss choose the side."""


def source_depth(connection: Connection) -> int:
    """The feature depth of a connection's source."""
    if connection.source == "G":
        return ENCODER_DEPTHS[-1]
    if connection.is_from_decoder:
        return depth_of(connection.source_level)
    return ENCODER_DEPTHS[connection.source_level - 1]


class WeightedConnection(nn.Module):
    """One term of eq. 1 but for its weight: bn(conv(f↓(m))) from a finer source, bn(f↑(conv(m))) from a coarser one."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.shrinks = not connection.is_from_decoder and connection.source_level < connection.target
        depth = depth_of(connection.target)
        self.conv = conv3x3(source_depth(connection), depth, bias=False)
        self.bn = nn.BatchNorm2d(depth)

    def forward(self, feature: Tensor, size: Sequence[int]) -> Tensor:
        """(B, d_l, *size) of a source feature."""
        fitted = self.conv(resize(feature, size)) if self.shrinks else resize(self.conv(feature), size)
        return cast(Tensor, self.bn(fitted))


class SuperPRNet(nn.Module):
    """Phase over 12 rad of an interferogram, through all connections of the search space.

    Shu 2022 §2A: eq. 1, eq. 2 and the regression head over a MobileNet-v2 encoder. With all 100 connections: 11.14 M
    parameters, 14.4 GMAC and 1.35 GB of operator outputs (fp16) at 1024².

    In: (B, 1, H, W) float, interferogram over full scale in [0, 1], H and W multiples of 32. Out: the same shape, phase
    over 12 rad in [0, 1].

    Args:
        connections: the search space; SparseMask's is smaller.

    Raises:
        ValueError: in `forward`, for any other shape.
    """

    def __init__(self, connections: Sequence[Connection] = ALL_CONNECTIONS) -> None:
        super().__init__()
        self.connections = tuple(connections)
        self.encoder = MobileNetV2()
        self.fuse = nn.ModuleDict({connection.name: WeightedConnection(connection) for connection in connections})
        self.stages = nn.ModuleDict({f"D{level}": FusedStage(depth_of(level)) for level in range(1, LEVELS + 1)})
        self.head = RegressionHead()
        self.weights = nn.Parameter(torch.full((len(self.connections),), INITIAL_WEIGHT))
        """W: (connections,) in [0, 1], in the order of `connections`."""

    def forward(self, interferogram: Tensor) -> Tensor:
        """See the class."""
        require_interferogram(interferogram, max(LEVEL_STRIDES))
        size = interferogram.shape[-2:]
        encoded = self.encoder(interferogram)
        features = {f"E{level}": feature for level, feature in enumerate(encoded, start=1)}
        features["G"] = ground(encoded[-1])
        for level in range(LEVELS, 0, -1):
            features[f"D{level}"] = self.stages[f"D{level}"](self._fused(level, features))
        return cast(Tensor, self.head(features["D1"], size))

    def _fused(self, level: int, features: dict[str, Tensor]) -> Tensor:
        """T_l, eq. 1."""
        size = features[f"E{level}"].shape[-2:]
        terms = [
            self.weights[index] * self.fuse[connection.name](features[connection.source], size)
            for index, connection in enumerate(self.connections)
            if connection.target == level
        ]
        return cast(Tensor, sum(terms[1:], start=terms[0]))

    @torch.no_grad()
    def clamp_weights(self) -> None:
        """Bring every connection weight back into [0, 1]; call it after each optimiser step."""
        self.weights.clamp_(0, 1)
