"""Trains a network for phase retrieval, with the phase loss alone (Shu 2022 §3A)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from models.checkpoint import Checkpoint, NetSpec
from models.loss import mixed_gradient_error
from models.training import TrainingPlan, TrainingRun


def train(
    folder: Path,
    data: Path,
    spec: NetSpec,
    plan: TrainingPlan,
    *,
    start: dict[str, Tensor] | None = None,
    started_from: str = "random weights",
) -> Checkpoint:
    """Train `spec` in `folder` on `data`, going on where it stopped; `best.pt` there validated best.

    Args:
        folder: of the run.
        data: a folder of pairs.
        spec: which network, with its connections.
        plan: epochs or minutes, learning rate and so on.
        start: weights to start from, by name.
        started_from: what those are, for the record.
    """

    def loss(_net: nn.Module, phase: Tensor, true_phase: Tensor, _progress: float) -> Tensor:
        return mixed_gradient_error(phase, true_phase)

    return TrainingRun(
        folder, data, spec, plan, loss, record={"step": "train", "started_from": started_from}, start=start
    ).run()
