"""Goldstein's branch-cut phase unwrapping on a GPU: what `models.classical.unwrapping.goldstein` does, by kernels.

The search for the cuts of least cost alone is the host's: a long chain of small steps, each of which depends on the one
before. What it needs comes down, the residues and what blocking each link costs; the links to block go up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, Device, Stream
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_pixel, each_pixel_by_row, each_row
from qpi_live.models.classical.unwrapping.branch_cuts import (
    bright_from,
    cheapest_flow,
    sampled_every,
    typical_amplitude,
)
from qpi_live.models.classical.unwrapping.masked_residues import residues_beside
from qpi_live.models.classical.unwrapping.regions import settle_turns
from qpi_live.models.classical.unwrapping.separated_parts import level_parts

_SOURCES = ("cuts.cu", "regions.cu")
_COUNTED = ("residues", "has_cuts", "has_mask", "bright_links", "regions", "votes", "has_disputed", "unused")
_COUNTS = np.dtype([*((name, "<i4") for name in _COUNTED), ("largest", "<u8")])  # Counts in phase.cuh
_LAST_NUMBER = 2**31 - 1  # last_number there
_LINK_BLOCKS = 128  # of threads, which share the links to block


@dataclass(frozen=True, slots=True)
class UnwrapCounts:
    """What was counted while a frame was unwrapped.

    Attributes:
        residues: how many, within the mask too.
        bright_links: how many links between bright pixels cuts block, as in `BranchCuts`.
        regions: into which cuts divide the frame; 0 where there are no cuts.
        votes: blocked links between two regions.
        has_disputed: whether some pixels are; valid after `join_regions`.
        largest_root: the number y · W + x of the largest region's first pixel.
    """

    residues: int
    bright_links: int
    regions: int
    votes: int
    has_disputed: bool
    largest_root: int


class CudaUnwrapper:
    """Unwraps phase maps of one shape on one device, without allocating device memory for a frame.

    `enqueue` lists the residues and integrates as if there were none, always by the same kernels, so that they can be
    captured into a graph. Where `counts` then says that there are some, or a part is masked, `cut` lets the host find
    the cuts and integrates anew; where they enclose regions, `join_regions` gives those the turns that their borders
    support best.

    Attributes:
        wrapped: (H, W) float32 on the device, in rad, |φ| ≤ π, no NaN: what is unwrapped.
        amplitude: (H, W) float32 on the device, in grey values: how bright the fringes are that it came from.
        phase: (H, W) float32 on the device, in rad: the result.
        mask: (H, W) uint8 on the device: not 0 on pixels that `cut` was to leave out.
        disputed: (H, W) uint8 on the device: after `join_regions`, 1 outside of the largest region and of the mask.
        right, down: (H, W) uint8 on the device: the links that cuts block, as in `BranchCuts`.

    Args:
        device: where.
        shape: (H, W) in pixels, at least 2 × 2, at most 65,535 × 32,000.

    Raises:
        DeviceOutOfMemory: there are no 68 bytes a pixel.
    """

    def __init__(self, device: Device, shape: tuple[int, int]) -> None:
        self.shape = shape
        height, width = shape
        self._device = device
        self._height, self._width = np.int32(height), np.int32(width)
        self._every = sampled_every(shape)
        self._sample_shape = tuple(-(-length // self._every) for length in shape)
        self._set = KernelSet(
            device,
            _SOURCES,
            {
                "list_residues": each_row(height - 1),
                "sample_amplitude": each_row(self._sample_shape[0]),
                "price_links": each_row(height + 1),
                "block_links": each_pixel((_LINK_BLOCKS, 256)),
                "block_mask": each_pixel_by_row(shape),
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
        self._mask_there: NDArray[np.bool_] | None = None
        self._bright_from = np.float32(0)
        pixels, allocate = height * width, self._set.allocate
        self.wrapped, self.phase, self.disputed = allocate(4 * pixels), allocate(4 * pixels), allocate(pixels)
        self.amplitude, self.mask = allocate(4 * pixels), allocate(pixels)
        self.right, self.down = allocate(pixels), allocate(pixels)
        self._counts, self._of_rows = allocate(_COUNTS.itemsize), allocate(4 * height)
        # In the worst case every pixel is a region of its own.
        self._turns, self._run_start, self._forest = allocate(2 * pixels), allocate(2 * pixels), allocate(8 * pixels)
        self._region_pixels, self._region_turns = allocate(4 * pixels), allocate(4 * pixels)
        self._roots, self._turns_to_add = allocate(4 * pixels), allocate(4 * pixels)
        self._votes = allocate(24 * pixels)  # two links a pixel, three numbers a vote
        # What is needed one after the other shares its memory.
        self._residues, self._sample = self._roots, self._turns_to_add
        self._prices = self._links = self._votes

    def enqueue(self, stream: Stream) -> None:
        """List the residues of `wrapped` and unwrap it into `phase` as if there were none."""
        stream.fill(self._counts, 0)
        self._set.launch(stream, "list_residues", self.wrapped, self._counts, self._residues, self._width)
        self.enqueue_integration(stream)

    def cut(self, stream: Stream, mask: NDArray[np.bool_] | None = None) -> int:
        """Unwrap once more, with the branch cuts of least cost.

        Waits for what the host needs to find them, and enqueues the rest: `phase` anew, and `counts` of regions. To be
        called where `counts` says that there are residues, or a part is masked.

        Args:
            stream: where.
            mask: (H, W) bool on the host, True on pixels to leave out; None: none.

        Returns:
            How many residues touch no pixel of the mask.
        """
        residues = self._fetch_residues(stream)
        self._begin_cuts(stream, mask)
        flow = cheapest_flow(residues, mask, lambda: self._fetch_prices(stream, mask))
        self._block(stream, flow[:2] if flow is not None else ())
        if mask is not None:
            self._set.launch(stream, "block_mask", self.mask, self.right, self.down, self._height, self._width)
            residues = residues_beside(residues, mask)
        self.enqueue_integration(stream)
        self.enqueue_counts(stream)
        return len(residues)

    def take_cuts(self, stream: Stream, right: Array, down: Array) -> None:
        """Block the links to the right and down from where these, (H, W) of a byte each, are not 0, and no others."""
        self._begin_cuts(stream, None)
        self._block(stream, (right, down))

    def enqueue_integration(self, stream: Stream) -> None:
        """Integrate `wrapped` without crossing a cut."""
        launch, wrapped, counts, forest = self._set.launch, self.wrapped, self._counts, self._forest
        right, down, turns, width = self.right, self.down, (self._turns, self._run_start), self._width
        launch(stream, "count_turns", wrapped, right, counts, *turns, forest, self._region_pixels, width)
        launch(stream, "link_first_column", wrapped, down, counts, self._of_rows, forest, self._height, width)
        launch(stream, "link_rows", wrapped, down, counts, *turns, forest, width)
        launch(stream, "measure_regions", right, self.mask, counts, self._run_start, forest, self._region_pixels, width)
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
        residues, bright, regions, votes = (
            int(found[name]) for name in ("residues", "bright_links", "regions", "votes")
        )
        return UnwrapCounts(residues, bright, regions, votes, bool(found["has_disputed"]), root)

    def join_regions(self, stream: Stream, mask: NDArray[np.bool_] | None = None) -> None:
        """Give every region the multiple of 2π that the links around it support best (`regions.settle_turns`).

        Waits for the votes to come down, which are few beside the pixels, and enqueues the rest: `phase` anew,
        `disputed`, and `counts`. To be called where `counts` says that there is more than one region. Where a mask
        separates regions, waits for those too: the host levels them (`separated_parts.level_parts`).

        Args:
            stream: where.
            mask: what `cut` was given.
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
        launch, width = self._set.launch, self._width
        launch(stream, "settle_regions", self._roots, self._turns_to_add, self._region_turns, np.int32(len(roots)))
        of_runs = (self._turns, self._run_start, self._forest, self._region_turns)
        result = (np.int32(counts.largest_root), self.phase, self.disputed, width)
        launch(stream, "add_turns_of_regions", self.wrapped, self.mask, self._counts, *of_runs, *result)
        self.enqueue_counts(stream)
        if mask is not None:
            stream.synchronize()
            if self.counts.has_disputed:
                self._level_parts(stream, mask)

    def _level_parts(self, stream: Stream, mask: NDArray[np.bool_]) -> None:
        phase, disputed = (self._device.page_locked(self.shape, np.dtype(kind)) for kind in (np.float32, np.bool_))
        stream.download(self.phase, phase)
        stream.download(self.disputed, disputed)
        stream.synchronize()
        level_parts(phase, disputed, mask)
        stream.upload(phase, self.phase)
        stream.synchronize()

    def _fetch_residues(self, stream: Stream) -> NDArray[np.int32]:
        """(n, 3) int32 rows (y, x, charge) in raster order, as `find_residues` gives them."""
        listed = np.empty(self.counts.residues, np.uint32)
        if len(listed):
            stream.download(self._residues, listed)
            stream.synchronize()
        listed.sort()
        y, x = np.divmod(listed >> 1, np.uint32(self._width))
        return np.stack((y, x, 2 * (listed & 1).astype(np.int32) - 1), axis=1).astype(np.int32)

    def _fetch_prices(self, stream: Stream, mask: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        """What blocking each link costs, as `cheapest_flow` asks for it."""
        (height, width), launch = self.shape, self._set.launch
        sample = self._device.page_locked(self._sample_shape, np.dtype(np.float32))
        sizes = (np.int32(self._every), np.int32(sample.shape[1]), self._width)
        launch(stream, "sample_amplitude", self.amplitude, self._sample, *sizes)
        stream.download(self._sample, sample)
        stream.synchronize()
        typical = typical_amplitude(sample, mask)
        self._bright_from = bright_from(typical)
        prices = self._device.page_locked((2, height + 1, width + 1), np.dtype(np.uint8))
        of_frame = (self.wrapped, self.amplitude, self._counts, self.mask)
        launch(stream, "price_links", *of_frame, np.float32(1 / typical), self._prices, self._height, self._width)
        stream.download(self._prices, prices)
        stream.synchronize()
        return prices

    def _begin_cuts(self, stream: Stream, mask: NDArray[np.bool_] | None) -> None:
        """No cuts yet, and this mask."""
        if mask is not None and (self._mask_there is None or not np.array_equal(mask, self._mask_there)):
            self._mask_there = mask.copy()  # of most streams it is the same in every frame
            stream.upload(self._mask_there, self.mask)
        counts = np.zeros(1, _COUNTS)
        counts["residues"], counts["has_cuts"], counts["has_mask"] = self.counts.residues, 1, mask is not None
        stream.upload(counts, self._counts)
        for links in (self.right, self.down):
            stream.fill(links, 0)
        stream.synchronize()  # the array is gone when this returns

    def _block(self, stream: Stream, right_and_down: tuple[Array, ...]) -> None:
        """Block the links of pixels where these are not 0; they are on their way to the device when this returns."""
        places = [np.flatnonzero(links.view(np.bool_)) for links in right_and_down]
        links = np.array([], np.uint32)
        if places:
            links = np.concatenate([2 * pixel + leads_down for leads_down, pixel in enumerate(places)]).astype(
                np.uint32
            )
        if len(links) == 0:
            return
        stream.upload(links, self._links)
        of_frame = (self.amplitude, self.mask, self._bright_from, self.right, self.down, self._counts, self._width)
        self._set.launch(stream, "block_links", self._links, np.int32(len(links)), *of_frame)
        stream.synchronize()

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
