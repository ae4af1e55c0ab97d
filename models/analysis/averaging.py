"""Frames together: their mean, what differs from a reference, how much each pixel fluctuates."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands

MOST_FRAMES = 10_000
_LEVEL_STEP = 4  # every so many-th pixel along both axes tells the level well enough
_NO_MASK = np.zeros((1, 1), np.bool_)


class Average:
    """Mean and standard deviation of the newest frames, pixel by pixel, in the memory of three frames.

    Frames are taken in one by one (Welford 1962); from `most` frames on each new one counts 1/`most` (an exponential
    average: West, CACM 22, 532, 1979), so that the average follows the sample. A pixel that a frame masks keeps what it
    has of the frames before.

    Args:
        most: frames that are averaged over; the first ones over as many as there are.
        threads: CPU threads to use; None: all cores.

    Attributes:
        frames: how many went in.
    """

    def __init__(self, most: int = 16, threads: int | None = None) -> None:
        if not 1 <= most <= MOST_FRAMES:
            raise ValueError(f"expected to average over 1 … {MOST_FRAMES} frames, got {most!r}")
        self.most = most
        self.frames = 0
        self._threads = threads
        self._mean = self._variance = np.zeros((0, 0), np.float32)
        self._seen = np.zeros((0, 0), np.uint16)

    def add(self, phase_rad: NDArray[np.float32], mask: NDArray[np.bool_] | None = None, level: bool = True) -> None:
        """Take a frame in; one of another shape starts anew.

        Args:
            phase_rad: (H, W) float32 in rad, finite.
            mask: (H, W) bool, True where it is no phase; that does not go in.
            level: take off by how much the whole frame lies over the mean (its median), which says nothing of the
                sample: the light paths of both arms differ by a little more or less in every frame.

        Raises:
            ValueError: the mask has another shape.
        """
        if mask is not None and mask.shape != phase_rad.shape:
            raise ValueError(f"expected a mask of the phase's shape {phase_rad.shape}, got {mask.shape}")
        if self._mean.shape != phase_rad.shape:
            self.frames = 0
            self._mean, self._variance = np.zeros((2, *phase_rad.shape), np.float32)
            self._seen = np.zeros(phase_rad.shape, np.uint16)
        offset = 0.0
        if level and self.frames:
            off = phase_rad[::_LEVEL_STEP, ::_LEVEL_STEP] - self._mean[::_LEVEL_STEP, ::_LEVEL_STEP]
            both = self._seen[::_LEVEL_STEP, ::_LEVEL_STEP] > 0
            if mask is not None:
                both &= ~mask[::_LEVEL_STEP, ::_LEVEL_STEP]
            offset = float(np.median(off[both])) if both.any() else 0.0
        RowBands(phase_rad.shape[0], self._threads).run(
            _take_in,
            phase_rad,
            _NO_MASK if mask is None else mask,
            mask is not None,
            np.float32(offset),
            self.most,
            self._mean,
            self._variance,
            self._seen,
        )
        self.frames += 1

    @property
    def mean_rad(self) -> NDArray[np.float32]:
        """(H, W) float32 in rad, a copy; 0 on pixels that no frame has shown.

        Raises:
            ValueError: no frame went in.
        """
        self._check()
        return self._mean.copy()

    @property
    def deviation_rad(self) -> NDArray[np.float32]:
        """Standard deviation over time, (H, W) float32 in rad: the map of fluctuations.

        Raises:
            ValueError: no frame went in.
        """
        self._check()
        deviation: NDArray[np.float32] = np.sqrt(self._variance)
        return deviation

    @property
    def unseen(self) -> NDArray[np.bool_] | None:
        """(H, W) bool, True on pixels that no frame has shown; None: there is none.

        Raises:
            ValueError: no frame went in.
        """
        self._check()
        unseen: NDArray[np.bool_] = self._seen == 0
        return unseen if unseen.any() else None

    def _check(self) -> None:
        if self.frames == 0:
            raise ValueError("expected at least one frame to average, got none")


@numba.njit(nogil=True, cache=True)
def _take_in(
    first_row: int,
    last_row: int,
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_],
    is_masked: bool,
    offset_rad: np.float32,
    most: int,
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    seen: NDArray[np.uint16],
) -> None:
    """Let some rows of a frame go into mean and variance: σ² ← (1 − p)(σ² + p·off²) with p = 1/n."""
    one = np.float32(1)
    for y in range(first_row, last_row):
        for x in range(phase_rad.shape[1]):
            if is_masked and mask[y, x]:
                continue
            count = int(seen[y, x])
            if count < most:
                count += 1
                seen[y, x] = count
            part = one / np.float32(count)
            off = phase_rad[y, x] - offset_rad - mean[y, x]
            mean[y, x] += part * off
            variance[y, x] = (one - part) * (variance[y, x] + part * off * off)


def difference(
    phase_rad: NDArray[np.float32],
    reference_rad: NDArray[np.float32],
    level: bool = True,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """What changed since the reference, (H, W) float32 in rad; with `level` less the median of that.

    Args:
        phase_rad: (H, W) float32 in rad.
        reference_rad: (H, W) float32 in rad.
        level: see above.
        mask: (H, W) bool, True where one of the two is no phase; the level is not taken there, and the change is 0.

    Raises:
        ValueError: they differ in shape.
    """
    for name, other in (("reference", reference_rad), ("mask", mask)):
        if other is not None and phase_rad.shape != other.shape:
            raise ValueError(f"expected a {name} of the phase's shape {phase_rad.shape}, got {other.shape}")
    change: NDArray[np.float32] = phase_rad - reference_rad
    counted = change if mask is None else change[~mask]
    if level and counted.size:
        change -= np.float32(np.median(counted))
    if mask is not None:
        change[mask] = 0
    return change
