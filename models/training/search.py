"""Searches for the connections: trains super-PRNet and the weights of its connections together (Shu 2022 §2B)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from qpi_live.models.nets.connections import ALL_CONNECTIONS, SPARSEMASK_CONNECTIONS
from qpi_live.models.nets.super_prnet import SuperPRNet
from qpi_live.models.training.checkpoint import Checkpoint, NetSpec
from qpi_live.models.training.loop import TrainingRun
from qpi_live.models.training.loss import BINARY_RATIO, SPARSITY_RATIO, binary_loss, mixed_gradient_error, sparsity_loss
from qpi_live.models.training.plan import TrainingPlan
from torch import Tensor, nn

PRETRAINING_SHARE = 1 / 3
"""100 of the paper's 300 epochs see the phase loss alone."""

SPACES = {"nasprnet": ALL_CONNECTIONS, "sparsemask": SPARSEMASK_CONNECTIONS}


def search(
    folder: Path,
    data: Path,
    plan: TrainingPlan,
    *,
    space: str = "nasprnet",
    binary_ratio: float = BINARY_RATIO,
    sparsity_ratio: float = SPARSITY_RATIO,
    start: dict[str, Tensor] | None = None,
) -> Checkpoint:
    """Train the super-net in `folder` on `data`, going on where it stopped; `best.pt` there is for `qpi prune`.

    The first third makes the phase loss small; from then on it is eq. 3. Only what validates best from then on may
    become `best.pt`: before, the weights have had no reason to take sides.

    Args:
        folder: of the run.
        data: a folder of pairs.
        plan: epochs or minutes, learning rate and so on.
        space: `nasprnet` (100 connections) or `sparsemask` (its smaller space).
        binary_ratio: α.
        sparsity_ratio: β.
        start: encoder weights to start from.

    Raises:
        ValueError: no such space.
    """

    if space not in SPACES:
        raise ValueError(f"expected a space among {', '.join(SPACES)}, got {space!r}")

    def loss(net: nn.Module, phase: Tensor, true_phase: Tensor, progress: float) -> Tensor:
        total = mixed_gradient_error(phase, true_phase)
        if progress >= PRETRAINING_SHARE:
            weights = cast(SuperPRNet, net).weights
            total = total + binary_ratio * binary_loss(weights) + sparsity_ratio * sparsity_loss(weights)
        return total

    record: dict[str, Any] = {
        "step": "search",
        "space": space,
        "binary_ratio": binary_ratio,
        "sparsity_ratio": sparsity_ratio,
    }
    return TrainingRun(
        folder,
        data,
        NetSpec("superprnet", SPACES[space]),
        plan,
        loss,
        after_step=lambda net: cast(SuperPRNet, net).clamp_weights(),
        columns=_weight_columns,
        may_be_best=lambda progress: progress > PRETRAINING_SHARE,
        record=record,
        start=start,
    ).run()


def _weight_columns(net: nn.Module) -> dict[str, float]:
    weights = cast(SuperPRNet, net).weights.detach()
    return {
        "connections_over_half": float((weights >= 0.5).sum()),
        "mean_weight": float(weights.mean()),
        "undecided": float(((weights > 0.1) & (weights < 0.9)).sum()),
    }
