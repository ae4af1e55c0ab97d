"""The two threads that turn frames into the stream's messages, each message once for everyone who asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import View
from qpi_live.service.viewing.layers import message
from qpi_live.service.viewing.other_phases import OtherPhases, outcome
from qpi_live.service.viewing.worker import result_of, until_done


class Encoders:
    """Encodes; for a phase that an engine or the simulator makes first, it waits outside of its threads.

    Args:
        others: where such phases come from.
        latencies: where the time that each message took is noted.
    """

    def __init__(self, others: OtherPhases, latencies: LatencyBook) -> None:
        self._others = others
        self._latencies = latencies
        self._threads = ThreadPoolExecutor(2, "encode")

    async def message(self, live: LiveFrame, view: View) -> bytearray:
        """The stream's message for `view`; nobody may write to it.

        Raises:
            NotShown: the frame cannot be shown so.
        """
        version = self._others.version(view.layer)
        making = self._others.of(live, view.layer, view.focus_um)
        await until_done(making)
        phase = outcome(making)
        encoding = live.share(
            ("message", view, version), lambda: self._threads.submit(message, live, phase, view, self._latencies)
        )
        return await result_of(encoding)

    def close(self) -> None:
        """Begin nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
