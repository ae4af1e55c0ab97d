"""How fast frames come in, and how late the event loop wakes: both sampled by one task on that loop."""

from __future__ import annotations

import asyncio
from collections import deque

from qpi_live.camera.account import FrameAccount
from qpi_live.service.line.latency import LatencyBook

LOOP_STAGE = "event_loop"
_TICK_S = 0.1
_WINDOW_TICKS = 20


class Rates:
    """The camera's frame rate over the last two seconds; the loop's delay goes to the latency book as `event_loop`."""

    def __init__(self, account: FrameAccount, latencies: LatencyBook) -> None:
        self._account = account
        self._latencies = latencies
        self._ticks: deque[tuple[float, int]] = deque(maxlen=_WINDOW_TICKS)

    @property
    def captured_hz(self) -> float:
        """Frames per second that the camera exposed."""
        ticks = list(self._ticks)
        if len(ticks) < 2:
            return 0.0
        (since, before), (now, after) = ticks[0], ticks[-1]
        return (after - before) / (now - since)

    async def keep(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            now = loop.time()
            self._latencies.record({LOOP_STAGE: (now - due) * 1e3})
            self._ticks.append((now, self._account.snapshot().captured))
