"""The frame rate and the event loop's delay, sampled by one task on that loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from qpi_live.camera.account import FrameAccount
from qpi_live.service.line.latency import LatencyBook

LOOP_STAGE = "event_loop"
_LEAST_S = 1.0
_TICK_S = 0.1
_WINDOW_TICKS = 20


@dataclass(frozen=True, slots=True)
class _Tick:
    at_s: float
    captured: int
    delivered: int


class Rates:
    """How many frames a second came in and went out, over the last two seconds.

    The event loop's delay goes to the latency book as `event_loop`.
    """

    def __init__(self, account: FrameAccount, latencies: LatencyBook) -> None:
        self._account = account
        self._latencies = latencies
        self._ticks: deque[_Tick] = deque(maxlen=_WINDOW_TICKS + 1)

    @property
    def captured_hz(self) -> float:
        """Frames per second that the camera exposed."""
        return self._hz(lambda tick: tick.captured)

    @property
    def delivered_hz(self) -> float:
        """Frames per second whose phase was published; never more than came in."""
        return min(self._hz(lambda tick: tick.delivered), self.captured_hz)

    def tick(self, now_s: float) -> None:
        """Note how many frames there were at `now_s`."""
        account = self._account.snapshot()
        self._ticks.append(_Tick(now_s, account.captured, account.delivered))

    def _hz(self, count: Callable[[_Tick], int]) -> float:
        ticks = list(self._ticks)
        if len(ticks) < 2:
            return 0.0
        first, last = ticks[0], ticks[-1]
        # Two frames in the first tenth of a second are no 20 a second: nothing is said from less than one.
        return (count(last) - count(first)) / max(last.at_s - first.at_s, _LEAST_S)

    async def keep(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            now = loop.time()
            self._latencies.record({LOOP_STAGE: (now - due) * 1e3})
            self.tick(now)
