"""The aberration network: tells background from sample on a decimated phase map, block by block.

Of 128 × 128 block means of an unwrapped phase it makes a weight and an estimate of the sample's own phase per block.
The weighted least squares of a polynomial through (phase − estimate) is then the instrument's aberration. Training
goes through that solve, so that the weights serve it and nothing else. No carrier, wavelength or pixel count enters:
one network serves every instrument.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 24, 32, 48, 48)
_GROUPS = 4
_PHASE_SCALE_RAD = 4.0
_STEEPEST = 3.0  # slopes beyond 1 rad a block say no more than `cell edge`


class AberrationNet(nn.Module):
    """A small U-shaped network on 64 × 64 squares of four blocks, 0.1 GMAC and 0.2 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 4 * 4 + 2
        self.down = nn.ModuleList()
        for width in _WIDTHS:
            self.down.append(_Block(inputs, width))
            inputs = width
        self.up = nn.ModuleList(
            [_Block(_WIDTHS[k] + _WIDTHS[k + 1], _WIDTHS[k]) for k in range(len(_WIDTHS) - 2, -1, -1)]
        )
        self.head = nn.Conv2d(_WIDTHS[0], 8, 1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.position: Tensor
        axis = torch.linspace(-1, 1, 64)
        self.register_buffer("position", torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None])

    def forward(self, means: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Judge a map.

        Args:
            means: (B, 1, 128, 128) float32 block means in rad, roughly flattened, 0 where not valid.
            valid: (B, 1, 128, 128) float32, 1 where they mean something, 0 elsewhere.

        Returns:
            (B, 1, 128, 128) float32 natural logarithm of each block's weight, and (B, 1, 128, 128) float32 the sample's
            phase in rad.
        """
        down = (means[:, :, 1:] - means[:, :, :-1]) * valid[:, :, 1:] * valid[:, :, :-1]
        across = (means[..., 1:] - means[..., :-1]) * valid[..., 1:] * valid[..., :-1]
        slopes = [functional.pad(down, (0, 0, 0, 1)), functional.pad(across, (0, 1))]
        steepness = [torch.clamp(3 * slope, -_STEEPEST, _STEEPEST) for slope in slopes]
        x = torch.cat([means / _PHASE_SCALE_RAD, *steepness, 1 - valid], 1)
        x = torch.cat([functional.pixel_unshuffle(x, 2), self.position.expand(len(x), -1, -1, -1)], 1)
        skipped = []
        for level, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if level else x)
            skipped.append(x)
        skipped.pop()
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([skipped.pop(), x], 1))
        x = functional.pixel_shuffle(self.head(x), 2)
        return x[:, 0:1], _PHASE_SCALE_RAD * x[:, 1:2]


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.an = nn.GroupNorm(_GROUPS, outputs)
        self.b = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.GroupNorm(_GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.an(self.a(x)))
        return functional.relu(self.bn(self.b(x)))
