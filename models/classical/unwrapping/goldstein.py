"""Goldstein's branch-cut phase unwrapping."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts, find_residues, place_cuts, turns_between
from qpi_live.models.classical.unwrapping.masked_residues import residues_beside
from qpi_live.models.classical.unwrapping.regions import join_regions, link_runs
from qpi_live.models.classical.unwrapping.separated_parts import level_parts

_TWO_PI = np.float32(2 * np.pi)
WIDEST = 65_535  # a row's turns are kept in int16, and no two links in a row are wrapped the same way


@dataclass(frozen=True, slots=True, eq=False)
class Unwrapped:
    """An unwrapped phase and how it came about.

    Attributes:
        phase_rad: (H, W) float32 in rad, owned by the caller.
        residues: (n, 3) int32 rows (y, x, charge), less those within the mask.
        disputed_mask: (H, W) bool, True in regions that cuts enclose or the mask separates; False within the mask; None
            where there are none. Enclosed regions have the best-supported multiple of 2π. Separated ones have that at
            which their ground goes on smoothly.
        bright_cut_links: how many links between bright pixels cuts block (`BranchCuts.bright_links`). The phase may
            show steps of 2π there.
    """

    phase_rad: NDArray[np.float32]
    residues: NDArray[np.int32]
    disputed_mask: NDArray[np.bool_] | None
    bright_cut_links: int = 0

    @property
    def disputed_pixels(self) -> int:
        """How many pixels are disputed."""
        return 0 if self.disputed_mask is None else int(np.count_nonzero(self.disputed_mask))


def unwrap(
    wrapped_rad: NDArray[np.float32],
    amplitude: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    bands: RowBands | None = None,
) -> Unwrapped:
    """Unwrap a phase map with branch cuts (Goldstein, Zebker, Werner 1988) of least total cost.

    A whole number of 2π is added to each pixel, never integrating across a cut. Without residues the result equals any
    correct unwrapper's up to one multiple of 2π for the whole frame.

    Args:
        wrapped_rad: (H, W) float32 on the host, C-contiguous, in rad, |φ| ≤ π (a hair over does no harm), no NaN.
        amplitude: (H, W) float32 of the field, in any unit: cuts run where it is small; None: the same everywhere.
        mask: (H, W) bool, True on pixels to leave out: the phase of the others does not depend on theirs, which is
            unwrapped as chance has it; None: none.
        bands: the threads to use; None: all cores.

    Raises:
        ValueError: another dtype or number of dimensions, less than 2 × 2 px, or wider than 65,535 px; amplitude or
            mask of another shape or dtype.

    Example:
        >>> y, x = np.mgrid[:64, :64].astype(np.float32)
        >>> true = (0.02 * (x - 32) ** 2).astype(np.float32)
        >>> wrapped = np.angle(np.exp(1j * true)).astype(np.float32)
        >>> unwrapped = unwrap(wrapped).phase_rad
        >>> bool(np.ptp(unwrapped - true) < 1e-4)
        True
    """
    _check(wrapped_rad, amplitude, mask)
    bands = bands or RowBands(wrapped_rad.shape[0])
    residues = find_residues(wrapped_rad, bands)
    if mask is not None and not mask.any():
        mask = None
    needs_cuts = len(residues) > 0 or mask is not None
    cuts = place_cuts(residues, wrapped_rad, amplitude, mask, bands) if needs_cuts else None
    unwrapped = integrate(wrapped_rad, residues, cuts, bands, mask)
    if mask is not None and unwrapped.disputed_mask is not None:
        level_parts(unwrapped.phase_rad, unwrapped.disputed_mask, mask)
    return unwrapped


def integrate(
    wrapped_rad: NDArray[np.float32],
    residues: NDArray[np.int32],
    cuts: BranchCuts | None,
    bands: RowBands,
    mask: NDArray[np.bool_] | None = None,
) -> Unwrapped:
    """The unwrapped phase given the cuts; None for a phase without residues and mask, which needs none.

    Rows are cut into runs of pixels whose links are open. Within a run the turns simply add up; runs are linked through
    any one open link between them, in a union-find structure whose links carry whole turns. That is exact, because
    outside of the cuts no closed path gains a turn.
    """
    if cuts is None:  # the usual frame: one pass, and whole rows vectorise
        phase = np.empty_like(wrapped_rad)
        bands.run(_unwrap_rows, wrapped_rad, _first_column_turns(wrapped_rad), phase)
        return Unwrapped(phase, residues, None)
    turns = np.empty(wrapped_rad.shape, np.int16)
    bands.run(_count_turns, wrapped_rad, turns)
    runs = link_runs(wrapped_rad, turns, cuts)
    disputed = None
    if not runs.is_one_region:
        disputed = join_regions(wrapped_rad, turns, cuts, runs, mask)
    phase = np.empty_like(wrapped_rad)
    bands.run(_add_run_turns, wrapped_rad, turns, runs.first_of_row, runs.start, runs.turns, phase)
    if mask is not None:
        residues = residues_beside(residues, mask)
    return Unwrapped(phase, residues, disputed, cuts.bright_links)


def _check(
    wrapped_rad: NDArray[np.float32], amplitude: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None
) -> None:
    if wrapped_rad.dtype != np.float32 or wrapped_rad.ndim != 2:
        raise ValueError(
            f"expected a 2-D wrapped phase of float32, got shape {wrapped_rad.shape} of {wrapped_rad.dtype}; "
            "convert it with .astype(np.float32)"
        )
    if min(wrapped_rad.shape) < 2 or wrapped_rad.shape[1] > WIDEST:
        raise ValueError(f"expected at least 2 × 2 px and at most {WIDEST} columns, got {wrapped_rad.shape}")
    for name, layer, dtype in (("an amplitude", amplitude, np.float32), ("a mask", mask, np.bool_)):
        if layer is not None and (layer.dtype != dtype or layer.shape != wrapped_rad.shape):
            raise ValueError(
                f"expected {name} of the phase's shape {wrapped_rad.shape} and of {np.dtype(dtype)}, "
                f"got shape {layer.shape} of {layer.dtype}"
            )


@numba.njit(nogil=True, cache=True)
def _count_turns(first_row: int, last_row: int, wrapped: NDArray[np.float32], turns: NDArray[np.int16]) -> None:
    """Turns to add to each pixel, relative to the first pixel of its row and as though there were no cuts."""
    width = wrapped.shape[1]
    steps = np.empty(width, np.int16)
    for y in range(first_row, last_row):
        for x in range(width - 1):
            steps[x] = np.int16(turns_between(wrapped[y, x], wrapped[y, x + 1]))
        total = np.int16(0)
        turns[y, 0] = 0
        for x in range(width - 1):
            total = np.int16(total - steps[x])
            turns[y, x + 1] = total


@numba.njit(nogil=True, cache=True)
def _first_column_turns(wrapped: NDArray[np.float32]) -> NDArray[np.int32]:
    row_turns = np.zeros(wrapped.shape[0], np.int32)
    for y in range(wrapped.shape[0] - 1):
        row_turns[y + 1] = row_turns[y] - np.int32(turns_between(wrapped[y, 0], wrapped[y + 1, 0]))
    return row_turns


@numba.njit(nogil=True, cache=True)
def _unwrap_rows(
    first_row: int,
    last_row: int,
    wrapped: NDArray[np.float32],
    row_turns: NDArray[np.int32],
    phase: NDArray[np.float32],
) -> None:
    """Add the turns that are gained along each row to those of its first pixel."""
    width = wrapped.shape[1]
    turns = np.zeros(width, np.int32)
    for y in range(first_row, last_row):
        for x in range(1, width):
            turns[x] = np.int32(turns_between(wrapped[y, x - 1], wrapped[y, x]))
        total = row_turns[y]
        for x in range(width):
            total -= turns[x]  # the first one is 0
            turns[x] = total
        for x in range(width):
            phase[y, x] = wrapped[y, x] + _TWO_PI * np.float32(turns[x])
        turns[0] = 0


@numba.njit(nogil=True, cache=True)
def _add_run_turns(
    first_row: int,
    last_row: int,
    wrapped: NDArray[np.float32],
    turns: NDArray[np.int16],
    first_of_row: NDArray[np.int32],
    start: NDArray[np.int32],
    run_turns: NDArray[np.int32],
    phase: NDArray[np.float32],
) -> None:
    width = wrapped.shape[1]
    for y in range(first_row, last_row):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            end = start[run + 1] if run + 1 < first_of_row[y + 1] else width
            base = run_turns[run]
            for x in range(start[run], end):
                phase[y, x] = wrapped[y, x] + _TWO_PI * np.float32(turns[y, x] + base)
