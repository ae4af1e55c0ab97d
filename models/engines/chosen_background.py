"""The background that serves whatever comes: a polynomial, and the learned one where the polynomial finds no ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import Aberration, Background, MeansOver, ground_blocks
from qpi_live.models.classical.background import BackgroundFit, FittedFirst
from qpi_live.models.engines.learned_background import LearnedBackground, map_block_px
from qpi_live.models.engines.tracked_background import TrackedBackground

# Where the polynomial found the ground, over half of the frame lies near it: 0.52 and more on 15 real holograms and 12
# simulated cultures, 0.33 and less on tissue and on 6 dense cultures. It comes back only above the second.
_SCARCE, _AMPLE = 0.45, 0.55
_APART_RAD = 0.3  # the two backgrounds, RMS; 0.43 and more where the polynomial was wrong, 0.24 and less where not
_SURE_RAD, _TIMES_ITS_DOUBT = 0.2, 3.0  # the network's own doubt, below which it is believed
_LOOKS_AGAIN_S = 1.0

Network = Callable[[], LearnedBackground | None]


class ChosenBackground(FittedFirst):
    """`Background` that fits a polynomial, and asks the network where hardly any of the frame lies near it.

    The network is believed where it is sure, and where its background is another one. Where it is not sure, the
    polynomial stays, and how far the two are apart is the doubt. So where there is ground enough, every frame is as
    if there were no network. On a stream the network's background is then followed, see `TrackedBackground`, until the
    polynomial finds ground again.

    Args:
        fit: the polynomial.
        network: what finds the learned background; None where it cannot be had. Asked for when it is needed.
        is_live: whether frames follow closely on each other.
        threads: CPU threads for taking it off, None for all cores.
    """

    def __init__(self, fit: BackgroundFit, network: Network, is_live: bool, threads: int | None = None) -> None:
        super().__init__(fit, threads)
        self._network = network
        self._is_live = is_live
        self._threads = threads
        self._followed: TrackedBackground | None = None
        self._looks_at_s = 0.0

    def alone(self) -> Background:
        """See `Background.alone`."""
        return ChosenBackground(self.polynomial, self._network, False, self._threads) if self._is_live else self

    @property
    def blocks_px(self) -> tuple[tuple[int, int], ...]:
        """See `Background.blocks_px`."""
        return self.block_px, map_block_px(self.shape)

    @property
    def awaits_fit(self) -> bool:
        """See `FittedFirst.awaits_fit`."""
        return self._followed is None or monotonic() >= self._looks_at_s

    def _found(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None) -> Aberration:
        return self.polynomial.fit(means_rad, lit)

    def found_in(self, means_over: MeansOver, ground: NDArray[np.bool_] | None = None) -> Aberration:
        """See `Background.found_in`."""
        if self._followed is not None and not self.awaits_fit:
            return self._followed.found_in(means_over, ground)
        means, lit = means_over(self.block_px)
        fitted = self.polynomial.fit(means, lit, ground_blocks(ground, self.block_px, lit))
        return self.found_beside(fitted, self.polynomial.near_share(means, lit, fitted), means_over, ground)

    def found_beside(
        self, fitted: Aberration, near_share: float, means_over: MeansOver, ground: NDArray[np.bool_] | None = None
    ) -> Aberration:
        """See `FittedFirst.found_beside`."""
        followed = self._followed
        if near_share >= (_SCARCE if followed is None else _AMPLE):
            self._followed = None
            return fitted
        if self._is_live and monotonic() < self._looks_at_s:
            return fitted
        self._looks_at_s = monotonic() + _LOOKS_AGAIN_S
        asked = followed or self._asked()
        if asked is None:
            return fitted
        found = asked.found_in(means_over, ground)
        chosen = self._better(fitted, found, means_over(self.block_px)[1])
        self._followed = asked if chosen is found and isinstance(asked, TrackedBackground) else None
        return chosen

    def _asked(self) -> Background | None:
        learned = self._network()
        return TrackedBackground(learned, self._threads) if learned is not None and self._is_live else learned

    def _better(self, fitted: Aberration, found: Aberration, lit: NDArray[np.bool_] | None) -> Aberration:
        apart = self.polynomial.values(fitted) - self.polynomial.values(found)
        apart_rad = float(np.sqrt(np.mean(np.square(apart if lit is None else apart[lit]))))
        doubt_rad = np.inf if found.doubt_rad is None else found.doubt_rad
        if apart_rad > max(_APART_RAD, _TIMES_ITS_DOUBT * doubt_rad) and doubt_rad < _SURE_RAD:
            return found
        return replace(fitted, doubt_rad=apart_rad)
