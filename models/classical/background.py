"""A polynomial fitted to the ground between the objects of an unwrapped phase map.

Without a calibration frame the tilt, defocus and higher aberrations of the microscope lie under the sample. They are
smooth, the sample is not, and where there is no sample the phase is theirs alone.
"""

from __future__ import annotations

from abc import abstractmethod
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import Aberration, Background, MeansOver
from qpi_live.models.classical.plateaus import on_one_level
from qpi_live.models.classical.polynomial import (
    as_matrix,
    count_terms,
    factorise,
    solve,
    step_terms_at,
    terms_at,
)
from qpi_live.models.classical.robust_fit import RIM, Samples, Values, fit_in_rounds

Lit = NDArray[np.bool_]

NEAR_RAD = 0.2
"""How far from its polynomial a block of ground may lie."""

_TRIAL_ROUNDS, _MOST_ROUNDS, _STEP_ROUNDS = 3, 10, 7
_JUDGED_SHARE = 0.25  # of the blocks: the flattest ones, whose spread tells the orders apart
# A higher order must bring the likely error below this part of a lower one's; a tilt beside a calibration frame, where
# most likely nothing has drifted, below that.
_WORTH_AN_ORDER, _WORTH_A_TILT = 0.95, 0.7
_BENT = 0.3  # likewise of order 2, beyond which a fit of order 1 has left a bend
_BLOCKS_A_TERM = 4
_ALIKE_BLOCKS = 0.3  # neighbours err alike, so that so many count as one sample
_LEVERAGE_POINTS = 8  # along an edge
# Times the range that counts as ground: how far a sample on the side without objects may lie off and still pull; not at
# all in trials.
_PULLING, _NO_PULL = np.float32(4), np.float32(1)
_NOWHERE = np.zeros(0, np.int64)


class BackgroundFit(Background):
    """`Background` that fits a polynomial.

    The slopes of the map are fitted first, with Cauchy weights. An object's slopes cancel around its rim and scatter,
    whereas the ground's agree. So the fit holds even where objects cover much of the frame. Then the polynomial itself
    is fitted to what lies near the most frequent level, in rounds; what stands out above or below is object. Colomb et
    al. (2006) likewise fit the aberration where the specimen is flat.

    A polynomial of high order bends around objects. So the order rises from 1 only while the flattest part of the frame
    becomes flatter by it. The gain has to be more than extrapolation beyond the ground loses. Where the order may be
    1 at most, as beside a calibration frame, it rises from 0.

    Attributes:
        tried: the highest order that is tried; of order 1 also 2, to see whether the ground is bent.

    Args:
        shape: (H, W) in pixels.
        order: the highest total power of y and x, 0 … 6; 0 takes only the level off.
        threads: CPU threads to use, None for all cores.

    Raises:
        ValueError: the order is outside of 0 … 6.
    """

    def __init__(self, shape: tuple[int, int], order: int = 4, threads: int | None = None) -> None:
        if not 0 <= order <= 6:
            raise ValueError(f"expected a background order of 0 to 6, got {order}")
        super().__init__(shape, order, threads)
        y, x = self.at
        self._all = terms_at(y, x, order)
        self.tried = 2 if order == 1 else order
        self._every_other = terms_at(y[::2], x[::2], self.tried)  # orders are tried on a quarter of the blocks
        self._steps = step_terms_at(y, x, self.tried)
        self._points = _spread_over(len(y[::2]), len(x[::2]))

    def _found(self, means_rad: Samples, lit: Lit | None) -> Aberration:
        if lit is not None and not lit.any():
            return Aberration(as_matrix(np.zeros(1), self.order), 0, 0.0)
        highest = self._highest(means_rad, lit)
        starts = [np.zeros(1)]
        if highest > 0:
            starts = fit_steps(self._steps, means_rad, lit, 2 if self.order == 1 else highest)
            means_rad = on_one_level(
                means_rad, means_rad - self._at_blocks(as_matrix(starts[-1], max(self.order, 2))), lit
            )
        order, start, is_bent = self._best_order(means_rad, lit, highest, starts)
        terms, samples = _lit_ones(self._all, means_rad, lit)
        fitted = fit_in_rounds(terms, samples, start, _MOST_ROUNDS, _PULLING, _NOWHERE)
        return Aberration(as_matrix(fitted.values, self.order), order, flattest_range(fitted.ordered), is_bent=is_bent)

    def _highest(self, means: Samples, lit: Lit | None) -> int:
        """The highest order that a quarter of the blocks is enough for."""
        samples = means[::2, ::2].size if lit is None else np.count_nonzero(lit[::2, ::2])
        highest = self.order
        while highest > 0 and count_terms(highest) * _BLOCKS_A_TERM > samples:
            highest -= 1
        return highest

    def _best_order(
        self, means: Samples, lit: Lit | None, highest: int, starts: list[Values]
    ) -> tuple[int, Values, bool]:
        """The order that the ground asks for and supports, its terms' values, roughly, and whether it is bent."""
        best, values, least = 0, np.zeros(1), np.inf
        if highest == 0:
            return best, values, False
        their_lit = None if lit is None else lit[::2, ::2]
        terms, samples = _lit_ones(self._every_other, means[::2, ::2], their_lit)
        points = self._points if their_lit is None else _among_lit(self._points, their_lit)
        lowest, worth = (0, _WORTH_A_TILT) if self.order == 1 else (1, _WORTH_AN_ORDER)
        for order in range(lowest, len(starts)):
            fitted = fit_in_rounds(terms, samples, starts[order], _TRIAL_ROUNDS, _NO_PULL, points)
            # The flattest blocks' spread, and what it becomes where there is no ground.
            likely_error_rad = flattest_range(fitted.ordered) * sqrt(1 + _ALIKE_BLOCKS * fitted.leverage)
            if order > highest:
                return best, values, likely_error_rad < _BENT * least
            if likely_error_rad < worth * least:
                best, values, least = order, fitted.values, likely_error_rad
        return best, values, False

    def by_slopes(self, means_rad: Samples, lit: Lit | None = None) -> Aberration:
        """As `fit`, by the slopes alone: rougher, without a level, and whatever whole turns lie between its parts."""
        highest = self.order
        while highest > 1 and count_terms(highest) * _BLOCKS_A_TERM > (means_rad.size if lit is None else lit.sum()):
            highest -= 1
        values = fit_steps(self._steps, means_rad, lit, highest)[highest]
        return Aberration(as_matrix(values, self.order), highest, 0.0)

    def values(self, aberration: Aberration) -> Samples:
        """The aberration's means over the blocks, as near as their centres tell, of the shape that `fit` takes."""
        return self._at_blocks(aberration.coefficients)

    def near_share(self, means_rad: Samples, lit: Lit | None, aberration: Aberration) -> float:
        """The share of the blocks, those that are lit, that lie near an aberration; 1 where none is."""
        near = np.abs(means_rad - self.values(aberration)) < NEAR_RAD
        return float(near.mean() if lit is None else near[lit].mean() if lit.any() else 1.0)

    def _at_blocks(self, coefficients: NDArray[np.float64]) -> Samples:
        values: Samples = np.polynomial.polynomial.polygrid2d(*self.at, coefficients).astype(np.float32)
        return values


