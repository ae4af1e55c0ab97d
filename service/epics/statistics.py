"""What the service says of its frames, as process variables of type NTScalar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from time import time
from typing import TYPE_CHECKING, Any

from p4p.nt import NTScalar
from p4p.server.thread import SharedPV
from qpi_live.service.client import PhaseClient, ServiceError

if TYPE_CHECKING:
    from qpi_live.service.api.schemas import Stats

_INVALID, _COMMUNICATION = 3, 5  # EPICS' alarm severity, and status of a driver
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Figure:
    """One variable: its name, EPICS' type, unit, and how it is read from the statistics."""

    name: str
    kind: str
    unit: str
    of: Callable[[Stats], Any]


def _lost(stats: Stats) -> int:
    return sum(stats.account.dropped.values()) + sum(stats.account.failed.values())


def _latency_ms(stats: Stats) -> float:
    """The median age of the phase."""
    total = stats.latency_ms.get("total")
    return total.p50 if total else _NAN


def _quality(stats: Stats, name: str) -> float:
    value = getattr(stats.quality, name, None)
    return _NAN if value is None else float(value)


def _optics(stats: Stats, name: str, factor: float) -> float:
    value = getattr(stats.camera.optics, name, None)
    return _NAN if value is None else float(value) * factor


FIGURES = (
    Figure("STATE", "s", "", lambda stats: stats.state.name.value),
    Figure("SENTENCE", "s", "", lambda stats: stats.state.sentence),
    Figure("READY", "?", "", lambda stats: stats.ready),
    Figure("CAPTURED_FPS", "d", "Hz", lambda stats: stats.fps.captured),
    Figure("DELIVERED_FPS", "d", "Hz", lambda stats: stats.fps.delivered),
    Figure("CAPTURED", "l", "frames", lambda stats: stats.account.captured),
    Figure("DELIVERED", "l", "frames", lambda stats: stats.account.delivered),
    Figure("LOST", "l", "frames", _lost),
    Figure("LATENCY_MS", "d", "ms", _latency_ms),
    Figure("CONTRAST", "d", "1", lambda stats: _quality(stats, "fringe_contrast")),
    Figure("CARRIER", "d", "1", lambda stats: _quality(stats, "carrier_strength")),
    Figure("SATURATED", "d", "1", lambda stats: _quality(stats, "saturated_share")),
    Figure("MASKED", "d", "1", lambda stats: _quality(stats, "masked_share")),
    Figure("FRINGES", "s", "", lambda stats: str((stats.quality and stats.quality.fringes) or "")),
    Figure("WARNING", "s", "", lambda stats: str((stats.quality and stats.quality.warning) or "")),
    Figure("ENGINE", "s", "", lambda stats: stats.engine.name),
    Figure("CAMERA", "s", "", lambda stats: stats.camera.source),
    Figure("WAVELENGTH_NM", "d", "nm", lambda stats: _optics(stats, "wavelength_m", 1e9)),
    Figure("PIXEL_UM", "d", "um", lambda stats: _optics(stats, "object_pixel_m", 1e6)),
)


class StatisticVariables:
    """Reads the statistics at an interval, and posts them.

    Where the service does not answer, every variable's alarm is INVALID, with the reason.

    Args:
        client: of the service.
        interval_s: how often.

    Attributes:
        pvs: what a server provides, by the names of `FIGURES`.
    """

    def __init__(self, client: PhaseClient, interval_s: float) -> None:
        self._client, self._interval_s = client, interval_s
        self._stop = Event()
        self._thread = Thread(target=self._run, name="epics statistics", daemon=True)
        self.pvs: dict[str, SharedPV] = {}
        for figure in FIGURES:
            empty = {"s": "", "?": False, "l": 0}.get(figure.kind, _NAN)
            described = NTScalar(figure.kind, display=figure.kind in "dl")
            self.pvs[figure.name] = SharedPV(nt=described, initial=_stated(figure, empty))

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def stop(self) -> None:
        """Post no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                stats = self._client.stats()
            except ServiceError as error:
                alarm = {"severity": _INVALID, "status": _COMMUNICATION, "message": str(error)}
                for pv in self.pvs.values():
                    pv.post({"alarm": alarm}, timestamp=time())
            else:
                for figure in FIGURES:
                    value = _stated(figure, figure.of(stats))
                    self.pvs[figure.name].post(value, timestamp=time())
            self._stop.wait(self._interval_s)


def _stated(figure: Figure, value: Any) -> dict[str, Any]:
    """A value that is sound, with its unit."""
    stated: dict[str, Any] = {"value": value, "alarm": {"severity": 0, "status": 0, "message": ""}}
    return stated | ({"display": {"units": figure.unit}} if figure.kind in "dl" else {})
