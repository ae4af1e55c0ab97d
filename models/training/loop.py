"""The loop that search and training share: epochs of random crops, validated, logged, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from qpi_live.models.metrics import PHASE_RANGE_RAD
from qpi_live.models.training.checkpoint import Checkpoint, NetSpec, RunRecord, TrainedOn, start_from
from qpi_live.models.training.loss import finite
from qpi_live.models.training.pairs import PairSet
from qpi_live.models.training.plan import TrainingPlan, learning_rate
from qpi_live.models.training.processes import Processes, World, pick_device
from qpi_live.models.training.run_folder import RunFolder, epoch_bar
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import update_bn

_SETTLING_STEPS = 40
_BATCH_NORM_MOMENTUM = 0.05  # share of a new batch in the running statistics; batches are small
_LONGEST_GRADIENT = 1.0


Loss = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""loss(net, phase, true_phase, progress) with progress through the run in 0 … 1."""


@dataclass(slots=True)
class TrainingRun:
    """One run in one folder: `last.pt` goes on where it stopped, `best.pt` validated best, `log.csv` tells the story.

    Args:
        folder: of the run; made if need be, resumed if it has a checkpoint.
        data: the folder of pairs.
        spec: the network.
        plan: how it is trained.
        loss: what is made small.
        after_step: called with the bare network after every optimiser step.
        columns: further columns of the log, computed from the bare network after every epoch.
        may_be_best: whether the network at this progress may become `best.pt`.
        record: further facts for the checkpoint.
        start: weights to start from where the folder has no checkpoint; see `start_from`.
    """

    folder: Path
    data: Path
    spec: NetSpec
    plan: TrainingPlan
    loss: Loss
    after_step: Callable[[nn.Module], None] = lambda net: None
    columns: Callable[[nn.Module], Mapping[str, float]] = lambda net: {}
    may_be_best: Callable[[float], bool] = lambda progress: True
    record: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Tensor] | None = None

    def run(self) -> Checkpoint:
        """Train to the end of the plan and return the last checkpoint.

        Raises:
            DataError, CheckpointError: the pairs or the checkpoint do not fit.
        """
        # Adam's averages of a quiet channel decay into denormal numbers, which slow a CPU down by half. Set before any
        # thread is made: threads inherit it.
        torch.set_flush_denormal(True)
        try:
            with Processes() as world:
                return _Loop(self, world).run()
        finally:
            torch.set_flush_denormal(False)


