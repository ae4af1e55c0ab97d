"""Trains the learned background on rendered cultures, through the least squares that its weights are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.random import default_rng
from qpi_live.models.classical.block_map import EDGE, RIDGE, SETTLING_RAD, SETTLING_RIDGE, SETTLING_ROUNDS
from qpi_live.models.training.background_maps import GRID, BackgroundSample, draw
from qpi_live.models.training.checkpoint import Checkpoint, NetSpec, RunRecord, start_from
from qpi_live.models.training.cultures import CultureSet
from qpi_live.models.training.loss import finite
from qpi_live.models.training.plan import learning_rate
from qpi_live.models.training.run_folder import RunFolder, epoch_bar
from torch import Tensor, nn

SPEC = NetSpec("background")
_SMALLEST_RAD = 0.01  # errors below it count as none, so that easy maps do not take the gradient
_PHASE_SHARE = 0.5
_AVERAGED_STEPS = 1000
_FULL_SCALE_RAD = 12.0


@dataclass(frozen=True, slots=True)
class BackgroundPlan:
    """How the learned background is trained.

    Attributes:
        epochs: how many epochs; with `minutes` set, at most.
        minutes: time to train in all, over every resumption; None: until the epochs are done.
        steps: optimiser steps an epoch, after which there is a validation and a checkpoint.
        batch: maps a step.
        learning_rate: of AdamW, at its highest; falls to nothing along a cosine.
        warm_up: part of the run over which the rate rises from zero.
        validation_maps: maps to validate on.
        seed: of the first weights and of every map.
        threads: CPU threads; None leaves torch's choice.
        stop_after: stop once so many epochs are done, to go on another time; None: the plan's end.
    """

    epochs: int = 400
    minutes: float | None = None
    steps: int = 250
    batch: int = 4
    learning_rate: float = 2e-3
    warm_up: float = 0.01
    validation_maps: int = 256
    seed: int = 0
    threads: int | None = None
    stop_after: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch", "validation_maps"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Maps as tensors: (B, 1, 128, 128) float32 in rad, and (B, 15) float32 coefficients."""

    means: Tensor
    valid: Tensor
    sample: Tensor
    missing: Tensor

    @classmethod
    def of(cls, samples: Sequence[BackgroundSample]) -> Batch:
        """The samples side by side."""
        means, valid, sample, missing = (
            torch.from_numpy(np.stack([getattr(one, name) for one in samples]).astype(np.float32))
            for name in ("means_rad", "valid", "sample_rad", "missing")
        )
        return cls(means[:, None], valid[:, None], sample[:, None], missing)


def solved(batch: Batch, log_weight: Tensor, sample: Tensor) -> Tensor:
    """(B, 15) the weighted least squares of (map − sample), as `BlockMap.solve` does it, differentiable."""
    return _least_squares(_weights(batch, log_weight), (batch.means - sample).flatten(1), RIDGE)


def settled(batch: Batch, log_weight: Tensor, sample: Tensor) -> Tensor:
    """(B, 15) as `BlockMap.settle` does it, differentiable."""
    trusted, background = _weights(batch, log_weight), (batch.means - sample).flatten(1)
    values = _least_squares(trusted, background, SETTLING_RIDGE)
    for _ in range(SETTLING_ROUNDS):
        off = (background - values @ _Q) / SETTLING_RAD
        weights = trusted / (1 + off**2)
        weights = weights / weights.mean(1, keepdim=True).clamp_min(1e-12)
        values = _least_squares(weights, background, SETTLING_RIDGE)
    return values


def _weights(batch: Batch, log_weight: Tensor) -> Tensor:
    weights = (torch.exp(log_weight.clamp(-8.0, 4.0)) * batch.valid).flatten(1)
    return weights / weights.mean(1, keepdim=True).clamp_min(1e-12)


def _least_squares(weights: Tensor, background: Tensor, ridge: float) -> Tensor:
    weighted = _Q[None] * weights[:, None]
    normal = weighted @ _Q.T / EDGE**2 + ridge * torch.eye(len(_Q))
    right = (weighted @ background[:, :, None])[:, :, 0] / EDGE**2
    solution: Tensor = torch.linalg.solve(normal, right)
    return solution


