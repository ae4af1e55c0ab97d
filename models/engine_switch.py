"""Several engines for one stream, one at a time, changed while frames flow."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import DeviceEngine, EngineIdentity, PhaseEngine, PhaseFrame, TrainedEngine, TunableEngine


class EngineSwitch:
    """`PhaseEngine` that is the one chosen last; the next `retrieve` after `choose` is done by that one.

    Whoever works with the stream's engine holds this, and asks anew each time for what only some engines can do:
    `tunable`, `trained` and `open_device` are None while the present one cannot.

    Args:
        engine: the one to begin with; the switch's from now on, as are all that are chosen: it closes them.
    """

    def __init__(self, engine: PhaseEngine) -> None:
        self._current = engine
        self._working = Lock()  # held while an engine works: the one that was replaced is closed only then
        self._changing = Lock()
        self._replaced: list[PhaseEngine] = []
        self._closed = False

    @property
    def current(self) -> PhaseEngine:
        """The engine chosen last."""
        return self._current

    @property
    def identity(self) -> EngineIdentity:
        """See `PhaseEngine.identity`: of the engine chosen last."""
        return self._current.identity

    @property
    def tunable(self) -> TunableEngine | None:
        """The present engine's adjustments, where it has any."""
        return self._current if isinstance(self._current, TunableEngine) else None

    @property
    def trained(self) -> TrainedEngine | None:
        """The present engine, where it was trained for one instrument."""
        return self._current if isinstance(self._current, TrainedEngine) else None

    @property
    def open_device(self) -> Callable[[], Device] | None:
        """Gives the device that the present engine works on (`DeviceEngine.open_device`), where it works on one."""
        return self._current.open_device if isinstance(self._current, DeviceEngine) else None

    def choose(self, engine: PhaseEngine) -> None:
        """Let `engine`, warmed up already, do the next frame. Safe to call from any thread; it never waits.

        The frame at hand is finished by the engine before, which is closed then.
        """
        with self._changing:
            if engine is self._current:
                return
            self._replaced.append(self._current)
            self._current = engine
        self._close_replaced()

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """See `PhaseEngine.warm_up`."""
        with self._working:
            self._current.warm_up(shape, bit_depth)
        self._close_replaced()

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`."""
        try:
            with self._working:
                return self._current.retrieve(frame)
        finally:
            self._close_replaced()

    def close(self) -> None:
        """Let go of all engines, once the frame at hand is done; one that is chosen later is closed at once."""
        with self._working:
            self._closed = True
        self._close_replaced()

    def _close_replaced(self) -> None:
        # While an engine works this is left to whoever lets it work, right afterwards.
        if not self._working.acquire(blocking=False):
            return
        try:
            with self._changing:
                ended, self._replaced = self._replaced, []
                if self._closed:
                    ended.append(self._current)
            for engine in ended:
                engine.close()
        finally:
            self._working.release()
