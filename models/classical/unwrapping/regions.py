"""Connected regions between branch cuts, and the whole turns that lie between them.

A run is a stretch of one row whose links are all open. Runs are the elements of a union-find structure (Galler and
Fischer 1964). Each link to a parent carries the turns by which the run differs from it. So finding a run's root also
tells its turns relative to the root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts, turns_between

_STRETCH_PX = 64  # of a row, that are looked at together


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of a frame, numbered in raster order.

    Attributes:
        first_of_row: (H + 1,) int32, the number of each row's first run; the last entry is the count of runs.
        start: (n,) int32, the column where a run begins.
        root: (n,) int32, the first run of the region, which stands for all of it.
        turns: (n,) int32, whole turns to add to the run's pixels on top of those counted along the row.
    """

    first_of_row: NDArray[np.int32]
    start: NDArray[np.int32]
    root: NDArray[np.int32]
    turns: NDArray[np.int32]

    @property
    def is_one_region(self) -> bool:
        """Whether every run is linked with every other."""
        return bool((self.root == self.root[0]).all())


def link_runs(wrapped_rad: NDArray[np.float32], turns: NDArray[np.int16], cuts: BranchCuts) -> Runs:
    """Cut the rows into runs and link each with those above it wherever a link is open.

    Args:
        wrapped_rad: (H, W) float32 in rad.
        turns: (H, W) int16, turns counted along each row from its first pixel, cuts ignored.
        cuts: which links are blocked.
    """
    first_of_row, start = _find_runs(cuts.right, _blocked(cuts.right))
    parent = np.arange(len(start), dtype=np.int32)
    above_parent = np.zeros(len(start), np.int32)
    _link_rows(wrapped_rad, turns, cuts.down, first_of_row, start, parent, above_parent)
    _flatten(parent, above_parent)
    return Runs(first_of_row, start, parent, above_parent)


def join_regions(
    wrapped_rad: NDArray[np.float32],
    turns: NDArray[np.int16],
    cuts: BranchCuts,
    runs: Runs,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_] | None:
    """Give every region the multiple of 2π that the blocked links around it support best; changes `runs.turns`.

    Each blocked link between two regions votes for the multiple that would make the step across it shorter than π;
    `settle_turns` says how the votes are counted.

    Args:
        wrapped_rad: (H, W) float32 in rad.
        turns: (H, W) int16, as for `link_runs`.
        cuts: which links are blocked.
        runs: what `link_runs` made of them.
        mask: (H, W) bool, True on pixels that are left out; cuts separate them from the others.

    Returns:
        (H, W) bool, True outside of the largest region and of the mask; None where that is nowhere.
    """
    disputed = np.zeros(wrapped_rad.shape, np.bool_)
    left_out = np.zeros(wrapped_rad.shape, np.bool_) if mask is None else mask
    largest = _mark_islands(runs.first_of_row, runs.start, runs.root, left_out, disputed)
    blocked = _blocked(cuts.right) + _blocked(cuts.down)
    votes = _collect_votes(
        wrapped_rad, turns, cuts.right, cuts.down, blocked, runs.first_of_row, runs.start, runs.root, runs.turns
    )
    is_root = runs.root == np.arange(len(runs.root))
    region_of_root = np.cumsum(is_root) - 1
    votes[:, :2] = region_of_root[votes[:, :2]]
    region_turns = settle_turns(votes, int(is_root.sum()), int(region_of_root[largest]))
    runs.turns[:] += region_turns[region_of_root[runs.root]]
    return disputed if mask is None or disputed.any() else None


