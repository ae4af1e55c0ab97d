"""Trains a network for phase retrieval, with a phase loss alone (Shu 2022 §3A)."""

from __future__ import annotations

from pathlib import Path

from qpi_live.models.training.checkpoint import Checkpoint, NetSpec
from qpi_live.models.training.loop import TrainingRun
from qpi_live.models.training.loss import mixed_gradient_error, root_mixed_gradient_error
from qpi_live.models.training.plan import TrainingPlan
from torch import Tensor, nn

PHASE_LOSSES = {"mixge": mixed_gradient_error, "root-mixge": root_mixed_gradient_error}


def train(
    folder: Path,
    data: Path,
    spec: NetSpec,
    plan: TrainingPlan,
    *,
    start: dict[str, Tensor] | None = None,
    started_from: str = "random weights",
    phase_loss: str = "mixge",
) -> Checkpoint:
    """Train `spec` in `folder` on `data`, going on where it stopped; `best.pt` there validated best.

    Args:
        folder: of the run.
        data: a folder of pairs.
        spec: which network, with its connections.
        plan: epochs or minutes, learning rate and so on.
        start: weights to start from, by name.
        started_from: what those are, for the record.
        phase_loss: `mixge`, the paper's, or `root-mixge`, for pairs of mixed conditions.

    Raises:
        ValueError: no such loss.
    """
    if phase_loss not in PHASE_LOSSES:
        raise ValueError(f"expected a loss among {', '.join(PHASE_LOSSES)}, got {phase_loss!r}")
    measure = PHASE_LOSSES[phase_loss]

    def loss(_net: nn.Module, phase: Tensor, true_phase: Tensor, _progress: float) -> Tensor:
        return measure(phase, true_phase)

    record = {"step": "train", "started_from": started_from, "loss": phase_loss}
    return TrainingRun(folder, data, spec, plan, loss, record=record, start=start).run()
