"""Frames together: their mean, what differs from a reference, how much each pixel fluctuates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Average:
    """Mean and standard deviation of the newest frames, pixel by pixel, in the memory of three frames.

    Frames are taken in one by one (Welford 1962); from `most` frames on each new one counts 1/`most` (an exponential
    average: West, CACM 22, 532, 1979), so that the average follows the sample.

    Args:
        most: frames that are averaged over; the first ones over as many as there are.

    Attributes:
        frames: how many went in.
    """

    def __init__(self, most: int = 16) -> None:
        if not 1 <= most <= 1_000_000:
            raise ValueError(f"expected to average over 1 … 1000000 frames, got {most!r}")
        self.most = most
        self.frames = 0
        self._mean: NDArray[np.float32] | None = None
        self._variance: NDArray[np.float32] | None = None

    def add(self, phase_rad: NDArray[np.float32], level: bool = True) -> None:
        """Take a frame in; one of another shape starts anew.

        Args:
            phase_rad: (H, W) float32 in rad.
            level: take off by how much the whole frame lies over the mean (its median), which says nothing of the
                sample: the light paths of both arms differ by a little more or less in every frame.
        """
        if self._mean is None or self._variance is None or self._mean.shape != phase_rad.shape:
            self.frames = 1
            self._mean, self._variance = phase_rad.astype(np.float32, copy=True), np.zeros(phase_rad.shape, np.float32)
            return
        self.frames += 1
        part = np.float32(1 / min(self.frames, self.most))
        off = phase_rad - self._mean
        if level:
            off -= np.float32(np.median(off[::4, ::4]))
        self._mean += part * off
        # The variance about the mean that now is: σ² ← (1 − p)(σ² + p·off²).
        off *= off
        off *= part
        self._variance += off
        self._variance *= 1 - part

    @property
    def mean_rad(self) -> NDArray[np.float32]:
        """(H, W) float32 in rad, a copy.

        Raises:
            ValueError: no frame went in.
        """
        if self._mean is None:
            raise ValueError("expected at least one frame to average, got none")
        return self._mean.copy()

    @property
    def deviation_rad(self) -> NDArray[np.float32]:
        """Standard deviation over time, (H, W) float32 in rad: the map of fluctuations.

        Raises:
            ValueError: no frame went in.
        """
        if self._variance is None:
            raise ValueError("expected at least one frame to average, got none")
        deviation: NDArray[np.float32] = np.sqrt(self._variance)
        return deviation


def difference(
    phase_rad: NDArray[np.float32], reference_rad: NDArray[np.float32], level: bool = True
) -> NDArray[np.float32]:
    """What changed since the reference, (H, W) float32 in rad; with `level` less the median of that.

    Raises:
        ValueError: the two differ in shape.
    """
    if phase_rad.shape != reference_rad.shape:
        raise ValueError(f"expected a reference of the phase's shape {phase_rad.shape}, got {reference_rad.shape}")
    change: NDArray[np.float32] = phase_rad - reference_rad
    return change - np.float32(np.median(change)) if level else change