class FittedFirst(Background):
    """`Background` that looks at a fitted polynomial first, wherever that was fitted, and at how much lies near it.

    Attributes:
        polynomial: what is fitted.
    """

    def __init__(self, polynomial: BackgroundFit, threads: int | None = None) -> None:
        super().__init__(polynomial.shape, polynomial.order, threads, polynomial.block_px)
        self.polynomial = polynomial

    @property
    @abstractmethod
    def awaits_fit(self) -> bool:
        """Whether the next frame's polynomial is looked at."""

    @abstractmethod
    def found_beside(
        self, fitted: Aberration, near_share: float, means_over: MeansOver, ground: NDArray[np.bool_] | None = None
    ) -> Aberration:
        """As `found_in`, where the polynomial is fitted already.

        Args:
            fitted: the polynomial.
            near_share: as `BackgroundFit.near_share` gives it.
            means_over: see `found_in`; not called where `fitted` is taken as it is.
            ground: see `remove`.
        """


def fit_steps(step_terms: Samples, means: Samples, lit: Lit | None, highest: int) -> list[Values]:
    """The values of the polynomials of each order 0 … `highest` whose steps between neighbouring blocks are likeliest.

    Their levels are left at 0. Objects' rims are left out by their weight.

    Args:
        step_terms: what `step_terms_at` gave, of that order or a higher one.
        means: (rows, columns) float32 in rad.
        lit: of the same shape, False where the phase says nothing; None: it does everywhere.
    """
    rows, columns = (2 * (length // 2) for length in means.shape)
    even = means[:rows:2, :columns:2]
    steps = np.concatenate(((means[1:rows:2, :columns:2] - even).ravel(), (means[:rows:2, 1:columns:2] - even).ravel()))
    if lit is not None:
        even_lit = lit[:rows:2, :columns:2]
        both = (even_lit & lit[1:rows:2, :columns:2], even_lit & lit[:rows:2, 1:columns:2])
        kept = np.concatenate([each.ravel() for each in both])
        step_terms, steps = np.ascontiguousarray(step_terms[:, kept]), steps[kept]
    fitted = fit_in_rounds(step_terms, steps, np.zeros(count_terms(highest) - 1), _STEP_ROUNDS, RIM, _NOWHERE)
    starts = [np.zeros(count_terms(order)) for order in range(highest + 1)]
    for start in starts[1:]:
        own = len(start) - 1  # those of a lower order come first
        start[1:] = solve(factorise(fitted.matrix[:own, :own].copy(), fitted.ridge), fitted.right[:own])
    return starts


def flattest_range(ordered: Samples) -> float:
    """The width of the narrowest interval that holds a quarter of the samples, which are in rising order."""
    held = max(int(len(ordered) * _JUDGED_SHARE), min(len(ordered), 8))
    return float((ordered[held - 1 :] - ordered[: len(ordered) - held + 1]).min())


def _lit_ones(terms: Samples, means: Samples, lit: Lit | None) -> tuple[Samples, Samples]:
    """Terms and means of the blocks that are lit, as a table and a vector."""
    if lit is None:
        return terms, means.ravel()
    return np.ascontiguousarray(terms[:, lit.ravel()]), means[lit]


def _spread_over(rows: int, columns: int) -> NDArray[np.int64]:
    """The places of a few points all over a grid of blocks, numbered through."""
    y, x = (np.arange(_LEVERAGE_POINTS) * (length - 1) // (_LEVERAGE_POINTS - 1) for length in (rows, columns))
    places: NDArray[np.int64] = (y[:, None] * columns + x[None, :]).ravel()
    return places


def _among_lit(places: NDArray[np.int64], lit: Lit) -> NDArray[np.int64]:
    """The places of those points that are lit, among the blocks that are."""
    flat = lit.ravel()
    return (np.cumsum(flat) - 1)[places[flat[places]]]
