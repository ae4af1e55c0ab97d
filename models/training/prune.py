"""Prunes a searched super-PRNet to the connections that matter, and draws them as the paper's Fig. 3 does."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from qpi_live.models.nets.connections import LEVELS, Connection, live_connections, save_connections, sources_of
from qpi_live.models.nets.nas_prnet import NasPRNet
from qpi_live.models.nets.super_prnet import SuperPRNet, WeightedConnection
from qpi_live.models.training.checkpoint import Checkpoint, CheckpointError
from torch import Tensor

THRESHOLD = 0.5
"""σ of Shu 2022 §2C."""


def prune(checkpoint: Checkpoint, threshold: float = THRESHOLD) -> tuple[Connection, ...]:
    """The connections that survive rules (i)–(iii) of Shu 2022 §2C.

    Raises:
        CheckpointError: the checkpoint is not of a search.
        ValueError: nothing survives.
    """
    if checkpoint.spec.name != "superprnet":
        raise CheckpointError(f"expected a checkpoint of `qpi search`, got one of {checkpoint.spec.name!r}")
    weights = checkpoint.model["weights"].tolist()
    strong = [c for c, weight in zip(checkpoint.spec.connections, weights, strict=True) if weight >= threshold]
    return live_connections(strong)


def lowest_threshold(checkpoint: Checkpoint, at_most: int) -> float:
    """The σ at which as many connections survive as can, but no more than `at_most`: how σ is tuned to a size.

    Raises:
        ValueError: no threshold leaves a network that small.
    """
    for weight in sorted(set(checkpoint.model["weights"].tolist())):
        try:
            count = len(prune(checkpoint, weight))
        except ValueError:
            break
        if count <= at_most:
            return float(weight)
    raise ValueError(f"expected a network of {at_most} connections or fewer, got none from this search; search longer")


def save_pruned(path: Path, checkpoint: Checkpoint, threshold: float = THRESHOLD) -> tuple[Connection, ...]:
    """Prune, and write `path` (JSON, with every weight for the record) and the drawing beside it (`.svg`)."""
    kept = prune(checkpoint, threshold)
    weights = dict(
        zip((c.name for c in checkpoint.spec.connections), checkpoint.model["weights"].tolist(), strict=True)
    )
    asked = checkpoint.record.model_dump(mode="json")
    origin: dict[str, object] = {
        "threshold": threshold,
        "search": {
            "epochs": checkpoint.epoch,
            "samples": checkpoint.samples,
            "elapsed_s": round(checkpoint.elapsed_s),
            "psnr_db": round(checkpoint.best_psnr_db, 2),
            **{key: asked.get(key) for key in ("space", "binary_ratio", "sparsity_ratio", "plan")},
        },
        "weights": {name: round(weight, 4) for name, weight in weights.items()},
    }
    save_connections(path, kept, origin)
    path.with_suffix(".svg").write_text(draw(kept), encoding="utf-8")
    return kept


def inherited_weights(checkpoint: Checkpoint, kept: tuple[Connection, ...]) -> dict[str, Tensor]:
    """What the search has learned, as weights for the NAS-PRNet of the `kept` connections to start from.

    Each kept term w · bn(conv(m)) of eq. 1 is one convolution with a bias, so w and the running bn are folded into it.
    Resizing between the two changes nothing, since both are linear and weights of a bilinear mean sum to one. Encoder,
    stages and head are as they were. What was pruned is missing, which training makes up for.

    Raises:
        CheckpointError: the checkpoint is not of a search.
    """
    net = checkpoint.network()
    if not isinstance(net, SuperPRNet):
        raise CheckpointError(f"expected a checkpoint of `qpi search`, got one of {checkpoint.spec.name!r}")
    pruned = NasPRNet(kept)
    inherited = {name: value for name, value in net.state_dict().items() if name in pruned.state_dict()}
    for connection in pruned.connections:
        term = cast(WeightedConnection, net.fuse[connection.name])
        bn = term.bn
        weight = net.weights[net.connections.index(connection)].detach()
        scale = weight * bn.weight.detach() / torch.sqrt(cast(Tensor, bn.running_var) + bn.eps)
        inherited[f"fuse.{connection.name}.weight"] = term.conv.weight.detach() * scale[:, None, None, None]
        inherited[f"fuse.{connection.name}.bias"] = weight * bn.bias.detach() - scale * cast(Tensor, bn.running_mean)
    return inherited


_COLUMN_PX, _ROW_PX, _BOX_W, _BOX_H = 420, 66, 54, 30
_MARGIN_PX = 50
_ORANGE, _BLUE = "#f4a742", "#6fa8dc"


def draw(connections: tuple[Connection, ...]) -> str:
    """An SVG like the paper's Fig. 3: encoder stages on the left in orange, decoder stages on the right in blue."""
    width = 2 * _MARGIN_PX + _COLUMN_PX + 2 * _BOX_W + 110
    height = 2 * _MARGIN_PX + LEVELS * _ROW_PX + _BOX_H
    arrows = [_arrow(connection) for connection in connections]
    used = {connection.target for connection in connections}
    boxes = [_box(source, *_place(source), _ORANGE) for source in sources_of(LEVELS)]
    boxes += [_box(f"D{level}", *_place(f"D{level}"), _BLUE) for level in sorted(used)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
            *arrows,
            *boxes,
            f'<text x="{_MARGIN_PX}" y="28" font-size="16">{len(connections)} connections</text>',
            "</svg>\n",
        ]
    )


def _place(feature: str) -> tuple[float, float]:
    """Centre of a feature's box, in px: E1 on top, G below E8, each D beside its E."""
    row = LEVELS if feature == "G" else int(feature[1:]) - 1
    x = _MARGIN_PX + _BOX_W / 2 + (_COLUMN_PX if feature.startswith("D") else 0)
    return x, _MARGIN_PX + _BOX_H / 2 + row * _ROW_PX


def _box(label: str, x: float, y: float, fill: str) -> str:
    left, top = x - _BOX_W / 2, y - _BOX_H / 2
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX_W}" height="{_BOX_H}" rx="5" fill="{fill}" stroke="#333"/>'
        f'<text x="{x}" y="{y + 5}" font-size="15" text-anchor="middle">{label}</text>'
    )


def _arrow(connection: Connection) -> str:
    (x0, y0), (x1, y1) = _place(connection.source), _place(f"D{connection.target}")
    style = 'fill="none" stroke="#555" stroke-width="1.2" marker-end="url(#tip)"'
    if connection.is_from_decoder:  # an arc on the right, the wider the longer the way
        bulge = 30 + 16 * (connection.source_level - connection.target)
        right = x0 + _BOX_W / 2
        return f'<path d="M{right} {y0} C{right + bulge} {y0} {right + bulge} {y1} {right} {y1}" {style}/>'
    return f'<path d="M{x0 + _BOX_W / 2} {y0} L{x1 - _BOX_W / 2} {y1}" {style}/>'
