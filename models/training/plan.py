"""The plan of a training: crops, epochs, and the course of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a run is trained. The defaults are the paper's (Shu 2022 §2B), but for the learning rate's decay.

    Attributes:
        crop: edge of the square training crops, in pixels; a multiple of 32.
        batch: crops per step and process.
        epochs: how many epochs; with `minutes` set, at most.
        minutes: time to train in all, over every resumption; None: until the epochs are done.
        learning_rate: of Adam, at its highest.
        warm_up: part of the run over which the rate rises from zero; it then falls along a cosine.
        batch_norm_frozen_from: part of the run after which the next epoch, and all that follow, leave the statistics as
            they are. So training sees what inference will. 0: as the start brings them; 1: never.
        validate_every: epochs between validations.
        validation_frames: how many frames of the split are looked at; None: all.
        seed: of the initial weights and of every crop.
        threads: CPU threads; None leaves torch's choice.
        stop_after: stop once so many epochs are done, to go on another time; None: the plan's end.
        mixed_precision: forward passes of training in bfloat16; None: on a GPU. Validation is always in float32.
    """

    crop: int = 512
    batch: int = 2
    epochs: int = 200
    minutes: float | None = None
    learning_rate: float = 0.008
    warm_up: float = 0.02
    batch_norm_frozen_from: float = 1.0
    validate_every: int = 1
    validation_frames: int | None = None
    seed: int = 0
    threads: int | None = None
    stop_after: int | None = None
    mixed_precision: bool | None = None

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 32:
            raise ValueError(f"expected a crop that 32 divides, got {self.crop}; 256 and 512 are usual")
        for name in ("batch", "epochs", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")


class Schedule(Protocol):
    """What a plan says of its learning rate; see `TrainingPlan`."""

    @property
    def learning_rate(self) -> float: ...  # noqa: D102

    @property
    def warm_up(self) -> float: ...  # noqa: D102


def learning_rate(plan: Schedule, progress: float) -> float:
    """The rate at `progress` 0 … 1: a linear rise, then half a cosine down to a thousandth."""
    if progress < plan.warm_up:
        return plan.learning_rate * max(progress / plan.warm_up, 0.01)
    through = (progress - plan.warm_up) / (1 - plan.warm_up)
    return plan.learning_rate * max(0.001, 0.5 * (1 + math.cos(math.pi * min(through, 1.0))))
