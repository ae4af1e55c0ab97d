"""What a person can adjust while the stream runs: the carrier, the phase's sign, the calibration frame."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from qpi_live.camera.frame import Frame
from qpi_live.models.engine import PhaseEngine, TunableEngine
from qpi_live.service.line.remembered import RememberedSidebands


class NotTunable(Exception):
    """The engine has nothing to adjust."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The adjustments in force: the sideband, and when the calibration frame was captured (ns of Unix time)."""

    sideband: str
    calibration_ns: int | None


class Tuning:
    """Adjusts the live engine, and with it the baseline's, so that both go on looking at the stream alike."""

    def __init__(self, camera: str, sideband: str, remembered: RememberedSidebands, engines: list[PhaseEngine]) -> None:
        self._camera = camera
        self._remembered = remembered
        self._live = engines[0]
        self._engines: list[TunableEngine] = [engine for engine in engines if isinstance(engine, TunableEngine)]
        self._lock = Lock()
        self._calibration: Frame | None = None
        self._tuned = Tuned(sideband, None)

    @property
    def is_possible(self) -> bool:
        """Whether the live engine has something to adjust."""
        return isinstance(self._live, TunableEngine)

    @property
    def now(self) -> Tuned:
        """The adjustments in force."""
        return self._tuned

    @property
    def calibration(self) -> Frame | None:
        """The calibration frame in force."""
        return self._calibration

    def refind_carrier(self) -> None:
        """Find the carrier again on the next frame."""
        self._require()
        for engine in self._engines:
            engine.refind_carrier()

    def begin_camera(self, camera: str) -> None:
        """Forget the calibration frame, and take the sideband remembered for `camera`: the next frames are its."""
        with self._lock:
            self._camera = camera
            self._calibration = None
            self._tuned = Tuned(self._remembered.get(camera), None)
            for engine in self._engines:
                engine.use_calibration(None)
                engine.use_sideband(self._tuned.sideband)

    def use_sideband(self, sideband: str) -> None:
        """Take `upper`, `lower` or `auto`, and remember it for this camera."""
        self._require()
        with self._lock:
            for engine in self._engines:
                engine.use_sideband(sideband)
            self._tuned = Tuned(sideband, self._tuned.calibration_ns)
            self._remembered.put(self._camera, sideband)

    def use_calibration(self, frame: Frame | None) -> None:
        """Divide `frame` out of every frame from now on; None stops that.

        Raises:
            ValueError: the frame has no carrier, or not the stream's shape; nothing has changed then.
        """
        self._require()
        with self._lock:
            done: list[TunableEngine] = []
            try:
                for engine in self._engines:
                    engine.use_calibration(frame)
                    done.append(engine)
            except ValueError:
                for engine in done:
                    engine.use_calibration(self._calibration)
                raise
            self._calibration = frame
            self._tuned = Tuned(self._tuned.sideband, frame.captured_ns if frame else None)

    def _require(self) -> None:
        if not self.is_possible:
            raise NotTunable(
                f"engine {self._live.identity.name!r} has no carrier, sideband or calibration to adjust; "
                "the classical engine has"
            )
