"""MobileNet-v2 as an encoder of eight feature levels (Sandler et al. 2018, table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from qpi_live.models.nets.blocks import LEVELS
from torch import Tensor, nn

ENCODER_DEPTHS = (16, 24, 32, 64, 96, 160, 320, 1280)
"""Channels of E₁ … E₈."""

_STEM_DEPTH = 32
_EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
_REPEATS = (1, 2, 3, 4, 3, 3, 1)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)


class MobileNetV2(nn.Module):
    """E₁ … E_levels of a one-channel interferogram, at strides 2, 4, 8, 16, 16, 32, 32, 32.

    The features are the seven bottleneck stages' outputs and the last 1×1 convolution's. All eight levels: 2,223,296
    parameters; at 1024²: 6.13 GMAC.

    Args:
        levels: how many of the eight are made; what lies deeper is not built.
    """

    def __init__(self, levels: int = LEVELS) -> None:
        super().__init__()
        if not 1 <= levels <= LEVELS:
            raise ValueError(f"expected 1 … {LEVELS} encoder levels, got {levels}")
        self.stem = _conv_bn(1, _STEM_DEPTH, kernel=3, stride=2)
        stages: list[nn.Module] = []
        depth = _STEM_DEPTH
        settings = zip(ENCODER_DEPTHS, _EXPANSIONS, _REPEATS, _STRIDES, strict=False)
        for depth_out, expansion, repeats, stride in list(settings)[:levels]:
            blocks = []
            for repeat in range(repeats):
                blocks.append(InvertedResidual(depth, depth_out, expansion, stride if repeat == 0 else 1))
                depth = depth_out
            stages.append(nn.Sequential(*blocks))
        if levels == LEVELS:
            stages.append(_conv_bn(depth, ENCODER_DEPTHS[-1], kernel=1))
        self.stages = nn.ModuleList(stages)

    def forward(self, interferogram: Tensor) -> list[Tensor]:
        """[E₁, E₂, …] of (B, 1, H, W) in [0, 1]."""
        features = []
        feature = self.stem(interferogram)
        for stage in self.stages:
            feature = stage(feature)
            features.append(feature)
        return features


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise, linear 1×1 projection; added to its input where shapes allow."""

    def __init__(self, depth_in: int, depth_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = depth_in * expansion
        layers: list[nn.Module] = [_conv_bn(depth_in, hidden, kernel=1)] if expansion != 1 else []
        layers.append(_conv_bn(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers.append(_conv_bn(hidden, depth_out, kernel=1, activate=False))
        self.layers = nn.Sequential(*layers)
        self.adds_input = stride == 1 and depth_in == depth_out

    def forward(self, feature: Tensor) -> Tensor:
        """(B, depth_in, H, W) to (B, depth_out, H/stride, W/stride)."""
        out = cast(Tensor, self.layers(feature))
        return feature + out if self.adds_input else out


def from_imagenet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `mobilenet_v2` state dict under this encoder's names; the three colours of its first layer summed.

    Both list the same layers in the same order, so they are matched by place, and the shapes are checked.

    Raises:
        ValueError: the weights are of another network.
    """
    theirs = [value for name, value in weights.items() if not name.startswith("classifier.")]
    ours = MobileNetV2().state_dict()
    if len(theirs) != len(ours):
        raise ValueError(f"expected the {len(ours)} tensors of torchvision's mobilenet_v2, got {len(theirs)}")
    theirs[0] = theirs[0].sum(dim=1, keepdim=True)
    for (name, mine), value in zip(ours.items(), theirs, strict=True):
        if mine.shape != value.shape:
            raise ValueError(f"expected a tensor of {tuple(mine.shape)} for {name}, got {tuple(value.shape)}")
    return dict(zip(ours, theirs, strict=True))


def _conv_bn(
    depth_in: int, depth_out: int, *, kernel: int, stride: int = 1, groups: int = 1, activate: bool = True
) -> nn.Sequential:
    conv = nn.Conv2d(depth_in, depth_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(depth_out), *([nn.ReLU6()] if activate else []))
