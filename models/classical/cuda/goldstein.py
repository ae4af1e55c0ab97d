"""Goldstein's branch-cut phase unwrapping on a GPU: what `models.classical.unwrapping.goldstein` does, by kernels.

The cuts alone come from the host: finding those of least cost is a long chain of small steps, each of which depends on
the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qpi_live.camera.device import Device, Stream
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_pixel, each_pixel_by_row, each_row
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts, find_residues, place_cuts
from qpi_live.models.classical.unwrapping.regions import settle_turns

_SOURCES = ("residues.cu", "regions.cu")
_COUNTS = np.dtype(
    [("residues", "<i4"), ("has_cuts", "<i4"), ("regions", "<i4"), ("votes", "<i4"), ("largest", "<u8")]
)  # Counts in phase.cuh
_LAST_NUMBER = 2**31 - 1  # last_number there


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

    `enqueue` counts the residues and integrates as if there were none, always by the same kernels, so that they can be
    captured into a graph. Where `counts` then says that there are some, `cut` fetches the wrapped phase for the host to
    place cuts and integrates anew; where cuts enclose regions, `join_regions` gives them the turns that their borders
    support best.

    Attributes:
        wrapped: (H, W) float32 on the device, in rad, |φ| ≤ π, no NaN: what is unwrapped.
        amplitude: (H, W) float32 on the device, in grey values: how bright the fringes are that it came from.
        phase: (H, W) float32 on the device, in rad: the result.
        disputed: (H, W) uint8 on the device: after `join_regions`, 1 outside of the largest region.
        right, down: (H, W) uint8 on the device: the links that cuts block, as in `BranchCuts`.
        bright_cut_links: `BranchCuts.bright_links` of the cuts that were last taken.

    Args:
        device: where.
        shape: (H, W) in pixels, at least 2 × 2, at most 65,535 × 32,000.
        threads: CPU threads to use for cuts, None for all cores.

    Raises:
        DeviceOutOfMemory: there are no 67 bytes a pixel.
    """

    def __init__(self, device: Device, shape: tuple[int, int], threads: int | None = None) -> None:
        self.shape = shape
        height, width = shape
        self._height, self._width = np.int32(height), np.int32(width)
        self._set = KernelSet(
            device,
            _SOURCES,
            {
                "count_residues": each_row(height - 1),
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
        self._bands = RowBands(height, threads)
        self.bright_cut_links = 0
        # In the worst case every pixel is a region of its own.
        self._turns, self._run_start, self._forest = allocate(2 * pixels), allocate(2 * pixels), allocate(8 * pixels)
        self._region_pixels, self._region_turns = allocate(4 * pixels), allocate(4 * pixels)
        self._votes = allocate(24 * pixels)  # two links a pixel, three numbers a vote
        self._roots, self._turns_to_add = allocate(4 * pixels), allocate(4 * pixels)

    def enqueue(self, stream: Stream) -> None:
        """Count the residues of `wrapped` and unwrap it into `phase` as if there were none."""
        stream.fill(self._counts, 0)
        self._set.launch(stream, "count_residues", self.wrapped, self._counts, self._width)
        self.enqueue_integration(stream)

    def cut(self, stream: Stream) -> None:
        """Unwrap once more, with the branch cuts that the host places.

        Waits for `wrapped` and `amplitude` to come down, and enqueues the rest: `phase` anew, and `counts` of regions.
        To be called where `counts` says that there are residues.
        """
        wrapped, amplitude = np.empty(self.shape, np.float32), np.empty(self.shape, np.float32)
        stream.download(self.wrapped, wrapped)
        stream.download(self.amplitude, amplitude)
        stream.synchronize()
        residues = find_residues(wrapped, self._bands)
        self.take_cuts(stream, place_cuts(residues, wrapped, amplitude, bands=self._bands))
        self.enqueue_integration(stream)
        self.enqueue_counts(stream)

    def take_cuts(self, stream: Stream, cuts: BranchCuts) -> None:
        """Use these cuts from now on; they are on the device when this returns."""
        counts = self._counts_here.copy()
        counts["has_cuts"], counts["regions"], counts["votes"], counts["largest"] = 1, 0, 0, 0
        self.bright_cut_links = cuts.bright_links
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

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
