"""NAS-PRNet: what pruning leaves of super-PRNet (Shu 2022 §2C)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

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
from qpi_live.models.nets.connections import Connection, live_connections
from qpi_live.models.nets.mobilenet_v2 import MobileNetV2
from qpi_live.models.nets.super_prnet import source_depth
from torch import Tensor, nn


class NasPRNet(nn.Module):
    """Phase over 12 rad of an interferogram, through a sparse set of connections.

    Shu 2022 §2C: eq. 5 (no weights, no normalisation before the sum), eq. 2 and the regression head over a MobileNet-v2
    encoder. With 39 connections as the paper's: 5.0 M parameters, 9.4 GMAC (the encoder 6.1) and 0.95 GB of operator
    outputs (fp16) at 1024². The exact figures depend on which connections they are.

    In: (B, 1, H, W) float, interferogram over full scale in [0, 1]. H and W are multiples of 32 (16 or less where
    nothing starts at E6 or deeper). Out: the same shape, phase over 12 rad in [0, 1].

    Args:
        connections: any set that reaches D1; connections and stages that do not are dropped by the pruning rules.

    Raises:
        ValueError: nothing reaches D1, or in `forward`, a shape that the strides do not allow.
    """

    def __init__(self, connections: Iterable[Connection]) -> None:
        super().__init__()
        self.connections = live_connections(connections)
        deepest_encoder = max(min(c.source_level, LEVELS) for c in self.connections if not c.is_from_decoder)
        self.levels = tuple(sorted({c.target for c in self.connections}, reverse=True))
        self.encoder = MobileNetV2(max(deepest_encoder, self.levels[0]))
        self.fuse = nn.ModuleDict(
            {c.name: conv3x3(source_depth(c), depth_of(c.target), bias=True) for c in self.connections}
        )
        self.stages = nn.ModuleDict({f"D{level}": FusedStage(depth_of(level)) for level in self.levels})
        self.head = RegressionHead()

    def forward(self, interferogram: Tensor) -> Tensor:
        """See the class."""
        require_interferogram(interferogram, LEVEL_STRIDES[len(self.encoder.stages) - 1])
        size = interferogram.shape[-2:]
        encoded = self.encoder(interferogram)
        features = {f"E{level}": feature for level, feature in enumerate(encoded, start=1)}
        if any(c.source == "G" for c in self.connections):
            features["G"] = ground(encoded[-1])
        for level in self.levels:
            features[f"D{level}"] = self.stages[f"D{level}"](self._fused(level, features))
        return cast(Tensor, self.head(features["D1"], size))

    def _fused(self, level: int, features: dict[str, Tensor]) -> Tensor:
        """T′_l, eq. 5. Bilinear resizing is linear: what comes from one resolution is summed first and resized once."""
        size = features[f"E{level}"].shape[-2:]
        sums: dict[int, Tensor] = {}
        for connection in self.connections:
            if connection.target != level:
                continue
            feature = features[connection.source]
            if not connection.is_from_decoder and connection.source_level < level:
                feature = resize(feature, size)
            term = self.fuse[connection.name](feature)
            stride = _stride_of_term(connection)
            sums[stride] = sums[stride] + term if stride in sums else term
        resized = [resize(feature, size) for feature in sums.values()]
        return sum(resized[1:], start=resized[0])


def _stride_of_term(connection: Connection) -> int:
    """One pixel of a connection's term in pixels of the interferogram; 0 for the ground feature's, whose size is fixed.

    Known without a frame. A term's size would do as well, but is a symbol while a network is exported for any size.
    """
    if connection.source == "G":
        return 0
    level = connection.source_level
    return LEVEL_STRIDES[(level if connection.is_from_decoder else max(level, connection.target)) - 1]
