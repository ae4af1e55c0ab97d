"""The default engine: the classical chain; where there is a GPU, the shipped network on streams it was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from qpi_live.camera.frame import Frame, StreamKey
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame
from qpi_live.models.sideband import Sideband

if TYPE_CHECKING:
    from qpi_live.models.engines.onnx import OnnxEngine

_CPU = "cpu"
_UNDECIDED = "the next frame decides"


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which engine, and why, in words for a user."""

    engine: PhaseEngine
    reason: str

    def explain(self, identity: EngineIdentity) -> EngineIdentity:
        return replace(identity, detail={**identity.detail, "chosen": self.reason})


class AutoEngine:
    """`PhaseEngine` and `TunableEngine` that chooses on a camera's first frame, and again when a user adjusts it.

    `identity` is the chosen engine's own, with the reason in `detail["chosen"]`. A calibration frame, a carrier or a
    sideband that a user sets belongs to the classical chain, and so chooses it: at once, so that whoever set it can
    be told.

    Args:
        options: for either engine.

    Raises:
        EngineUnavailable: the network that was promoted cannot be had.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._classical = ClassicalEngine(options)
        self._lock = Lock()  # so that what a user adjusts while a choice is made is not lost
        self._has_carrier = options.carrier_cycles_per_px is not None
        self._sideband = Sideband(options.sideband)
        self._is_calibrated = False
        self._choice: _Choice | None = None
        self._stream: StreamKey | None = None
        self._why_not_trained: str | None = None  # why the network is not for that stream
        if options.network_refusal:  # whoever promoted a network is not to get another engine without a word
            raise EngineUnavailable(options.network_refusal)
        self._network, self._why_none = _network(options)

    @property
    def identity(self) -> EngineIdentity:
        """The engine in use, and why."""
        choice = self._choice or _Choice(self._classical, _UNDECIDED)
        return choice.explain(choice.engine.identity)

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Warm up both engines; frames that the network does not take are the classical chain's.

        Raises:
            EngineUnavailable: the classical chain does not take frames of this size.
        """
        self._classical.warm_up(shape, bit_depth)
        if self._network is not None and self._network.network.why_not(shape, bit_depth) is None:
            self._network.warm_up(shape, bit_depth)

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """See `WeighedEngine.working_bytes`; the classical chain and, where it is there, the network."""
        network = 0 if self._network is None else self._network.working_bytes(shape)
        return max(network, self._classical.working_bytes(shape))

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`.

        Raises:
            InferenceError: as the chosen engine does.
        """
        choice = self._choice
        if choice is None or frame.stream != self._stream:
            choice = self._look_at(frame)
        made = choice.engine.retrieve(frame)
        return replace(made, engine=choice.explain(made.engine))

    def refind_carrier(self) -> None:
        """See `TunableEngine.refind_carrier`."""
        self._classical.refind_carrier()
        with self._lock:
            self._stream = self._choice = None

    def forget_instrument(self) -> None:
        """See `TunableEngine.forget_instrument`."""
        self._classical.forget_instrument()
        with self._lock:
            self._stream = self._choice = None

    @property
    def decided_signs(self) -> Mapping[str, tuple[float, float]]:
        """See `SignedEngine.decided_signs`."""
        return self._classical.decided_signs

    def take_signs(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """See `SignedEngine.take_signs`."""
        self._classical.take_signs(decided)

    def use_sideband(self, sideband: Sideband) -> None:
        """See `TunableEngine.use_sideband`; anything but `auto` chooses the classical chain."""
        self._classical.use_sideband(sideband)
        with self._lock:
            self._sideband = Sideband(sideband)
            self._choose()

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        """See `TunableEngine.use_calibration`; a frame chooses the classical chain.

        Raises:
            ValueError: the frame cannot calibrate the stream.
        """
        self._classical.use_calibration(frame, force=force)
        with self._lock:
            self._is_calibrated = frame is not None
            self._choose()

    def close(self) -> None:
        """Let go of both engines."""
        self._classical.close()
        if self._network is not None:
            self._network.close()

    def _look_at(self, frame: Frame) -> _Choice:
        """Choose for the frame's stream."""
        with self._lock:
            if self._network is not None:
                network = self._network.network
                self._why_not_trained = network.why_not(frame.shape, frame.bit_depth) or network.mismatch(frame)
            self._stream = frame.stream
            return self._choose()

    def _choose(self) -> _Choice:
        """Choose anew, by what is known of the stream and by what a user set."""
        reason = self._why_classical()
        if reason is None and self._network is not None:
            instrument = self._network.network.instrument
            trained_for = f" ({instrument.name})" if instrument else ""
            self._choice = _Choice(self._network, f"the stream is what the network was trained for{trained_for}")
        else:
            self._choice = _Choice(self._classical, reason or self._why_none)
        return self._choice

    def _why_classical(self) -> str | None:
        """Why the network is not for this stream; None where it is."""
        if self._has_carrier:
            return "a carrier was given"
        if self._sideband is not Sideband.AUTO:
            return "a sideband was chosen"
        if self._is_calibrated:
            return "a calibration frame was given"
        if self._network is None:
            return self._why_none
        return _UNDECIDED if self._stream is None else self._why_not_trained


def _network(options: EngineOptions) -> tuple[OnnxEngine | None, str]:
    """The shipped network, or None and why there is none: this is where the default engine is chosen."""
    try:
        from qpi_live.models.engines.onnx import OnnxEngine  # noqa: PLC0415 - onnxruntime may be missing

        network = OnnxEngine(options)
        if network.identity.device == _CPU:
            network.close()
            return None, "there is no GPU, and on a CPU the classical chain keeps a pace that the network does not"
        return network, ""
    except (EngineUnavailable, ImportError) as error:
        return None, f"no network: {error}"