def two_looks(net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """What training makes small, of the network's first look at the maps and of the second, as the service takes them.

    The second look is at the maps that the first one's solution has flattened. Each look's loss is the background's
    RMS error, and half the mean absolute error of the sample's phase.

    Returns:
        The sum of both losses, in rad; and (B,) the background's RMS error after the second look, in rad.
    """
    log_weight, sample = net(batch.means, batch.valid)
    first = solved(batch, log_weight, sample)
    loss = _errors_rad(batch, first).mean() + _PHASE_SHARE * _phase_error_rad(batch, sample)
    found = first.detach()
    flat = (batch.means - (found @ _Q).view_as(batch.means)) * batch.valid
    again = Batch(flat, batch.valid, batch.sample, batch.missing - found)
    log_weight, sample = net(again.means, again.valid)
    errors = _errors_rad(again, settled(again, log_weight, sample))
    return loss + errors.mean() + _PHASE_SHARE * _phase_error_rad(again, sample), errors


def _errors_rad(batch: Batch, found: Tensor) -> Tensor:
    """(B,) RMS of what is wrong with the background where the map is valid, in rad."""
    wrong = (found - batch.missing) @ _Q
    valid = batch.valid.flatten(1)
    mean_square = (wrong**2 * valid).sum(1) / valid.sum(1).clamp_min(1.0)
    return torch.sqrt(mean_square + _SMALLEST_RAD**2)


def _phase_error_rad(batch: Batch, sample: Tensor) -> Tensor:
    return ((sample - batch.sample).abs() * batch.valid).sum() / batch.valid.sum().clamp_min(1.0)


def train_background(
    folder: Path,
    data: Path,
    plan: BackgroundPlan,
    start: dict[str, Tensor] | None = None,
    started_from: str = "random weights",
) -> Checkpoint:
    """Train in `folder` on the cultures in `data`, going on where it stopped; `best.pt` there validated best.

    The weights that count are averages over the last thousand steps or so.

    Args:
        folder: of the run.
        data: a folder of `qpi cultures`.
        plan: minutes or steps, learning rate and so on.
        start: weights to start from, by name.
        started_from: what those are, for the record.

    Raises:
        DataError, CheckpointError: the cultures or the checkpoint do not fit.
    """
    torch.set_flush_denormal(True)
    try:
        return _Loop(folder, data, plan, start, started_from).run()
    finally:
        torch.set_flush_denormal(False)


class _Loop:
    def __init__(
        self, folder: Path, data: Path, plan: BackgroundPlan, start: dict[str, Tensor] | None, started_from: str
    ) -> None:
        self.folder, self.plan = RunFolder(folder), plan
        if plan.threads:
            torch.set_num_threads(plan.threads)
        self.cultures = CultureSet(data, "train")
        validation, rng = CultureSet(data, "validation"), default_rng(20)
        self.validation = [draw(validation, rng) for _ in range(plan.validation_maps)]
        torch.manual_seed(plan.seed)
        self.net = SPEC.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.net.parameters(), plan.learning_rate, weight_decay=1e-4)
        self.state = self._restore(start, started_from)
        self.average = SPEC.build()
        self.average.load_state_dict(self.state.model or self.net.state_dict())
        self.began_s = monotonic() - self.state.elapsed_s

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.state.samples // self.plan.batch

    def run(self) -> Checkpoint:
        """Epochs until the plan is done."""
        while self.progress() < 1 and self.state.epoch != self.plan.stop_after:
            with epoch_bar(self.state.epoch + 1, self.plan.steps, is_shown=True) as advance:
                losses = []
                for _ in range(self.plan.steps):
                    if self.progress() >= 1:
                        break
                    losses.append(self._train_step())
                    advance()
            self.state.epoch += 1
            median_db, tenth_db = self._validate()
            self.state.psnr_db = median_db
            self.state.record.tenth_db = tenth_db
            # Ranked by the mean of median and tenth from below: good on most maps is not enough.
            score = (median_db + tenth_db) / 2
            is_best = score > self.state.best_psnr_db
            if is_best:
                self.state.best_psnr_db = score
            self._save(is_best)
            self._log(float(np.mean(losses)), median_db, tenth_db)
        return self.state

    def progress(self) -> float:
        """How far through the plan the run is, 0 … 1."""
        steps = self.step / (self.plan.epochs * self.plan.steps)
        if self.plan.minutes is None:
            return min(1.0, steps)
        return min(1.0, max(steps, (monotonic() - self.began_s) / (60 * self.plan.minutes)))

    def _train_step(self) -> float:
        rng = default_rng([self.plan.seed, self.step])  # a step of a resumed run is the same step
        batch = Batch.of([draw(self.cultures, rng) for _ in range(self.plan.batch)])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.plan, self.progress())
        loss, _ = two_looks(self.net, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.state.samples += self.plan.batch
        self._average()
        return finite(loss.item(), self.state.epoch + 1)

    @torch.no_grad()
    def _average(self) -> None:
        share = 1 / min(self.step + 1, _AVERAGED_STEPS)
        for averaged, value in zip(self.average.parameters(), self.net.parameters(), strict=True):
            averaged.lerp_(value, share)

    @torch.inference_mode()
    def _validate(self) -> tuple[float, float]:
        """The background's error as PSNR in dB on the 0–12 rad scale: the median map, and the tenth from below."""
        parts = []
        for first in range(0, len(self.validation), 16):
            batch = Batch.of(self.validation[first : first + 16])
            parts.append(two_looks(self.average, batch)[1].numpy())
        scores = 20 * np.log10(_FULL_SCALE_RAD / np.concatenate(parts))
        return float(np.median(scores)), float(np.quantile(scores, 0.1))

    def _restore(self, start: dict[str, Tensor] | None, started_from: str) -> Checkpoint:
        state = self.folder.last(SPEC)
        if state is not None:
            self.optimizer.load_state_dict(state.optimizer["adam"])
            self.net.load_state_dict(state.optimizer["weights"])
            started_from = state.record.started_from
        else:
            if start is not None:
                start_from(self.net, start)
            state = Checkpoint(SPEC, {})
        facts = {
            "step": "train",
            "started_from": started_from,
            "tenth_db": state.record.tenth_db,
            "plan": asdict(self.plan),
            "cultures": len(self.cultures),
            "culture_seed": self.cultures.seed,
            "torch": str(torch.__version__),
        }
        state.record = RunRecord.model_validate(facts)
        return state

    def _save(self, is_best: bool) -> None:
        self.state.model = self.average.state_dict()
        self.state.optimizer = {"adam": self.optimizer.state_dict(), "weights": self.net.state_dict()}
        self.state.elapsed_s = monotonic() - self.began_s
        self.folder.save(self.state, is_best)

    def _log(self, loss: float, median_db: float, tenth_db: float) -> None:
        row: dict[str, Any] = {
            "epoch": self.state.epoch,
            "samples": self.state.samples,
            "elapsed_s": round(self.state.elapsed_s, 1),
            "learning_rate": f"{learning_rate(self.plan, self.progress()):.3g}",
            "loss": f"{loss:.5g}",
            "median_db": f"{median_db:.2f}",
            "tenth_db": f"{tenth_db:.2f}",
        }
        self.folder.log(row)


_Q = torch.from_numpy(GRID.orthonormal.astype(np.float32))
