"""The pieces that all phase networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 8
"""L of the paper: encoder features E₁ … E₈ and decoder features D₁ … D₈."""

LEVEL_STRIDES = (2, 4, 8, 16, 16, 32, 32, 32)
"""One pixel of E_l and D_l in pixels of the interferogram."""

DECODER_DEPTHS = tuple(min(256, 8 * level) for level in range(1, LEVELS + 1))
"""d_l = min(256, 8·l), Shu 2022 §2A."""

GROUND_SIZE = 3
"""The ground feature G is a 3×3 average pool."""


def depth_of(level: int) -> int:
    """The feature depth d_l of decoder stage `level`, 1 … 8."""
    return DECODER_DEPTHS[level - 1]


def conv3x3(channels_in: int, channels_out: int, *, bias: bool) -> nn.Conv2d:
    """The paper's conv(): 3×3, stride 1, size kept."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)


def resize(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear f↑ or f↓ to (H, W) `size`; the feature itself where it has that size already."""
    if tuple(feature.shape[-2:]) == tuple(size):
        return feature
    return functional.interpolate(feature, size=list(size), mode="bilinear", align_corners=False)


def ground(feature: Tensor) -> Tensor:
    """G: the average pool of (B, C, H, W) to 3×3, as slices and means (Shu 2022 §2A).

    The cells are those of `adaptive_avg_pool2d`, from ⌊iH/3⌋ to ⌈(i+1)H/3⌉. Written out because that operator, at sizes
    that three does not divide, is exported as a graph some runtimes refuse.
    """
    height, width = feature.shape[-2:]
    rows = []
    for row in range(GROUND_SIZE):
        top, bottom = _cell(row, height)
        cells = []
        for column in range(GROUND_SIZE):
            left, right = _cell(column, width)
            cells.append(feature[:, :, top:bottom, left:right].mean(dim=(2, 3), keepdim=True))
        rows.append(torch.cat(cells, dim=3))
    return torch.cat(rows, dim=2)


def _cell(index: int, size: int) -> tuple[int, int]:
    # The ceiling is written without negative numbers: exported with a size left open, a division rounds towards zero.
    return index * size // GROUND_SIZE, ((index + 1) * size + GROUND_SIZE - 1) // GROUND_SIZE


def require_interferogram(interferogram: Tensor, stride: int) -> None:
    """Refuse what no network here can take.

    Raises:
        ValueError: not (B, 1, H, W), or a side is not a positive multiple of `stride`.
    """
    if interferogram.dim() != 4 or interferogram.shape[1] != 1:
        raise ValueError(f"expected interferograms of shape (B, 1, H, W), got {tuple(interferogram.shape)}")
    height, width = interferogram.shape[-2:]
    if height % stride or width % stride or not height or not width:
        raise ValueError(
            f"expected a height and a width that {stride} divides, got {height}×{width}; "
            f"crop or pad to {max(stride, height // stride * stride)}×{max(stride, width // stride * stride)}"
        )


class FusedStage(nn.Module):
    """Eq. 2: D_l = ReLU6(bn(conv(ReLU6(T_l)))), (B, d_l, H_l, W_l) to the same shape."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv = conv3x3(depth, depth, bias=False)
        self.bn = nn.BatchNorm2d(depth)

    def forward(self, fused: Tensor) -> Tensor:
        """D_l of the fused feature T_l."""
        return functional.relu6(cast(Tensor, self.bn(self.conv(functional.relu6(fused)))))


class RegressionHead(nn.Module):
    """D₁ to one channel of the interferogram's size in [0, 1]: conv 8→1, bilinear, ReLU6/6 (Shu 2022 §2A)."""

    def __init__(self, depth: int = DECODER_DEPTHS[0]) -> None:
        super().__init__()
        self.conv = conv3x3(depth, 1, bias=True)
        # ReLU6 has no slope below 0: a start at zero could leave whole frames, and so the head, without a gradient.
        nn.init.constant_(cast(nn.Parameter, self.conv.bias), 0.5)

    def forward(self, feature: Tensor, size: Sequence[int]) -> Tensor:
        """(B, 1, H, W) phase over 12 rad for `size` = (H, W)."""
        return functional.relu6(resize(self.conv(feature), size)) / 6
