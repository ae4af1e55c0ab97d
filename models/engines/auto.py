"""The default engine: the shipped network on the streams it was trained for, the classical chain elsewhere."""

from __future__ import annotations

from dataclasses import replace

from camera.frame import Frame
from models.engine import EngineIdentity, EngineOptions, PhaseEngine, PhaseFrame
from models.engines.classical import ClassicalEngine
from models.errors import EngineUnavailable

_UNDECIDED = "the first frame decides"


class AutoEngine:
    """`PhaseEngine` and `TunableEngine` that chooses on the first frame and stays with its choice.

    `identity` is the chosen engine's own, with the reason in `detail["chosen"]`. A calibration frame, a carrier or a
    sideband that a person sets belongs to the classical chain, and so chooses it.

    Args:
        options: for either engine.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._classical = ClassicalEngine(options)
        self._chosen: PhaseEngine | None = None
        self._reason = _UNDECIDED
        self._network: PhaseEngine | None = None
        if options.carrier_cycles_per_px is not None or options.sideband != "auto":
            self._choose_classical("a carrier or a sideband was given")
            return
        try:
            from models.engines.onnx import OnnxEngine  # noqa: PLC0415 - onnxruntime may be missing

            self._network = OnnxEngine(options)
        except (EngineUnavailable, ImportError) as error:
            self._choose_classical(f"no network: {error}")

    @property
    def identity(self) -> EngineIdentity:
        """The engine in use, and why."""
        engine = self._chosen or self._classical
        return replace(engine.identity, detail={**engine.identity.detail, "chosen": self._reason})

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Warm up whichever engines may be chosen.

        Raises:
            EngineUnavailable: neither takes frames of this size.
        """
        self._classical.warm_up(shape, bit_depth)
        if self._network is not None and self._chosen is None:
            try:
                self._network.warm_up(shape, bit_depth)
            except EngineUnavailable as refusal:
                self._choose_classical(f"the network does not fit: {refusal}")

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`.

        Raises:
            InferenceError: as the chosen engine does.
        """
        if self._chosen is None:
            self._decide(frame)
        engine = self._chosen or self._classical
        return replace(engine.retrieve(frame), engine=self.identity)

    def refind_carrier(self) -> None:
        """See `TunableEngine.refind_carrier`: the next frame decides again."""
        self._classical.refind_carrier()
        if self._network is not None:
            self._chosen, self._reason = None, _UNDECIDED

    def use_sideband(self, sideband: str) -> None:
        """See `TunableEngine.use_sideband`; anything but `auto` chooses the classical chain."""
        self._classical.use_sideband(sideband)
        if sideband != "auto":
            self._choose_classical("a sideband was chosen")

    def use_calibration(self, frame: Frame | None) -> None:
        """See `TunableEngine.use_calibration`; a frame chooses the classical chain.

        Raises:
            ValueError: the frame cannot calibrate the stream.
        """
        self._classical.use_calibration(frame)
        if frame is not None:
            self._choose_classical("a calibration frame was given")

    def close(self) -> None:
        """Let go of both engines."""
        self._classical.close()
        if self._network is not None:
            self._network.close()

    def _choose_classical(self, reason: str) -> None:
        self._chosen, self._reason = self._classical, reason

    def _decide(self, frame: Frame) -> None:
        from models.engines.onnx import OnnxEngine  # noqa: PLC0415 - onnxruntime may be missing

        if not isinstance(self._network, OnnxEngine):
            self._choose_classical("no network")
            return
        network = self._network.network
        difference = network.why_not(frame.shape, frame.bit_depth) or network.mismatch(frame)
        if difference:
            self._choose_classical(difference)
            return
        trained_for = f" ({network.instrument.name})" if network.instrument else ""
        self._chosen, self._reason = self._network, f"the stream is what the network was trained for{trained_for}"
