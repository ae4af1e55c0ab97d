"""The adjustments a user makes while the stream runs: engine, carrier, the phase's sign, calibration frame."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from qpi_live.camera.frame import Frame
from qpi_live.models.engine import PhaseEngine, TunableEngine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.remembered import RememberedCameras

_log = logging.getLogger(__name__)


class NotTunable(Exception):
    """The engine has nothing to adjust."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The adjustments in force: the sideband, and when the calibration frame was captured (ns of Unix time)."""

    sideband: Sideband
    calibration_ns: int | None


class Tuning:
    """Adjusts the live engine, and with it the baseline's, so that both go on looking at the stream alike.

    Args:
        camera: where frames come from to begin with.
        sideband: what the engines were opened with.
        remembered: where a new choice of sideband is kept.
        live: the stream's engine.
        beside: further engines that follow its adjustments.
    """

    def __init__(
        self,
        camera: str,
        sideband: Sideband,
        remembered: RememberedCameras,
        live: EngineSwitch,
        beside: EngineSwitch | None = None,
    ) -> None:
        self._camera = camera
        self._remembered = remembered
        self._live = live
        self._switches = [live] if beside is None else [live, beside]
        self._lock = Lock()
        self._calibration: Frame | None = None
        self._calibrations: dict[str, Frame] = {}  # by camera, for when it is switched to again
        self._before: dict[str, Frame | None] = {}  # what was in force before the last change, by camera
        self._tuned = Tuned(sideband, None)

    @property
    def is_possible(self) -> bool:
        """Whether the live engine has something to adjust."""
        return self._live.tunable is not None

    @property
    def now(self) -> Tuned:
        """The adjustments in force."""
        return self._tuned

    @property
    def calibration(self) -> Frame | None:
        """The calibration frame in force."""
        return self._calibration

    def hand_over_to(self, engine: PhaseEngine) -> None:
        """Let `engine`, warmed up already, make the phase from now on, with the adjustments in force.

        Raises:
            EngineUnavailable: it does not take the calibration frame; nothing has changed then.
        """
        with self._lock:
            if isinstance(engine, TunableEngine):
                engine.use_sideband(self._tuned.sideband)
                try:
                    engine.use_calibration(self._calibration, force=True)  # it was taken before
                except ValueError as error:
                    raise EngineUnavailable(f"{error}; go on without the calibration frame first") from error
            self._live.choose(engine)

    def refind_carrier(self) -> str | None:
        """Find the carrier again on the next frame. Returns what else that changed, in a sentence."""
        self._require()
        return self._adjust(lambda engine: engine.refind_carrier())

    def begin_camera(self, camera: str) -> None:
        """Take the sideband remembered for `camera` and the calibration frame it had: the next frames are its."""
        with self._lock:
            self._camera = camera
            sideband, calibration = self._remembered.get(camera), self._calibrations.get(camera)
            self._adjust(lambda engine: engine.use_sideband(sideband))
            try:
                self._adjust(lambda engine: engine.use_calibration(calibration, force=True))
            except ValueError as error:  # its frames have another size by now
                _log.warning("the calibration frame of %s is not used any more: %s", camera, error)
                calibration = None
                self._adjust(lambda engine: engine.use_calibration(None))
            self._note(sideband, calibration)

    def use_sideband(self, sideband: Sideband) -> str | None:
        """Take `sideband`, and remember it for this camera. Returns what else that changed, in a sentence."""
        self._require()
        with self._lock:
            changed = self._adjust(lambda engine: engine.use_sideband(sideband))
            self._note(sideband, self._calibration)
            self._remembered.put(self._camera, sideband)
        return changed

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> str | None:
        """Divide `frame` out of every frame from now on, with `force` even if it has objects in it; None stops that.

        Returns what else that changed, in a sentence.

        Raises:
            ValueError: the frame has no carrier, not the stream's shape, objects in it, or is another camera's; nothing
                has changed.
        """
        self._require()
        with self._lock:
            if frame is not None and frame.source not in ("", self._camera):
                raise ValueError(
                    f"expected a frame of {self._camera}, got one of {frame.source}; wait for its next one"
                )
            try:
                changed = self._adjust(lambda engine: engine.use_calibration(frame, force=force))
            except ValueError:
                self._adjust(lambda engine: engine.use_calibration(self._calibration, force=True))
                raise
            self._before[self._camera] = self._calibration
            self._note(self._tuned.sideband, frame)
        return changed

    def undo_calibration(self) -> str | None:
        """Go back to the calibration frame, or to none, that was in force before the last change; twice: forth again.

        Returns what else that changed, in a sentence.
        """
        return self.use_calibration(self._before.get(self._camera), force=True)

    def _note(self, sideband: Sideband, calibration: Frame | None) -> None:
        """Keep what is in force now, for this camera."""
        self._calibration = calibration
        self._tuned = Tuned(sideband, calibration.captured_ns if calibration else None)
        if calibration is None:
            self._calibrations.pop(self._camera, None)
        else:
            self._calibrations[self._camera] = calibration

    def _engines(self) -> list[TunableEngine]:
        """The present engines, as far as they can be adjusted."""
        return [engine for switch in self._switches if (engine := switch.tunable) is not None]

    def _adjust(self, adjust: Callable[[TunableEngine], None]) -> str | None:
        """Adjust each engine, and say if another one makes the phase from then on: `auto` chooses by adjustments."""
        before = self._live.identity
        for engine in self._engines():
            adjust(engine)
        after = self._live.identity
        if (before.name, before.device) == (after.name, after.device):
            return None
        why = after.detail.get("chosen", "it was adjusted")
        sentence = f"The engine is {after.name} from now on, since {why}; it was {before.name}."
        _log.info(sentence)
        return sentence

    def _require(self) -> None:
        if not self.is_possible:
            raise NotTunable(
                f"engine {self._live.identity.name!r} has no carrier, sideband or calibration to adjust; "
                "the classical engine has"
            )
