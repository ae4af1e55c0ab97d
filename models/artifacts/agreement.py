"""The agreement of two ways of running one network, and the loss that a coarser arithmetic may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import computed_field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from qpi_live.camera.frame import Pixels
from qpi_live.models.metrics import PHASE_RANGE_RAD, psnr_db, rms_rad

Retrieve = Callable[[Pixels], NDArray[np.float32]]
"""(H, W) grey values to (H, W) float32 phase in rad."""

LARGEST_LOSS_DB: Mapping[str, float] = {"fp32": 0.1, "fp16": 0.1, "int8": 0.5}
"""PSNR that a network may lose to its arithmetic, by precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A frame to compare on: (H, W) grey values and, where it is known, its true phase in rad."""

    pixels: Pixels
    phase_rad: NDArray[np.float32] | None = None


@pydantic_dataclass(frozen=True, slots=True)
class Agreement:
    """How a network's phase agrees with the reference's.

    Attributes:
        frames: compared, of which `with_truth` have a known phase.
        with_truth: see `frames`.
        largest_difference_rad: over all pixels of all frames.
        rms_difference_rad: over all pixels of all frames.
        psnr_db: median against the truth, on the 0 … 12 rad scale; NaN where no truth is known.
        reference_psnr_db: the reference's, on the same frames.
    """

    frames: int
    with_truth: int
    largest_difference_rad: float
    rms_difference_rad: float
    psnr_db: float
    reference_psnr_db: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loss_db(self) -> float:
        """PSNR that the reference has and this has not; NaN where no truth is known."""
        return self.reference_psnr_db - self.psnr_db

    def why_refused(self, precision: str) -> str | None:
        """Why this loses more than `precision` may; None if it does not. Without any truth it does: nothing says not.

        Raises:
            KeyError: no such precision.
        """
        allowed_db = LARGEST_LOSS_DB[precision]
        if self.loss_db < allowed_db:
            return None
        return (
            f"expected {precision} to lose less than {allowed_db} dB of PSNR, got a loss of {self.loss_db:.2f} dB "
            f"({self.reference_psnr_db:.2f} → {self.psnr_db:.2f})"
        )


def compare(reference: Retrieve, other: Retrieve, probes: Sequence[Probe]) -> Agreement:
    """Run every probe through both."""
    largest, squares, scores, reference_scores = 0.0, [], [], []
    for probe in probes:
        expected, got = reference(probe.pixels), other(probe.pixels)
        largest = float(np.maximum(largest, np.abs(got - expected).max()))  # NaN stays NaN, which `max` may lose
        squares.append(rms_rad(got, expected) ** 2)
        if probe.phase_rad is not None:
            truth = np.clip(probe.phase_rad, 0, PHASE_RANGE_RAD)
            scores.append(psnr_db(got, truth))
            reference_scores.append(psnr_db(expected, truth))
    return Agreement(
        frames=len(probes),
        with_truth=len(scores),
        largest_difference_rad=largest,
        rms_difference_rad=float(np.sqrt(np.mean(squares))),
        psnr_db=float(np.median(scores)) if scores else float("nan"),
        reference_psnr_db=float(np.median(reference_scores)) if scores else float("nan"),
    )