class _Loop:
    def __init__(self, run: TrainingRun, world: World) -> None:
        self.run_ = run
        self.plan = run.plan
        self.world = world
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        self.device = pick_device()
        self.train = PairSet(run.data, "train")
        self.validation = PairSet(run.data, "validation")
        if min(self.train.shape) < self.plan.crop:
            raise ValueError(f"expected crops within the frames of {self.train.shape}, got {self.plan.crop}")
        torch.manual_seed(self.plan.seed)
        self.net = run.spec.build().to(self.device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._norms = [module for module in self.net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in self._norms:
            norm.momentum = _BATCH_NORM_MOMENTUM
        self.optimizer = torch.optim.Adam(self.net.parameters(), self.plan.learning_rate, fused=True)
        self.folder = RunFolder(run.folder)
        self.state = self._restore()
        self.trained: nn.Module = self.net if world.size == 1 else DistributedDataParallel(self.net)
        self.began_s = monotonic() - self.state.elapsed_s

    def run(self) -> Checkpoint:
        """Epochs until the plan is done."""
        run = self.run_
        while self.progress() < 1 and self.state.epoch != self.plan.stop_after:
            if not self.is_frozen and self.progress() >= self.plan.batch_norm_frozen_from:
                self._freeze_batch_norm()
            with epoch_bar(self.state.epoch + 1, self._steps_per_epoch(), self.world.rank == 0) as advance:
                loss = self._train_epoch(advance)
            self.state.epoch += 1
            due = self.state.epoch % self.plan.validate_every == 0 or self.progress() >= 1
            if due and not self.is_frozen:
                self._settle_batch_norm()
            psnr_db = self._validate() if due else math.nan
            self.state.psnr_db = psnr_db
            progress = self.progress()
            is_best = psnr_db > self.state.best_psnr_db and run.may_be_best(progress)
            if is_best:
                self.state.best_psnr_db = psnr_db
            if self.world.rank == 0:
                self._keep(is_best, loss, progress)
        return self.state

    def progress(self) -> float:
        """How far through the plan the run is, 0 … 1 (every process has the first one's clock)."""
        steps = self.state.epoch / self.plan.epochs
        if self.plan.minutes is None:
            return steps
        elapsed = torch.tensor(monotonic() - self.began_s, device=self.device)
        if self.world.size > 1:
            dist.broadcast(elapsed, 0)
        return min(1.0, max(steps, float(elapsed) / (60 * self.plan.minutes)))

    def _train_epoch(self, advance: Callable[[], None]) -> float:
        self.trained.train()
        if self.is_frozen:
            for norm in self._norms:
                norm.eval()
        total, steps = 0.0, 0
        progress = self.progress()
        for interferogram, true_phase in self._batches():
            if self.plan.minutes is None:
                progress = (self.state.epoch + steps / self._steps_per_epoch()) / self.plan.epochs
            elif steps % 8 == 0:
                progress = self.progress()
                if progress >= 1:
                    break
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.plan, progress)
            with self._precision():
                phase = self.trained(interferogram)
            loss = self.run_.loss(self.net, phase.float(), true_phase, progress)
            self.optimizer.zero_grad(set_to_none=True)
            # bfloat16's exponents are float32's: no loss scaling is needed.
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.net.parameters(), _LONGEST_GRADIENT)
            self.optimizer.step()
            self.run_.after_step(self.net)
            total += finite(loss.item(), self.state.epoch + 1)
            steps += 1
            self.state.samples += len(phase) * self.world.size
            advance()
        return total / max(steps, 1)

    def _precision(self) -> AbstractContextManager[Any]:
        wanted = self.plan.mixed_precision
        is_mixed = self.device.type == "cuda" if wanted is None else wanted
        return torch.autocast(self.device.type, torch.bfloat16) if is_mixed else nullcontext()

    def _steps_per_epoch(self) -> int:
        return max(1, len(self.train) // (self.plan.batch * self.world.size))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of the epoch, a function of seed, epoch and rank: a resumed epoch is the same epoch."""
        epoch = self.state.epoch
        rng = np.random.default_rng((self.plan.seed, epoch, self.world.rank))
        frames = list(self.train.epoch_order(self.plan.seed, epoch))
        mine = frames[self.world.rank :: self.world.size]
        for step in range(self._steps_per_epoch()):
            numbers = [mine[(step * self.plan.batch + i) % len(mine)] for i in range(self.plan.batch)]
            crops = [self.train.crop(number, self.plan.crop, rng) for number in numbers]
            yield (
                self._tensor(np.stack([crop.interferogram for crop in crops])),
                self._tensor(np.stack([crop.phase for crop in crops])),
            )

    def _tensor(self, stack: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
        return torch.from_numpy(stack)[:, None].to(self.device, memory_format=torch.channels_last)

    @property
    def is_frozen(self) -> bool:
        """Whether the batch statistics stay as they are."""
        return self.state.record.batch_norm_frozen

    def _freeze_batch_norm(self) -> None:
        """From here on train with the statistics that inference uses.

        A crop's own statistics tell the network things that inference does not know. Frames of low contrast came out
        16 dB worse than they were trained; freezing the statistics for the last part of the training mended that.
        """
        if self.state.epoch:  # weights to start from bring theirs, and may have been trained with them
            self._settle_batch_norm()
        self.state.record.batch_norm_frozen = True

    @torch.no_grad()
    def _settle_batch_norm(self) -> None:
        """Average the batch statistics of the weights as they are now over many training crops.

        The running ones lag behind the weights and follow the last few crops. At batches of one or two crops that alone
        moved the background of whole frames by 2 rad. Ioffe & Szegedy 2015, algorithm 2, average afterwards too.
        """
        update_bn(islice(self._batches(), _SETTLING_STEPS), self.net)
        if self.world.size > 1:
            for buffer in self.net.buffers():
                dist.broadcast(buffer, 0)

    @torch.inference_mode()
    def _validate(self) -> float:
        """Median PSNR in dB over the validation frames at full size, on the 0–12 rad scale."""
        self.net.eval()
        count = min(len(self.validation), self.plan.validation_frames or len(self.validation))
        # Spread over the split, so that a part of it has the same conditions as the whole.
        numbers = np.linspace(0, len(self.validation) - 1, count).round().astype(int)
        scores = []
        for number in numbers[self.world.rank :: self.world.size]:
            pair = self.validation.whole(int(number))
            phase = self.net(self._tensor(pair.interferogram[None])).float()
            error = torch.mean((phase - self._tensor(pair.phase[None])) ** 2).item()
            scores.append(-10 * math.log10(max(error, 1e-12)))
        if self.world.size > 1:
            gathered: list[list[float]] = [[] for _ in range(self.world.size)]
            dist.all_gather_object(gathered, scores)
            scores = [score for part in gathered for score in part]
        return float(np.median(scores))

    def _restore(self) -> Checkpoint:
        run = self.run_
        state = self.folder.last(run.spec)
        if state is not None:
            self.net.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
        else:
            if run.start is not None:
                start_from(self.net, run.start)
            state = Checkpoint(run.spec, {})
        card = self.train.card
        facts = {
            "batch_norm_frozen": state.record.batch_norm_frozen,
            **run.record,
            "plan": asdict(self.plan),
            "phase_range_rad": PHASE_RANGE_RAD,
            "data": TrainedOn(shape=card.shape, bit_depth=card.bit_depth, origin=card.origin),
            "training_pairs": len(self.train),
            "device": str(self.device),
            "torch": str(torch.__version__),
        }
        state.record = RunRecord.model_validate(facts)
        return state

    def _keep(self, is_best: bool, loss: float, progress: float) -> None:
        """Write the checkpoint and the log's row."""
        state = self.state
        state.model = self.net.state_dict()
        state.optimizer = self.optimizer.state_dict()
        state.elapsed_s = monotonic() - self.began_s
        self.folder.save(state, is_best)
        self.folder.log(
            {
                "epoch": state.epoch,
                "samples": state.samples,
                "elapsed_s": round(state.elapsed_s, 1),
                "learning_rate": f"{learning_rate(self.plan, progress):.3g}",
                "loss": f"{loss:.6g}",
                "validation_psnr_db": f"{state.psnr_db:.2f}",
                **{name: f"{value:.5g}" for name, value in self.run_.columns(self.net).items()},
            }
        )