def settle_turns(votes: NDArray[np.int32], regions: int, largest: int) -> NDArray[np.int32]:
    """The whole turns to add to each region, as the links between regions support it best.

    A multiple's support is its votes less those that disagree. Regions are joined in the order of that support, best
    first. So one with a long, consistent border is settled before one that is barely touched.

    Args:
        votes: (n, 3) int32 rows in any order, one for each blocked link between two regions. A row has the numbers of
            the regions, smaller first, and the turns that the second would need.
        regions: how many there are, numbered from 0 in the raster order of their first pixels.
        largest: the number of the one that keeps its turns.

    Returns:
        (regions,) int32.
    """
    # Sorting single integers is many times faster than sorting rows of three.
    first, second, missing = (votes[:, column].astype(np.int64) for column in range(3))
    pair = first * regions + second
    lowest = missing.min()
    span = int(missing.max() - lowest) + 1
    motions, counts = np.unique(pair * span + (missing - lowest), return_counts=True)
    pairs, pair_of_motion = np.unique(motions // span, return_inverse=True)
    support = 2 * counts - np.bincount(pair_of_motion, counts)[pair_of_motion]
    order = np.argsort(-support, kind="stable")
    pair = pairs[pair_of_motion[order]]
    return _join(pair // regions, pair % regions, motions[order] % span + lowest, regions, largest)


def _blocked(links: NDArray[np.uint8]) -> int:
    """How many are. Summing takes ten times as long."""
    return int(np.count_nonzero(links.view(np.bool_)))


@numba.njit(nogil=True, cache=True)
def _find_runs(right: NDArray[np.uint8], blocked: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    height, width = right.shape
    first_of_row = np.empty(height + 1, np.int32)
    start = np.empty(height + blocked, np.int32)
    count = 0
    for y in range(height):
        first_of_row[y] = count
        start[count] = 0
        count += 1
        for x in range(width - 1):
            if right[y, x]:
                start[count] = x + 1
                count += 1
    first_of_row[height] = count
    return first_of_row, start[:count]


@numba.njit(nogil=True, cache=True)
def _find(run: int, parent: NDArray[np.int32], above: NDArray[np.int32]) -> int:
    """The root of a run; afterwards the run and all on its way hang directly from the root."""
    root = run
    total = np.int32(0)
    while parent[root] != root:
        total += above[root]
        root = parent[root]
    while parent[run] != root and run != root:
        following, own = parent[run], above[run]
        parent[run], above[run] = root, total
        total -= own
        run = following
    return root


@numba.njit(nogil=True, cache=True)
def _link_rows(wrapped, turns, down, first_of_row, start, parent, above_parent):  # type: ignore[no-untyped-def]
    height, width = wrapped.shape
    for y in range(height - 1):
        upper, lower = first_of_row[y], first_of_row[y + 1]
        x = 0
        while x < width:
            upper_end = start[upper + 1] if upper + 1 < first_of_row[y + 1] else width
            lower_end = start[lower + 1] if lower + 1 < first_of_row[y + 2] else width
            end = min(upper_end, lower_end)
            while x < end and down[y, x]:
                x += 1
            if x < end:  # one open link is enough
                step = turns_between(wrapped[y, x], wrapped[y + 1, x])
                # turns of the upper pixel − step = turns of the lower pixel
                difference = np.int32(turns[y, x]) - np.int32(step) - np.int32(turns[y + 1, x])
                upper_root, lower_root = _find(upper, parent, above_parent), _find(lower, parent, above_parent)
                between_roots = above_parent[upper] + difference - above_parent[lower]
                if upper_root < lower_root:  # a region's root is its first run, so that its number says where it is
                    parent[lower_root], above_parent[lower_root] = upper_root, between_roots
                elif lower_root < upper_root:
                    parent[upper_root], above_parent[upper_root] = lower_root, -between_roots
            x = end
            if end == upper_end:
                upper += 1
            if end == lower_end:
                lower += 1


@numba.njit(nogil=True, cache=True)
def _flatten(parent: NDArray[np.int32], above_parent: NDArray[np.int32]) -> None:
    for run in range(len(parent)):
        _find(run, parent, above_parent)


@numba.njit(nogil=True, cache=True)
def _mark_islands(
    first_of_row: NDArray[np.int32],
    start: NDArray[np.int32],
    root: NDArray[np.int32],
    mask: NDArray[np.bool_],
    disputed: NDArray[np.bool_],
) -> int:
    """Mark all but the largest region and the mask; returns the largest one's root."""
    height, width = disputed.shape
    size = np.zeros(len(root), np.int64)
    for y in range(height):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            if not mask[y, start[run]]:  # a run is wholly within the mask or outside of it
                end = start[run + 1] if run + 1 < first_of_row[y + 1] else width
                size[root[run]] += end - start[run]
    largest = int(np.argmax(size))
    for y in range(height):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            if root[run] != largest and not mask[y, start[run]]:
                end = start[run + 1] if run + 1 < first_of_row[y + 1] else width
                disputed[y, start[run] : end] = True
    return largest


@numba.njit(nogil=True, cache=True)
def _collect_votes(  # type: ignore[no-untyped-def]  # noqa: PLR0912
    wrapped, turns, right, down, blocked, first_of_row, start, root, run_turns
):
    """(n, 3) int32: each blocked link's two regions, smaller root first, and the turns that the second would need."""
    height, width = wrapped.shape
    votes = np.empty((blocked, 3), np.int32)
    count = 0
    run_here = np.empty(width, np.int32)
    run_below = np.empty(width, np.int32)
    _runs_of_row(0, first_of_row, start, run_below)
    for y in range(height):
        run_here, run_below = run_below, run_here
        if y + 1 < height:
            _runs_of_row(y + 1, first_of_row, start, run_below)
        for start_x in range(0, width, _STRETCH_PX):
            end_x = min(start_x + _STRETCH_PX, width)
            blocked = np.uint8(0)
            for x in range(start_x, end_x):  # vectorises, and most stretches have none
                blocked |= right[y, x] | down[y, x]
            if blocked == 0:
                continue
            for x in range(start_x, end_x):
                for downwards in (False, True):
                    if downwards:
                        if y + 1 == height or not down[y, x]:
                            continue
                        y2, x2, run2 = y + 1, x, run_below[x]
                    else:
                        if x + 1 == width or not right[y, x]:
                            continue
                        y2, x2, run2 = y, x + 1, run_here[x + 1]
                    run1 = run_here[x]
                    if root[run1] == root[run2]:
                        continue
                    here = turns[y, x] + run_turns[run1]
                    there = turns[y2, x2] + run_turns[run2]
                    missing = here - np.int32(turns_between(wrapped[y, x], wrapped[y2, x2])) - there
                    if root[run1] < root[run2]:
                        votes[count, 0], votes[count, 1], votes[count, 2] = root[run1], root[run2], missing
                    else:
                        votes[count, 0], votes[count, 1], votes[count, 2] = root[run2], root[run1], -missing
                    count += 1
    return votes[:count]


@numba.njit(nogil=True, cache=True)
def _runs_of_row(y: int, first_of_row: NDArray[np.int32], start: NDArray[np.int32], run_at: NDArray[np.int32]) -> None:
    for run in range(first_of_row[y], first_of_row[y + 1]):
        end = start[run + 1] if run + 1 < first_of_row[y + 1] else len(run_at)
        run_at[start[run] : end] = run


@numba.njit(nogil=True, cache=True)
def _join(
    first_region: NDArray[np.int64],
    second_region: NDArray[np.int64],
    missing_turns: NDArray[np.int64],
    regions: int,
    largest: int,
) -> NDArray[np.int32]:
    """Join the regions of each pair in turn, then express all turns relative to the largest region."""
    parent = np.arange(regions).astype(np.int32)
    above = np.zeros(regions, np.int32)
    for first, second, missing in zip(first_region, second_region, missing_turns):  # noqa: B905 (Numba knows no strict)
        first_root, second_root = _find(first, parent, above), _find(second, parent, above)
        if first_root != second_root:
            parent[second_root] = first_root
            above[second_root] = above[first] + missing - above[second]
    for region in range(regions):
        _find(region, parent, above)
    return above - above[largest]  # type: ignore[no-any-return]
