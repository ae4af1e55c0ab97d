"""What the classical engines decide, wherever their chain runs: carrier, sideband, calibration, warnings."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Lock
from time import perf_counter

from qpi_live.camera.frame import Frame
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.aberration import Background
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.band_peak import BandPeak
from qpi_live.models.classical.carrier import Carrier, find_carrier
from qpi_live.models.classical.chain import Chain, FringesDoubted
from qpi_live.models.classical.takeda import TakedaRetriever, band_radius
from qpi_live.models.classical.unwrapping import goldstein
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions
from qpi_live.models.engines.calibration import bound_to, check_carrier, check_sample_free, why_it_rests
from qpi_live.models.engines.chosen_background import ChosenBackground
from qpi_live.models.engines.fringe_watch import FringeWatch, between, moved
from qpi_live.models.engines.learned_background import LearnedBackground, network_for
from qpi_live.models.engines.phase_quality import phase_quality
from qpi_live.models.engines.signs import Signs
from qpi_live.models.engines.stream import Stream
from qpi_live.models.engines.tracked_background import TrackedBackground
from qpi_live.models.engines.warm_up_frames import CARRIER, warm_up_frames
from qpi_live.models.errors import EngineBusy, EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import EngineIdentity, FringeState, PhaseFrame
from qpi_live.models.sideband import Sideband

_SMALLEST_PX = 64
_ADJUSTING_S = 5.0  # how long whoever adjusts the engine waits for the frame at hand
# How far a carrier may lie from where it was, in radii of the pass band, before the band is moved; beside a calibration
# frame, or a carrier that was given, only as far as it must.
_SAME_CARRIER, _SAME_CARRIER_BESIDE = 0.1, 0.7
_ORDER, _ORDER_BESIDE_CALIBRATION = 4, 1
_log = logging.getLogger(__name__)
_BYTES_PER_PX = 80  # 52 measured at 2048², with the spectrum kept


class OffAxisEngine(ABC):
    """`PhaseEngine` and `TunableEngine` for any off-axis instrument, without training.

    The carrier is found in the first frame and kept, since it belongs to the instrument; `refind_carrier` looks again,
    and so does a frame of another size, from another camera or through other optics: the chain is laid out anew for it.
    With a calibration frame the aberration is divided out and only the level is left to take off. Without one a
    polynomial is fitted to the background of each frame.

    Args:
        options: see `EngineOptions`.
    """

    def __init__(self, options: EngineOptions) -> None:
        try:
            self._sideband = Sideband(options.sideband)
        except ValueError as error:
            raise EngineUnavailable(f"sideband: {error}") from error
        self._options = options
        self._network = network_for(options)
        self._asked_network: BackgroundNetwork | None = None
        self._is_network_missing = False
        self._is_learned = False
        self._lock = Lock()
        self._calibration: Frame | None = None
        self._signs = Signs()
        self._stream: Stream | None = None

    @property
    @abstractmethod
    def _name_and_device(self) -> tuple[str, str]:
        """What the engine is called and what it runs on."""

    @abstractmethod
    def _lay_chain(self, retriever: TakedaRetriever, background: Background) -> Chain:
        """The chain that does these steps."""

    @property
    def identity(self) -> EngineIdentity:
        """Which engine this is; `detail` says which carrier, sideband and background it works with at present."""
        stream, background = self._stream, f"polynomial of at most order {self._background_order(None)}"
        if self._network is not None and self._background_order(None):
            background = f"learned ({self._network.path.name}), of order {self._background_order(None)}"
        if self._calibration is not None:
            resting = None if stream is None else stream.calibration_rests
            background = "calibration frame" if resting is None else f"{background}: {resting}"
        detail: dict[str, str | int | float | bool | None] = {"sideband": str(self._sideband), "background": background}
        if stream is not None:
            carrier = stream.retriever.carrier
            detail |= {
                "sideband_taken": str(Sideband.UPPER if carrier.is_upper else Sideband.LOWER),
                "is_sign_known": stream.is_sign_known,
                "background_taken": LEARNED if self._is_learned else POLYNOMIAL,
                "carrier_fy_cycles_per_px": carrier.fy,
                "carrier_fx_cycles_per_px": carrier.fx,
                "carrier_period_px": carrier.period_px,
                "band_radius_cycles_per_px": stream.retriever.radius,
            }
        name, device = self._name_and_device
        return EngineIdentity(name, "classical", device, "1", detail)

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Compile the kernels and run once over fringes of this size; the stream's own carrier is found later.

        Raises:
            EngineUnavailable: frames of this size cannot be inverted.
        """
        height, width = shape
        if min(shape) < _SMALLEST_PX or max(shape) > goldstein.WIDEST:
            raise EngineUnavailable(
                f"expected frames of at least {_SMALLEST_PX} × {_SMALLEST_PX} px and at most {goldstein.WIDEST} "
                f"along either axis, got {height} × {width}"
            )
        retriever = TakedaRetriever(shape, CARRIER, threads=self._options.threads)
        chain = self._lay_chain(retriever, self._background(shape, None))
        try:
            for frame in warm_up_frames(shape, bit_depth):
                chain.invert(frame)
        finally:
            chain.free()

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """See `WeighedEngine.working_bytes`."""
        return _BYTES_PER_PX * shape[0] * shape[1]

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`. Stages: `carrier` where it had to be found, then the chain's.

        Raises:
            InferenceError: `no band`, or the `FringeState` that says why there is no carrier.
        """
        stages_ms: dict[str, float] = {}
        with self._lock:
            stream = self._stream
            if stream is None or not stream.has(frame) or stream.calibration_rests != self._why_it_rests(frame):
                clock = perf_counter()
                self._forget_stream()
                stream = self._stream = self._lay_out(frame)
                stages_ms["carrier"] = (perf_counter() - clock) * 1e3
            try:
                inverted = stream.invert(frame, stream.watch.trusts)
            except FringesDoubted as doubted:
                clock = perf_counter()
                stream = self._look_again(frame, stream, doubted.peak)
                stages_ms["carrier"] = stages_ms.get("carrier", 0.0) + (perf_counter() - clock) * 1e3
                inverted = stream.invert(frame)
            if not stream.is_sign_known and (sign := stream.sign_in(inverted)) != 0:
                stream = self._stream = self._settle_sign(stream, frame, sign)
                if sign < 0:
                    inverted = stream.invert(frame)
            self._is_learned = inverted.aberration.is_learned
            return PhaseFrame(
                inverted.phase_rad,
                frame,
                self.identity,
                stages_ms | inverted.stages_ms,
                phase_quality(frame, inverted, stream),
                inverted.disputed_mask,
                inverted.amplitude,
                inverted.mask,
            )

    def refind_carrier(self) -> None:
        """See `TunableEngine.refind_carrier`."""
        with self._between_frames():
            self._forget_stream()

    def forget_instrument(self) -> None:
        """See `TunableEngine.forget_instrument`."""
        with self._between_frames():
            self._signs.forget()
            self._forget_stream()

    @property
    def decided_signs(self) -> Mapping[str, tuple[float, float]]:
        """See `SignedEngine.decided_signs`."""
        return self._signs.decided

    def take_signs(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """See `SignedEngine.take_signs`."""
        with self._lock:
            self._signs.take(decided)
            if self._stream is not None and not self._stream.is_sign_known:
                self._forget_stream()

    def use_sideband(self, sideband: Sideband) -> None:
        """See `TunableEngine.use_sideband`."""
        chosen = Sideband(sideband)
        with self._between_frames():
            self._sideband = chosen
            self._forget_stream()

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        """See `TunableEngine.use_calibration`."""
        with self._between_frames():
            if frame is not None:
                if self._stream is not None and frame.shape != self._stream.retriever.shape:
                    raise ValueError(
                        f"expected a calibration frame of the stream's shape {self._stream.retriever.shape}, "
                        f"got {frame.shape}"
                    )
                if force:
                    check_carrier(frame)
                else:
                    check_sample_free(frame, self._options.threads)
            self._calibration = frame
            self._forget_stream()

    @contextmanager
    def _between_frames(self) -> Iterator[None]:
        """While no frame is inverted; `EngineBusy` where one keeps whoever adjusts the engine waiting for too long."""
        if not self._lock.acquire(timeout=_ADJUSTING_S):
            raise EngineBusy(
                f"expected the engine between two frames, and it has worked on one for {_ADJUSTING_S:.0f} s; "
                "try again, or choose another engine"
            )
        try:
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the chain. Doing it twice is harmless."""
        with self._lock:
            self._forget_stream()

    def _forget_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.chain.free()

    def _lay_out(self, frame: Frame) -> Stream:
        """Find the carrier in `frame`, choose the sideband and lay out the filter for the stream."""
        if self._calibration is not None and self._why_it_rests(frame) is None:
            self._calibration = bound_to(self._calibration, frame)
        options, calibration = self._options, self._calibration_for(frame)
        given = options.carrier_cycles_per_px
        if given is not None:
            carrier = Carrier(*given)
        else:
            searched = frame if calibration is None else calibration
            carrier = find_carrier(searched.pixels, searched.bit_depth)
        if self._sideband is Sideband.LOWER:
            carrier = carrier.conjugate()
        if self._sideband is not Sideband.AUTO or given is not None:  # a given carrier states its sign
            return self._stream_for(frame, carrier, is_sign_known=True)
        oriented = self._signs.orient(frame.source, carrier)
        return self._stream_for(frame, oriented or carrier, is_sign_known=oriented is not None)

    def _settle_sign(self, stream: Stream, frame: Frame, sign: int) -> Stream:
        """The stream in which cells come out positive, given how they come out in `stream`; it stays so."""
        carrier = stream.retriever.carrier
        if sign > 0:
            self._signs.decide(frame.source, carrier)
            return replace(stream, is_sign_known=True)
        self._signs.decide(frame.source, carrier.conjugate())
        stream.chain.free()
        return self._stream_for(
            frame,
            carrier.conjugate(),
            is_sign_known=True,
            news=stream.watch.news,
            is_calibrated=stream.is_calibrated,
        )

    def _look_again(self, frame: Frame, stream: Stream, peak: BandPeak) -> Stream:
        """Where the fringes of a frame are whose peak was doubted: where they were, or elsewhere, or nowhere.

        Raises:
            InferenceError: as `find_carrier`; the stream stays as it was, for when its fringes come back.
        """
        before, radius = stream.retriever.carrier, stream.retriever.radius
        found = find_carrier(frame.pixels, frame.bit_depth).nearest_to(before)
        given = self._options.carrier_cycles_per_px is not None
        reach = _SAME_CARRIER_BESIDE if given or stream.is_calibrated else _SAME_CARRIER
        if between(before, found) < max(reach * radius, 1 / min(frame.shape)):
            stream.watch.settle(peak)
            return stream
        if given:
            raise InferenceError(
                FringeState.MOVED,
                f"expected fringes at the carrier ({before.fy:.3f}, {before.fx:.3f}) that was given, got some of "
                f"{found.period_px:.2f} px at ({found.fy:.3f}, {found.fx:.3f}): give that one, or let it be found",
            )
        news = moved(before, found)
        if stream.is_calibrated:
            news += " The calibration frame was taken before; take a new one."
        # A sideband that a person chose stays on its side; one that cells decided is the signs' to keep.
        oriented = self._signs.orient(frame.source, found) if self._sideband is Sideband.AUTO else found
        self._forget_stream()
        self._stream = self._stream_for(
            frame, oriented or found, is_sign_known=oriented is not None, news=news, is_calibrated=False
        )
        return self._stream

    def _background_order(self, calibration: Frame | None) -> int:
        """The highest order of the background fit. A calibration frame leaves the tilt by which things have drifted."""
        if self._options.background_order is not None:
            return self._options.background_order
        return _ORDER if calibration is None else _ORDER_BESIDE_CALIBRATION

    def _background(self, shape: tuple[int, int], calibration: Frame | None) -> Background:
        """What takes off the instrument's phase, or what a calibration frame has left of it."""
        order, threads = self._background_order(calibration), self._options.threads
        if self._network is None or order == 0:
            fit = BackgroundFit(shape, order, threads)
            if self._options.background != CHOSEN or order == 0:
                return fit
            return ChosenBackground(fit, partial(self._learned, shape, order), self._options.is_live, threads)
        learned = LearnedBackground(self._network, shape, order, threads)
        return TrackedBackground(learned, threads) if self._options.is_live else learned

    def _learned(self, shape: tuple[int, int], order: int) -> LearnedBackground | None:
        """The learned background, of which `auto` does without where it cannot be had."""
        if self._asked_network is None and not self._is_network_missing:
            try:
                self._asked_network = network_for(replace(self._options, background=LEARNED))
            except EngineUnavailable as error:
                _log.warning("background: a polynomial alone: %s", error)
                self._is_network_missing = True
        network = self._asked_network
        return None if network is None else LearnedBackground(network, shape, order, self._options.threads)

    def _calibration_for(self, frame: Frame) -> Frame | None:
        """The calibration frame, unless it rests."""
        return self._calibration if self._why_it_rests(frame) is None else None

    def _why_it_rests(self, frame: Frame) -> str | None:
        return None if self._calibration is None else why_it_rests(self._calibration, frame)

    def _stream_for(
        self,
        frame: Frame,
        carrier: Carrier,
        *,
        is_sign_known: bool,
        news: str | None = None,
        is_calibrated: bool = True,
    ) -> Stream:
        options, shape = self._options, frame.shape
        calibration = self._calibration_for(frame) if is_calibrated else None
        optics = frame.optics or options.optics
        limit = None if optics is None else optics.band_limit_cycles_per_px
        retriever = TakedaRetriever(shape, carrier, band_radius(carrier, limit), options.threads)
        if calibration is not None:
            retriever.use_calibration(calibration.pixels)
        background = self._background(shape, calibration)
        chain = self._lay_chain(retriever, background)
        watch = FringeWatch(carrier, retriever.radius, 1 / min(shape), news)
        resting = self._why_it_rests(frame)
        missing = None if calibration is None else calibration.missing
        return Stream(
            frame.stream, retriever, background, chain, watch, is_sign_known, calibration is not None, resting, missing
        )
