"""Tells the pattern of a colour mosaic, or of a sensor's two read-outs, from a raw frame's 2 × 2 sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.spectrum import Frequency

_QUAD_FAINTEST = 0.12  # likewise of blocks of 2 × 2; fainter ones leave the fringes' own line the strongest
_QUAD_LINES = ((0, 1), (1, 0), (1, 1), (1, 3))  # in quarters of a cycle per pixel
_FAINTEST = 0.02  # of the mean; below, the pattern's copies of the fringes drown in everything else
_MOST_ROWS = 512


@dataclass(frozen=True, slots=True)
class Mosaic:
    """How the gain of a frame's pixels alternates, as shares of the mean gain, 0 … 1.

    Each pattern puts a line at a self-conjugate frequency, and around it a copy of everything that lies around zero.

    Attributes:
        columns: from column to column.
        rows: from row to row.
        checkers: like the fields of a chessboard.
    """

    columns: float = 0.0
    rows: float = 0.0
    checkers: float = 0.0

    @property
    def is_there(self) -> bool:
        """Whether the pattern matters."""
        return max(self.columns, self.rows, self.checkers) > _FAINTEST

    @property
    def is_colour(self) -> bool:
        """Whether it is that of colour filters, and not of columns or rows that are read out on two ways."""
        return self.checkers > _FAINTEST or min(self.columns, self.rows) > _FAINTEST

    @property
    def lines(self) -> tuple[Frequency, ...]:
        """The self-conjugate frequencies at which it has a line."""
        sites = (((0.0, 0.5), self.columns), ((0.5, 0.0), self.rows), ((0.5, 0.5), self.checkers))
        return tuple(frequency for frequency, share in sites if share > _FAINTEST)

    @property
    def sentence(self) -> str:
        """What it is, for a person."""
        if self.is_colour:
            sites = "every second pixel" if max(self.columns, self.rows) < self.checkers else "one colour's pixels"
            return f"The frame is a colour mosaic: {sites} carry most of the light"
        which, share = ("columns", self.columns) if self.columns > self.rows else ("rows", self.rows)
        return f"Even and odd {which} differ by {2 * share:.0%}, as of a sensor that is read out on two ways"


NO_MOSAIC = Mosaic()


def find_mosaic(pixels: Pixels) -> Mosaic:
    """The mosaic of a frame of at least 2 × 2 px; one without a pattern has shares near 0."""
    height, width = (length // 2 * 2 for length in pixels.shape)
    # Pairs of rows, evenly taken: enough for the mean of each site, at a part of the cost.
    step = 2 * max(1, height // _MOST_ROWS)
    sites = np.array(
        [[pixels[y:height:step, x:width:2].mean(dtype=np.float64) for x in (0, 1)] for y in (0, 1)], np.float64
    )
    total = max(float(sites.sum()), 1e-30)
    signs = np.array([1.0, -1.0])
    columns, rows = float((sites * signs[None, :]).sum()), float((sites * signs[:, None]).sum())
    checkers = float((sites * np.outer(signs, signs)).sum())
    return Mosaic(abs(columns) / total, abs(rows) / total, abs(checkers) / total)


def is_quad_mosaic(pixels: Pixels) -> bool:
    """Whether the filters of a frame's colours each cover 2 × 2 pixels, so that all repeats every four pixels.

    It has lines at several frequencies of a quarter of a cycle, whose copies of the fringes leave no room for a pass
    band. Fringes of exactly four pixels have one such line, or two where the reference waves are several.
    """
    height, width = (length // 4 * 4 for length in pixels.shape)
    step = 4 * max(1, height // (2 * _MOST_ROWS))
    sites = [[pixels[y:height:step, x:width:4].mean(dtype=np.float64) for x in range(4)] for y in range(4)]
    lines = np.abs(np.fft.fft2(sites))
    quarters = sorted(lines[y, x] / max(lines[0, 0], 1e-30) for y, x in _QUAD_LINES)
    return bool(quarters[-2] > _QUAD_FAINTEST)
