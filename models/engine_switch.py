"""Several engines for one stream, one at a time, changed while frames flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import DeviceEngine, PhaseEngine, SignedEngine, TrainedEngine, TunableEngine
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame


@dataclass(slots=True, eq=False)
class _Held:
    """An engine, and whether somebody works with it: it is closed only when nobody does."""

    engine: PhaseEngine
    working: Lock = field(default_factory=Lock)


class EngineSwitch:
    """`PhaseEngine` that is the one chosen last; the next `retrieve` after `choose` is done by that one.

    Whoever works with the stream's engine holds this, and asks anew each time for what only some engines can do:
    `tunable`, `trained` and `open_device` are None while the present one cannot. An engine that does not come back from
    a frame keeps neither `choose` nor another thread with the next engine waiting.

    Args:
        engine: the one to begin with; the switch's from now on, as are all that are chosen: it closes them.
    """

    def __init__(self, engine: PhaseEngine) -> None:
        self._held = _Held(engine)
        self._changing = Lock()
        self._replaced: list[_Held] = []
        self._signs: dict[str, tuple[float, float]] = {}  # by camera, as the engines before decided
        self._closed = False

    @property
    def current(self) -> PhaseEngine:
        """The engine chosen last."""
        return self._held.engine

    @property
    def identity(self) -> EngineIdentity:
        """See `PhaseEngine.identity`: of the engine chosen last."""
        return self.current.identity

    @property
    def tunable(self) -> TunableEngine | None:
        """The present engine's adjustments, where it has any."""
        engine = self.current
        return engine if isinstance(engine, TunableEngine) else None

    @property
    def trained(self) -> TrainedEngine | None:
        """The present engine, where it was trained for one instrument."""
        engine = self.current
        return engine if isinstance(engine, TrainedEngine) else None

    @property
    def open_device(self) -> Callable[[], Device] | None:
        """Gives the device that the present engine works on (`DeviceEngine.open_device`), where it works on one."""
        engine = self.current
        return engine.open_device if isinstance(engine, DeviceEngine) else None

    def choose(self, engine: PhaseEngine) -> None:
        """Let `engine`, warmed up already, do the next frame. Safe to call from any thread; it never waits.

        The frame at hand is finished by the engine before, which is closed then. Signs that were decided stay.
        """
        with self._changing:
            if engine is self._held.engine:
                return
            before = self._held.engine
            if isinstance(before, SignedEngine):
                self._signs |= before.decided_signs
            if isinstance(engine, SignedEngine):
                engine.take_signs(self._signs)
            self._replaced.append(self._held)
            self._held = _Held(engine)
        self._close_replaced()

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """See `PhaseEngine.warm_up`."""
        with self._at_work() as engine:
            engine.warm_up(shape, bit_depth)

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`."""
        with self._at_work() as engine:
            return engine.retrieve(frame)

    def close(self) -> None:
        """Let go of all engines, once the frame at hand is done; one that is chosen later is closed at once."""
        with self._at_work():
            self._closed = True

    @contextmanager
    def _at_work(self) -> Iterator[PhaseEngine]:
        """The engine chosen last, which nobody closes meanwhile; afterwards those that were replaced are closed."""
        try:
            while True:
                held = self._held
                with held.working:
                    if held is self._held:  # else it was replaced just now
                        yield held.engine
                        return
        finally:
            self._close_replaced()

    def _close_replaced(self) -> None:
        with self._changing:
            ended = [*self._replaced, self._held] if self._closed else self._replaced
            # Of one that works this is left to whoever lets it work, right afterwards.
            free = [held for held in ended if held.working.acquire(blocking=False)]
            self._replaced = [held for held in self._replaced if held not in free]
        for held in free:
            try:
                held.engine.close()
            finally:
                held.working.release()
