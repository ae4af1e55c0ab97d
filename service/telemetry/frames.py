"""A trace of each frame: from the camera through queue and engine to every client that it was sent to."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from threading import Event, Thread
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.station import Station
from qpi_live.service.viewing.audience import SentFrame

_MOST_WAITING_BYTES = 1 << 26
_MOST_SENT = 1024  # notes of sent frames that wait to be traced
_KEPT = 256  # frames whose trace may still go on; clients are seconds behind at most
_GLANCE_S = 0.2
_NS = 1_000_000
_log = logging.getLogger(__name__)


class FrameTraces:
    """Traces every frame of a line in a thread of its own, until it is stopped.

    The line waits for none of it: frames come over a tap, notes of sent ones over a queue, both bounded. Frames that
    the tap has no room for are left out, and counted.

    Args:
        name: of the line.
        station: whose frames.
        tracer: where spans are made; None: none are.
        durations: takes the time of each stage, in s; None: nothing does.
    """

    def __init__(self, name: str, station: Station, tracer: Tracer | None, durations: Histogram | None) -> None:
        self._name, self._station = name, station
        self._tracer, self._durations = tracer, durations
        self._stop = Event()
        self._tap = station.hub.taps.open(_MOST_WAITING_BYTES, notes_absent=True)
        self._sent: deque[SentFrame] = deque(maxlen=_MOST_SENT)
        self._going_on: OrderedDict[int, Context | None] = OrderedDict()
        self._thread = Thread(target=self._run, name=f"telemetry {name}", daemon=True)
        if tracer is not None:
            station.audience.on_sent = self._sent.append

    @property
    def left_out(self) -> int:
        """Frames of which there is no trace, because this could not keep up."""
        return sum(self._tap.account.snapshot().dropped.values())

    def start(self) -> None:
        """Begin to trace."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Trace no more than what waits."""
        self._station.audience.on_sent = None
        self._station.hub.taps.close(self._tap)
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not (self._stop.is_set() and not self._look(0.0)):
                self._look(_GLANCE_S)
        except Exception:
            _log.exception("frames of %s are traced no more", self._name)
            self._station.audience.on_sent = None
            self._station.hub.taps.close(self._tap)

    def _look(self, timeout_s: float) -> bool:
        """Trace what has come, waiting for a frame up to `timeout_s`; whether there was one."""
        live = self._tap.take(timeout_s)
        if live is not None:
            self._trace(live)
            self._tap.account.delivered()
        for sequence, reason in self._tap.take_absent().items():
            self._trace_failed(sequence, reason)
        # Of a frame sent before its trace began, the note waits for the next look.
        for _ in range(len(self._sent)):
            sent = self._sent.popleft()
            if sent.sequence in self._going_on:
                self._trace_sent(sent)
            elif not self._going_on or sent.sequence > next(reversed(self._going_on)):
                self._sent.append(sent)
        return live is not None

    def _trace(self, live: LiveFrame) -> None:
        stages = live.stages_ms
        if self._durations is not None:
            for stage, took_ms in stages.items():
                self._durations.record(took_ms / 1e3, {"stage": stage, "camera": self._name})
        if self._tracer is None:
            return
        captured = live.frame.captured_ns
        taken = captured + round(stages["queue_wait"] * _NS)
        done = captured + round(stages["total"] * _NS)
        frame = self._tracer.start_span("frame", Context(), attributes=self._facts(live), start_time=captured)
        context = set_span_in_context(frame, Context()) if frame.is_recording() else None
        if context is not None:
            self._tracer.start_span("queue_wait", context, start_time=captured).end(taken)
            retrieval = self._tracer.start_span("retrieval", context, start_time=taken)
            inside, began = set_span_in_context(retrieval, context), taken
            for stage, took_ms in live.phase.stages_ms.items():
                ended = min(began + round(took_ms * _NS), done)  # on a device, stages may overlap
                self._tracer.start_span(stage, inside, start_time=began).end(ended)
                began = ended
            retrieval.end(done)
        frame.end(done)
        self._going_on[live.sequence] = context
        while len(self._going_on) > _KEPT:
            self._going_on.popitem(last=False)

    def _facts(self, live: LiveFrame) -> Mapping[str, str | int]:
        facts: dict[str, str | int] = {
            "qpi.camera": self._name,
            "qpi.sequence": live.sequence,
            "qpi.epoch": live.frame.epoch,
            "qpi.engine": live.phase.engine.name,
            "qpi.device": live.phase.engine.device,
        }
        quality = live.phase.quality
        if quality.fringes is not None:
            facts["qpi.fringes"] = str(quality.fringes)
        if quality.warning:
            facts["qpi.warning"] = quality.warning
        return facts

    def _trace_failed(self, sequence: int, reason: str) -> None:
        if self._tracer is None or reason == "tap full":
            return
        now = time_ns()  # when it failed is known to a glance
        facts: dict[str, str | int] = {"qpi.camera": self._name, "qpi.sequence": sequence, "error.type": reason}
        span = self._tracer.start_span("frame", Context(), attributes=facts, start_time=now)
        span.set_status(Status(StatusCode.ERROR, reason))
        span.end(now)

    def _trace_sent(self, sent: SentFrame) -> None:
        context = self._going_on[sent.sequence]
        if self._tracer is None or context is None:
            return
        facts = {"qpi.layers": ", ".join(sent.layers), "client.address": sent.client}
        self._tracer.start_span("send", context, attributes=facts, start_time=sent.began_ns).end(sent.ended_ns)
