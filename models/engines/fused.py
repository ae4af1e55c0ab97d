"""A measured phase and a network's picture, fused: detail from the one, level and slow slopes from the other."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, StreamKey
from qpi_live.models.classical.aberration import subtract_polynomial
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.block_map import BlockMap
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.fusion.anchor import Anchor, Map, Mapped, Values
from qpi_live.models.engines.fusion.network_picture import Looked, look_at
from qpi_live.models.engines.fusion.noise_blend import blend
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.errors import EngineError
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame, PhaseQuality
from qpi_live.models.sideband import Sideband

_CPU = "cpu"
_RESTS = 3.0  # times as long as it took the network rests afterwards, so that the line keeps its cores
_MOST_DISAGREEMENT_RAD = 0.4  # above which a person should be told
_GAIN = 0.3  # of a later picture: the rest of the way is left to those after it
_MOST_FAILURES = 3
_NEGATIVE = -0.5  # correlation of phase and picture below which the phase is upside down


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A frame that the network is looking at, or has looked at."""

    measured: Mapped
    followed: Values
    doubt_rad: float
    picture: Future[Map]
    began: float


@dataclass(slots=True)
class _Stream:
    """Frames of one stream, and what the network knows of them."""

    key: StreamKey
    grid: BlockMap
    anchor: Anchor
    bands: RowBands
    why_alone: str | None  # why the network rests, half a sentence; None where it works
    picture_rad: Map | None = None  # the newest
    looked: Looked | None = None
    look: _Look | None = None
    rests_until: float = 0.0
    has_waited: bool = False
    failures: int = 0

    def leave_place(self) -> None:
        """Forget what was seen of a part of the sample: it says nothing of another."""
        self.look = self.picture_rad = self.looked = None


