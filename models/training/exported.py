"""The weights in an exported network, to train on from there: what ships is such a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.nets.connections import Connection
from qpi_live.models.training.checkpoint import CheckpointError, NetSpec
from torch import Tensor, nn

_PREFIX = "net."
_FOLDED = "weight_bias"  # what the exporter calls a convolution's share of a folded batch normalisation
_NORM_OF = {"0": "1", "conv": "bn"}  # the last words of a convolution's name and of its normalisation's


def weights_of(path: Path) -> tuple[NetSpec, dict[str, Tensor]]:
    """The network in an ONNX file of `qpi export` in float32, and its weights by name.

    The exporter folds most batch normalisations into the convolutions before them. They come back as ones that take
    nothing off and multiply by one, so that the network is the same; train them with frozen statistics.

    Raises:
        CheckpointError: it is no such file, or not in float32.
        EngineUnavailable: its card is missing or damaged.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors share no base but this one
        raise CheckpointError(f"expected a network of `qpi export` at {path}, got: {error}") from error
    card = NetworkCard.in_metadata({pair.key: pair.value for pair in model.metadata_props})
    if card.precision != "fp32":
        raise CheckpointError(f"expected a network in fp32 to train on from, got {path} in {card.precision}")
    spec = NetSpec(card.net, tuple(Connection.named(name) for name in card.connections))
    found = {
        tensor.name.removeprefix(_PREFIX): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
        if tensor.name.startswith(_PREFIX)
    }
    net = spec.build()
    weights = {name: found[name] for name in net.state_dict() if name in found} | _unfolded(net, found)
    missing = [name for name in net.state_dict() if name not in weights and not name.endswith("num_batches_tracked")]
    if missing:
        raise CheckpointError(
            f"expected all weights of {spec} in {path}, got none for {len(missing)} tensors, first {missing[0]!r}"
        )
    return spec, weights


def _unfolded(net: nn.Module, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    weights: dict[str, Tensor] = {}
    for name, bias in found.items():
        convolution, _, what = name.rpartition(".")
        if what != _FOLDED:
            continue
        room, _, last = convolution.rpartition(".")
        norm = f"{room}.{_NORM_OF[last]}"
        weights |= {
            f"{norm}.weight": torch.full_like(bias, math.sqrt(1 + norms[norm].eps)),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.ones_like(bias),
        }
    return weights
