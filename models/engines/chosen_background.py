"""The background that serves whatever comes: a polynomial, and the learned one where the polynomial finds no ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import (
    Aberration,
    Background,
    block_means,
    ground_blocks,
)
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.engines.tracked_background import TrackedBackground

# Where the polynomial found the ground, over half of the frame lies near it: 0.52 and more on 15 real holograms and 12
# simulated cultures, 0.33 and less on tissue and on 6 dense cultures.
_NEAR_RAD = 0.2
_SCARCE, _AMPLE = 0.45, 0.55  # the polynomial comes back only above the second
_APART_RAD = 0.3  # the two backgrounds, RMS; 0.43 and more where the polynomial was wrong, 0.24 and less where not
_SURE_RAD, _TIMES_ITS_DOUBT = 0.2, 3.0  # the network's own doubt, below which it is believed
_LOOKS_AGAIN_S = 1.0

Network = Callable[[], LearnedBackground | None]


class ChosenBackground(Background):
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
        super().__init__(fit.shape, fit.order, threads, fit.block_px)
        self._fit = fit
        self._network = network
        self._is_live = is_live
        self._threads = threads
        self._followed: TrackedBackground | None = None
        self._looks_at_s = 0.0

    def alone(self) -> Background:
        """See `Background.alone`."""
        return ChosenBackground(self._fit, self._network, False, self._threads) if self._is_live else self

    def _found(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None) -> Aberration:
        return self._fit.fit(means_rad, lit)

    def under(
        self,
        phase_rad: NDArray[np.float32],
        mask: NDArray[np.bool_] | None = None,
        ground: NDArray[np.bool_] | None = None,
    ) -> Aberration:
        """See `Background.under`."""
        is_time, followed = monotonic() >= self._looks_at_s, self._followed
        if followed is not None and not is_time:
            return followed.under(phase_rad, mask, ground)
        means, lit = block_means(phase_rad, self.block_px, mask)
        fitted = self._fit.fit(means, lit, ground_blocks(ground, self.block_px, lit))
        near = self._near_share(means, lit, fitted)
        if near >= (_SCARCE if followed is None else _AMPLE):
            self._followed = None
            return fitted
        if self._is_live and not is_time:
            return fitted
        self._looks_at_s = monotonic() + _LOOKS_AGAIN_S
        asked = followed or self._asked()
        if asked is None:
            return fitted
        found = asked.under(phase_rad, mask, ground)
        chosen = self._better(fitted, found, lit)
        self._followed = asked if chosen is found and isinstance(asked, TrackedBackground) else None
        return chosen

    def _asked(self) -> Background | None:
        learned = self._network()
        return TrackedBackground(learned, self._threads) if learned is not None and self._is_live else learned

    def _near_share(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None, fitted: Aberration) -> float:
        near = np.abs(means_rad - self._fit.values(fitted)) < _NEAR_RAD
        return float(near.mean() if lit is None else near[lit].mean() if lit.any() else 1.0)

    def _better(self, fitted: Aberration, found: Aberration, lit: NDArray[np.bool_] | None) -> Aberration:
        apart = self._fit.values(fitted) - self._fit.values(found)
        apart_rad = float(np.sqrt(np.mean(np.square(apart if lit is None else apart[lit]))))
        doubt_rad = np.inf if found.doubt_rad is None else found.doubt_rad
        if apart_rad > max(_APART_RAD, _TIMES_ITS_DOUBT * doubt_rad) and doubt_rad < _SURE_RAD:
            return found
        return replace(fitted, doubt_rad=apart_rad)