class FusedEngine:
    """`PhaseEngine` and `TunableEngine`: the classical chain with the learned background, corrected by a network.

    Every frame is measured by the classical chain. Of a live stream the network looks at the first frame. Beside the
    line it then looks at as many as it can in a quarter of the time. On a GPU, and of frames that are not live, it
    looks at all. From each picture follows by what polynomial the measured phase is off, and in between an `Anchor`
    holds it. So, modulo 2π and this polynomial, the result is the measured phase. Only where branch cuts dispute the
    multiple of 2π, the picture of the same frame decides. With `options.blend` the newest picture also takes noise off
    (`noise_blend`).

    Where the network is not for the stream, or a calibration frame is in force, the chain works alone and
    `identity.detail["network"]` says so.

    Args:
        options: see `EngineOptions`; `background` is the learned one unless another file is named.

    Raises:
        EngineUnavailable: the network cannot be opened.
    """

    def __init__(self, options: EngineOptions) -> None:
        background = LEARNED if options.background in (CHOSEN, POLYNOMIAL) else options.background
        self._measured = ClassicalEngine(replace(options, background=background))
        self._network = OnnxEngine(options)
        self._sees_all = self._network.identity.device != _CPU
        if not self._sees_all:
            self._network = OnnxEngine(replace(options, threads=1))
        self._options = options
        self._follows = options.is_live
        self._lock = Lock()
        self._stream: _Stream | None = None
        self._is_calibrated = False
        self._looker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")

    @property
    def identity(self) -> EngineIdentity:
        """The classical chain's, with the network in `detail["network"]`."""
        return self._named(self._measured.identity, self._stream)

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Warm up the chain, and the network where it takes such frames.

        Raises:
            EngineUnavailable: the chain does not take frames of this size.
        """
        self._measured.warm_up(shape, bit_depth)
        if self._network.network.why_not(shape, bit_depth) is None:
            self._network.warm_up(shape, bit_depth)
        if self._options.blend:
            blank = np.zeros((64, 64), np.float32)
            blend(blank, blank, RowBands(64, self._options.threads))

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """See `WeighedEngine.working_bytes`: both work at a time."""
        return self._measured.working_bytes(shape) + self._network.working_bytes(shape)

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`. Stages: the chain's, `network` where a frame waited for it, `fuse`.

        Raises:
            InferenceError: as the classical chain does.
        """
        measured = self._measured.retrieve(frame)
        with self._lock:
            stream = self._stream
            if stream is None or stream.key != frame.stream:
                stream = self._stream = self._begin(frame)
            if stream.why_alone is None and not self._is_calibrated:
                return self._fuse(stream, measured)
        return replace(measured, engine=self._named(measured.engine, stream))

    def refind_carrier(self) -> None:
        """See `TunableEngine.refind_carrier`."""
        self._measured.refind_carrier()
        self._forget()

    def forget_instrument(self) -> None:
        """See `TunableEngine.forget_instrument`."""
        self._measured.forget_instrument()
        self._forget()

    @property
    def decided_signs(self) -> Mapping[str, tuple[float, float]]:
        """See `SignedEngine.decided_signs`."""
        return self._measured.decided_signs

    def take_signs(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """See `SignedEngine.take_signs`."""
        self._measured.take_signs(decided)

    def use_sideband(self, sideband: Sideband) -> None:
        """See `TunableEngine.use_sideband`."""
        self._measured.use_sideband(sideband)
        self._forget()

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        """See `TunableEngine.use_calibration`; a calibration frame goes before the network.

        Raises:
            ValueError: the frame cannot calibrate the stream.
        """
        self._measured.use_calibration(frame, force=force)
        self._is_calibrated = frame is not None
        self._forget()

    def close(self) -> None:
        """Let go of both, once the network has finished its look."""
        self._forget()
        self._looker.shutdown()
        self._measured.close()
        self._network.close()

    def _forget(self) -> None:
        with self._lock:
            self._stream = None

    def _begin(self, frame: Frame) -> _Stream:
        network = self._network.network
        why = network.why_not(frame.shape, frame.bit_depth) or network.mismatch(frame)
        y, x = (np.linspace(-1, 1, length) for length in frame.shape)
        grid = BlockMap(y, x)
        return _Stream(frame.stream, grid, Anchor(grid), RowBands(frame.shape[0], self._options.threads), why)

    def _fuse(self, stream: _Stream, measured: PhaseFrame) -> PhaseFrame:
        began, anchor, mask = perf_counter(), stream.anchor, measured.mask
        mapped = Mapped(*stream.grid.means(measured.phase_rad, None if mask is None else ~mask))
        taken_off = anchor.follow(mapped)
        if taken_off is None:  # the first frame, or another part of the sample: nothing is known of it yet
            stream.leave_place()
            taken_off = np.zeros(len(stream.grid.orthonormal))
            anchor.begin(mapped, taken_off)
        doubt_rad = measured.quality.background_doubt_rad or 0.0
        look = self._finished_look(stream, measured.frame, _Look(mapped, taken_off, doubt_rad, Future(), began))
        waited_s, is_seen = 0.0, False
        if look is not None:
            is_seen = look.measured is mapped
            try:
                picture = look.picture.result()
            except EngineError as error:
                stream.failures += 1
                if stream.failures == _MOST_FAILURES:
                    stream.why_alone = f"it failed {_MOST_FAILURES} times: {error}"
                return replace(measured, engine=self._named(measured.engine, stream))
            waited_s = perf_counter() - began if is_seen else 0.0
            if is_seen and _correlation(measured.phase_rad, picture) < _NEGATIVE:
                stream.why_alone = "the phase has the other sign than what it was trained for"
                return replace(measured, engine=self._named(measured.engine, stream))
            taken_off = self._weigh(stream, look, picture)
        phase_rad = measured.phase_rad.copy()
        stream.bands.run(subtract_polynomial, stream.grid.matrix(taken_off), phase_rad)
        picture_rad = stream.picture_rad
        if is_seen and picture_rad is not None and measured.disputed_mask is not None:
            _settle_turns(phase_rad, picture_rad, measured.disputed_mask)
        if self._options.blend and picture_rad is not None:
            phase_rad = blend(phase_rad, picture_rad, stream.bands)
        network_ms = {"network": waited_s * 1e3} if is_seen else {}
        return replace(
            measured,
            phase_rad=phase_rad,
            engine=self._named(measured.engine, stream),
            stages_ms={**measured.stages_ms, **network_ms, "fuse": (perf_counter() - began - waited_s) * 1e3},
            quality=_with_doubt(measured.quality, stream.looked),
            network_rad=picture_rad,
        )

    def _weigh(self, stream: _Stream, look: _Look, picture_rad: Map) -> Values:
        """Learn from a finished look; what is to be taken off the newest frame."""
        range_rad = self._network.network.phase_range_rad
        is_first, stream.picture_rad = stream.picture_rad is None, picture_rad
        stream.looked = found = look_at(stream.grid, look.measured, picture_rad, range_rad, look.doubt_rad)
        if not self._follows:
            return found.values
        return stream.anchor.draw(look.followed, found.values, gain=1.0 if is_first else _GAIN)

    def _finished_look(self, stream: _Stream, frame: Frame, now: _Look) -> _Look | None:
        """A look that is finished, or that this frame waits for; in between one is begun when it is time."""
        if self._sees_all or not self._follows or not stream.has_waited:
            stream.has_waited = True
            return self._begin_look(frame, now)
        look = stream.look
        if look is None:
            if now.began >= stream.rests_until:
                stream.look = self._begin_look(frame, now)
            return None
        if not look.picture.done():
            return None
        stream.look = None
        stream.rests_until = now.began + _RESTS * (now.began - look.began)
        return look

    def _begin_look(self, frame: Frame, now: _Look) -> _Look:
        return replace(now, picture=self._looker.submit(lambda: self._network.retrieve(frame).phase_rad))

    def _named(self, measured: EngineIdentity, stream: _Stream | None) -> EngineIdentity:
        network = self._network.identity
        why = "the next frame decides" if stream is None else stream.why_alone
        if self._is_calibrated:
            why = "a calibration frame is in force"
        says = f"{network.detail['file']}, {network.device}" if why is None else f"rests: {why}"
        detail = {**measured.detail, "network": says, "blend": self._options.blend}
        return EngineIdentity("fused", "fused", measured.device, network.version, detail)


def _with_doubt(quality: PhaseQuality, looked: Looked | None) -> PhaseQuality:
    """The frame's quality, with what the newest picture says of its background."""
    if looked is None:
        return quality
    warning = quality.warning
    if warning is None and looked.disagreement_rad > _MOST_DISAGREEMENT_RAD:
        warning = (
            f"Network and background disagree by {looked.disagreement_rad:.1f} rad about the phase's level and slopes: "
            "take a calibration frame."
        )
    return replace(quality, background_doubt_rad=looked.doubt_rad, warning=warning)


def _correlation(phase_rad: Map, picture_rad: Map) -> float:
    """Of a few thousand pixels: −1 … 1."""
    step = max(1, min(phase_rad.shape) // 64)
    some = [values[::step, ::step].ravel() for values in (phase_rad, picture_rad)]
    if min(values.std() for values in some) == 0:
        return 0.0
    return float(np.corrcoef(some[0], some[1])[0, 1])


def _settle_turns(phase_rad: Map, picture_rad: Map, disputed: NDArray[np.bool_]) -> None:
    """Add the multiple of 2π that comes nearest to the picture, where cuts leave that open."""
    turn = np.float32(2 * np.pi)
    phase_rad[disputed] += turn * np.rint((picture_rad[disputed] - phase_rad[disputed]) / turn)
