"""Phases of a frame that the line does not make: the baseline's, the true one, the mean, each on its own worker."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from qpi_live.models.errors import EngineError
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import Layer, View
from qpi_live.service.viewing.averager import AVERAGED, Averager
from qpi_live.service.viewing.baseline import Baseline
from qpi_live.service.viewing.derived import REFOCUSED, SYNTHETIC, derive
from qpi_live.service.viewing.layers import LayerMissing
from qpi_live.service.viewing.worker import Worker, until_done

_TRUTH = EngineIdentity("truth", "simulation", "cpu", "1")


class OtherPhases:
    """Makes each of them once a frame for all who ask, and keeps nobody waiting who did not ask.

    Args:
        baseline: the engine that checks a part of the frames, with its own worker, or None.
        averager: makes what is made of several frames.
    """

    def __init__(self, baseline: Baseline | None, averager: Averager) -> None:
        self._baseline = baseline
        self._averager = averager
        self._truth = Worker("truth")
        self._derived = Worker("refocus")

    def of(self, live: LiveFrame, layer: Layer, focus_um: float = 0.0) -> Future[PhaseFrame]:
        """The phase that `layer` shows at a focus, now or later.

        Raises:
            LayerMissing: the frame has none. The future raises it too, where the baseline fails.
        """
        if (key := _derived_key(layer, focus_um)) is not None:
            return live.share(key, lambda: self._derived.submit(lambda: derive(live.phase, layer, focus_um)))
        if layer is Layer.BASELINE:
            if self._baseline is None or not self._baseline.is_beside(live):
                raise LayerMissing("expected a baseline beside the engine, got none; start with --baseline goldstein")
            return self._baseline.phase(live)
        if layer is Layer.TRUE:
            true_phase_rad = live.frame.true_phase_rad
            if true_phase_rad is None:
                raise LayerMissing("expected a simulated frame, whose true phase is known, got one of a real camera")
            return live.share(
                layer,
                lambda: self._truth.submit(lambda: PhaseFrame(true_phase_rad(), live.frame, _TRUTH, {})),
            )
        if layer in AVERAGED:
            try:
                return self._averager.phase(live, layer)
            except ValueError as why:
                raise LayerMissing(str(why)) from why
        own: Future[PhaseFrame] = Future()
        own.set_result(live.phase)
        return own

    def version(self, layer: Layer) -> int:
        """Tells apart what one frame's `layer` shows at different times: choices of averaging change it."""
        return self._averager.revision if layer in AVERAGED else 0

    def wait_for(self, live: LiveFrame, layer: Layer, focus_um: float = 0.0) -> PhaseFrame:
        """`of`, waited for. For threads that may wait, which are never those that encode."""
        return outcome(self.of(live, layer, focus_um))

    async def until_free(self, live: LiveFrame, views: Iterable[View]) -> bool:
        """Wait until the workers behind `views` are idle, or have begun with `live`; whether that took a while.

        Viewers who take the newest frame then all take the same one, and the worker does each once for all of them.
        """
        for view in views:
            key = _derived_key(view.layer, view.focus_um)
            worker = self._worker(view.layer) if key is None else self._derived
            at_hand = worker.at_hand if worker and not live.is_shared(key or view.layer) else None
            if at_hand is not None:
                await until_done(at_hand)
                return True
        return False

    def close(self) -> None:
        """Begin nothing any more."""
        self._truth.close()
        self._derived.close()

    def _worker(self, layer: Layer) -> Worker | None:
        if layer is Layer.BASELINE:
            return self._baseline.worker if self._baseline else None
        return self._truth if layer is Layer.TRUE else None


def outcome(phase: Future[PhaseFrame]) -> PhaseFrame:
    """The phase.

    Raises:
        LayerMissing: its engine failed.
    """
    try:
        return phase.result()
    except EngineError as error:
        raise LayerMissing(f"expected the baseline's phase, got: {error}") from error
    except ValueError as error:
        raise LayerMissing(str(error)) from error


def _derived_key(layer: Layer, focus_um: float) -> tuple[Layer, float] | None:
    """By what a phase that is made of the line's goes; None where the line's own, or another engine's, is shown."""
    if layer in SYNTHETIC or (focus_um and layer in REFOCUSED):
        return layer if layer in SYNTHETIC else Layer.PHASE, focus_um
    return None
