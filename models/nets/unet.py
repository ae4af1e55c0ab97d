"""U-Net, the rival (Ronneberger et al. 2015), in the size the paper gives, and one of NAS-PRNet's arithmetic."""

from __future__ import annotations

from typing import cast

import torch
from qpi_live.models.nets.blocks import require_interferogram
from torch import Tensor, nn
from torch.nn import functional

PAPER_WIDTH = 64
NARROW_WIDTH = 6
_DOUBLINGS = 4


class UNet(nn.Module):
    """Phase over 12 rad of an interferogram, by U-Net with the same ReLU6/6 output as the others.

    Shu 2022 §3A (its reference 30). The reading nearest to the paper's 37.7 M has base width 64, batch normalisation
    and 2×2 transposed convolutions that keep the channel count. It has 36.96 M parameters, 958 GMAC and 4.4 GB of
    operator outputs (fp16) at 1024². Width 6 (`narrow`) has NAS-PRNet's arithmetic: 0.33 M parameters, 8.5 GMAC at
    1024².

    In: (B, 1, H, W) float, interferogram over full scale in [0, 1], H and W multiples of 16. Out: the same shape, phase
    over 12 rad in [0, 1].

    Args:
        width: channels of the first level; each of the four levels below doubles them.

    Raises:
        ValueError: in `forward`, for any other shape.
    """

    def __init__(self, width: int = PAPER_WIDTH) -> None:
        super().__init__()
        depths = [width * 2**level for level in range(_DOUBLINGS + 1)]
        self.down = nn.ModuleList(
            [_double_conv(depth_in, depth) for depth_in, depth in zip([1, *depths], depths, strict=False)]
        )
        self.up = nn.ModuleList([nn.ConvTranspose2d(depth, depth, 2, stride=2) for depth in depths[:0:-1]])
        self.merge = nn.ModuleList([_double_conv(3 * depth, depth) for depth in depths[-2::-1]])
        self.head = nn.Conv2d(width, 1, 1)
        nn.init.constant_(cast(nn.Parameter, self.head.bias), 0.5)

    def forward(self, interferogram: Tensor) -> Tensor:
        """See the class."""
        require_interferogram(interferogram, 2**_DOUBLINGS)
        skipped: list[Tensor] = []
        feature = interferogram
        for level, convs in enumerate(self.down):
            feature = convs(functional.max_pool2d(feature, 2) if level else feature)
            skipped.append(feature)
        skipped.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            feature = merge(torch.cat([skipped.pop(), up(feature)], dim=1))
        return functional.relu6(cast(Tensor, self.head(feature))) / 6


def _double_conv(depth_in: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (depth_in, depth):
        layers += [nn.Conv2d(channels, depth, 3, padding=1, bias=False), nn.BatchNorm2d(depth), nn.ReLU()]
    return nn.Sequential(*layers)
