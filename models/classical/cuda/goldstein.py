"""Goldstein's branch-cut phase unwrapping on a GPU: what `models.classical.goldstein` does, by kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, Device, Stream
from qpi_live.models.classical.branch_cuts import BranchCuts
from qpi_live.models.classical.cuda.kernel_set import PIXEL_BLOCK, KernelSet, each_pixel, each_pixel_by_row, each_row
from qpi_live.models.classical.regions import settle_turns

_SOURCES = ("residues.cu", "branch_cuts.cu", "regions.cu")
_COUNTS = np.dtype(
    [("residues", "<i4"), ("has_cuts", "<i4"), ("regions", "<i4"), ("votes", "<i4"), ("largest", "<u8")]
)  # Counts in phase.cuh
_LAST_NUMBER = 2**31 - 1  # last_number there
_FAR_BLOCK = (1024, 1, 1)  # far_threads in branch_cuts.cu
_RESIDUE_GRID = (256, 1, 1)  # however many residues there are: threads take several
# Rounds in which residues choose among those near them, and how near. Even in pure noise, with a residue on every third
# corner, few are left by then to look at all others.
_ROUNDS = 8
_REACH_PX = np.int32(8)


@dataclass(frozen=True, slots=True)
class UnwrapCounts:
    """What was counted while a frame was unwrapped.

    Attributes:
        residues: how many.
        regions: into which cuts divide the frame; 0 where there are no cuts.
        votes: blocked links between two regions.
        largest_root: the number y · W + x of the largest region's first pixel.
    """

    residues: int
    regions: int
    votes: int
    largest_root: int


class CudaUnwrapper:
    """Unwraps phase maps of one shape on one device, without allocating device memory for a frame.

    `enqueue` launches the same kernels whatever the frame is like, so that they can be captured into a graph; those
    that find nothing to do end at once. Where `counts` then says that cuts enclose regions, `join_regions` gives
    them the turns that their borders support best.

    Attributes:
        wrapped: (H, W) float32 on the device, in rad, |φ| ≤ π, no NaN: what is unwrapped.
        amplitude: (H, W) float32 on the device, in grey values: how bright the fringes are that it came from.
        phase: (H, W) float32 on the device, in rad: the result.
        disputed: (H, W) uint8 on the device: after `join_regions`, 1 outside of the largest region.
        right, down: (H, W) uint8 on the device: the links that cuts block, as in `BranchCuts`.

    Args:
        device: where.
        shape: (H, W) in pixels, at least 2 × 2, at most 65,535 × 32,000.

    Raises:
        DeviceOutOfMemory: there are no 89 bytes a pixel.
    """

    def __init__(self, device: Device, shape: tuple[int, int]) -> None:
        self.shape = shape
        height, width = shape
        self._height, self._width = np.int32(height), np.int32(width)
        by_residue = (_RESIDUE_GRID, PIXEL_BLOCK)
        self._set = KernelSet(
            device,
            _SOURCES,
            {
                "count_residues": each_row(height - 1),
                "start_rows": each_row(1),
                "list_residues": each_row(height - 1),
                "choose_near": by_residue,
                "choose_far": ((1, 1, 1), _FAR_BLOCK),
                "draw_cuts": by_residue,
                "count_turns": each_row(height),
                "link_first_column": each_row(1),
                "link_rows": each_pixel_by_row((height - 1, width)),
                "measure_regions": each_pixel_by_row(shape),
                "collect_votes": each_pixel_by_row(shape),
                "add_turns": each_pixel_by_row(shape),
                "settle_regions": each_pixel(shape),
                "add_turns_of_regions": each_pixel_by_row(shape),
            },
        )
        self._counts_here = device.page_locked((1,), _COUNTS)
        pixels, allocate = height * width, self._set.allocate
        self.wrapped, self.phase, self.disputed = allocate(4 * pixels), allocate(4 * pixels), allocate(pixels)
        self.amplitude = allocate(4 * pixels)
        self.right, self.down = allocate(pixels), allocate(pixels)
        self._counts, self._of_rows = allocate(_COUNTS.itemsize), allocate(4 * height)
        # In the worst case there is a residue on every corner, and every pixel is a region of its own.
        self._corners, self._residue_at = allocate(4 * pixels), allocate(4 * pixels)
        self._choices, self._other_choices = allocate(4 * pixels), allocate(4 * pixels)
        self._left, self._still_left = allocate(4 * pixels), allocate(4 * pixels)
        self._turns, self._run_start, self._forest = allocate(2 * pixels), allocate(2 * pixels), allocate(8 * pixels)
        self._region_pixels, self._region_turns = allocate(4 * pixels), allocate(4 * pixels)
        self._votes = allocate(24 * pixels)  # two links a pixel, three numbers a vote
        self._roots, self._turns_to_add = allocate(4 * pixels), allocate(4 * pixels)

    def enqueue(self, stream: Stream) -> None:
        """Unwrap `wrapped` into `phase`."""
        self.enqueue_residues(stream)
        self.enqueue_cuts(stream)
        self.enqueue_integration(stream)

    def enqueue_residues(self, stream: Stream) -> None:
        """Find the residues of `wrapped`."""
        launch, wrapped, counts, width = self._set.launch, self.wrapped, self._counts, self._width
        residues = (self._corners, self._residue_at, self._choices)
        stream.fill(counts, 0)
        launch(stream, "count_residues", wrapped, self._of_rows, counts, width)
        launch(stream, "start_rows", self._of_rows, counts, np.int32(self._height - 1))
        launch(stream, "list_residues", wrapped, self._of_rows, counts, *residues, width)

    def enqueue_cuts(self, stream: Stream) -> None:
        """Place branch cuts between the residues."""
        launch, size = self._set.launch, (self._height, self._width)
        residues = (self._corners, self._residue_at, self._counts)
        choices, next_choices = self._choices, self._other_choices
        for _ in range(_ROUNDS):
            launch(stream, "choose_near", *residues, choices, next_choices, _REACH_PX, *size)
            choices, next_choices = next_choices, choices
        launch(stream, "choose_far", *residues, choices, self._left, self._still_left, *size)
        stream.fill(self.right, 0)
        stream.fill(self.down, 0)
        launch(stream, "draw_cuts", self._corners, choices, self._counts, self.right, self.down, *size)

    def take_cuts(self, stream: Stream, cuts: BranchCuts) -> None:
        """Use given cuts instead of `enqueue_cuts`; they are on the device when this returns."""
        counts = np.zeros(1, _COUNTS)
        counts["has_cuts"] = 1
        for source, target in ((cuts.right, self.right), (cuts.down, self.down), (counts, self._counts)):
            stream.upload(source, target)
        stream.synchronize()

    def enqueue_integration(self, stream: Stream) -> None:
        """Integrate `wrapped` without crossing a cut."""
        launch, wrapped, counts, forest = self._set.launch, self.wrapped, self._counts, self._forest
        right, down, turns, width = self.right, self.down, (self._turns, self._run_start), self._width
        launch(stream, "count_turns", wrapped, right, counts, *turns, forest, self._region_pixels, width)
        launch(stream, "link_first_column", wrapped, down, counts, self._of_rows, forest, self._height, width)
        launch(stream, "link_rows", wrapped, down, counts, *turns, forest, width)
        launch(stream, "measure_regions", right, counts, self._run_start, forest, self._region_pixels, width)
        regions = (forest, self._region_pixels, self._votes)
        launch(stream, "collect_votes", wrapped, right, down, counts, *turns, *regions, self._height, width)
        launch(stream, "add_turns", wrapped, *turns, forest, self.phase, width)

    def enqueue_counts(self, stream: Stream) -> None:
        """Fetch what was counted, for `counts`."""
        stream.download(self._counts, self._counts_here)

    @property
    def counts(self) -> UnwrapCounts:
        """What was counted; valid once the work of `enqueue_counts` is done."""
        found = self._counts_here[0]
        root = _LAST_NUMBER - (int(found["largest"]) & 0xFFFFFFFF)
        return UnwrapCounts(int(found["residues"]), int(found["regions"]), int(found["votes"]), root)

    def join_regions(self, stream: Stream) -> None:
        """Give every region the multiple of 2π that the links around it support best (`regions.settle_turns`).

        Waits for the votes to come down, which are few beside the pixels, and enqueues the rest: `phase` anew, and
        `disputed`. To be called where `counts` says that there is more than one region.
        """
        counts = self.counts
        votes = np.empty((counts.votes, 3), np.int32)
        stream.download(self._votes, votes)
        stream.synchronize()
        # Every region touches another, so that the votes name them all.
        roots, numbers = np.unique(votes[:, :2], return_inverse=True)
        votes[:, :2] = numbers.reshape(-1, 2)
        largest = int(np.searchsorted(roots, counts.largest_root))
        turns = settle_turns(votes, len(roots), largest)
        stream.upload(roots, self._roots)
        stream.upload(turns, self._turns_to_add)
        stream.synchronize()  # the arrays are gone when this returns
        launch, turns_here = self._set.launch, (self._turns, self._run_start)
        launch(stream, "settle_regions", self._roots, self._turns_to_add, self._region_turns, np.int32(len(roots)))
        of_regions = (self._forest, self._region_turns, np.int32(counts.largest_root))
        launch(
            stream,
            "add_turns_of_regions",
            self.wrapped,
            *turns_here,
            *of_regions,
            self.phase,
            self.disputed,
            self._width,
        )

    def residues(self, stream: Stream) -> NDArray[np.int32]:
        """(n, 3) int32 rows (y, x, charge) in raster order, as `find_residues` gives them; waits for them."""
        corners: Array = np.empty(self.counts.residues, np.int32)
        at_corners: Array = np.empty(self.shape, np.int32)
        stream.download(self._corners, corners)
        stream.download(self._residue_at, at_corners)
        stream.synchronize()
        y, x = np.divmod(corners, self._width)
        return np.stack([y, x, np.sign(at_corners[y, x])], axis=1).astype(np.int32)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
