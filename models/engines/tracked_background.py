"""The learned background on a stream: looked for beside the line, and followed from frame to frame in between."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.engines.fusion.anchor import Anchor, Mapped, Values
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.errors import EngineError

_GAIN = 0.3  # of what is found later: the rest of the way is left to what is found after that
_RESTS = 3.0  # times as long as a look took nobody looks again, so that the line keeps its cores


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A frame whose background is being found, or has been found."""

    followed: Values
    found: Future[Aberration]
    began: float


class TrackedBackground(Background):
    """`Background` for the frames of one stream, in their order: `LearnedBackground` at the pace of a polynomial.

    The first frame waits for the network, and so does one that shows another part of the sample than the frame before.
    All others are held to the map of the frame before by a robust fit, since sample and instrument hardly change from
    frame to frame. Meanwhile the network looks at some frames, and each look draws the map towards what it found. So
    its errors from frame to frame are also averaged.

    Args:
        learned: finds the background of a frame by itself.
        threads: CPU threads for taking it off, None for all cores.
    """

    def __init__(self, learned: LearnedBackground, threads: int | None = None) -> None:
        super().__init__(learned.shape, learned.order, threads, learned.block_px)
        self._learned = learned
        self._map, self._anchor = learned.map, Anchor(learned.map)
        self._newest: Aberration | None = None  # of what the network has found
        self._look: _Look | None = None
        self._rests_until = 0.0

    def alone(self) -> Background:
        """See `Background.alone`."""
        return self._learned

    def _found(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None) -> Aberration:
        now, anchor = perf_counter(), self._anchor
        mapped = Mapped(*self._map.means(means_rad, lit))
        self._take_look(now)
        followed = anchor.follow(mapped)
        if followed is None or self._newest is None:
            self._look = None  # at another part of the sample
            self._newest = found = self._learned.fit(means_rad, lit)
            anchor.begin(mapped, self._map.values_of(found.coefficients))
            return found
        if self._look is None and now >= self._rests_until:
            kept = means_rad.copy(), None if lit is None else lit.copy()
            self._look = _Look(followed, _looker().submit(self._learned.fit, *kept), now)
        newest = self._newest
        return replace(newest, coefficients=self._map.matrix(followed))

    def _take_look(self, now: float) -> None:
        look = self._look
        if look is None or not look.found.done():
            return
        self._look = None
        self._rests_until = now + _RESTS * (now - look.began)
        try:
            found = look.found.result()
        except EngineError:
            return  # the next look may find it
        self._newest = found
        self._anchor.draw(look.followed, self._map.values_of(found.coefficients), _GAIN)


@cache
def _looker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
