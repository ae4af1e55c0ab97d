"""The classical engine: Takeda's retrieval, Goldstein's unwrapping, and the instrument's own phase taken off."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from camera.frame import Frame, Pixels
from models.classical import goldstein
from models.classical.background import BackgroundFit
from models.classical.bands import RowBands
from models.classical.carrier import Carrier, find_carrier
from models.classical.takeda import TakedaRetriever, band_radius
from models.engine import EngineIdentity, EngineOptions, PhaseFrame, PhaseQuality
from models.errors import EngineUnavailable, InferenceError

_SIDEBANDS = ("auto", "upper", "lower")
_SMALLEST_PX = 64
# Shares of the frame's pixels above which a person should be told.
_MOST_DISPUTED = 0.01
_MOST_RESIDUES = 0.003
_MOST_SATURATED = 0.01


@dataclass(frozen=True, slots=True)
class _Chain:
    """What belongs to one stream: the three steps, laid out for its size and carrier."""

    source: str
    retriever: TakedaRetriever
    bands: RowBands
    background: BackgroundFit

    def phase(self, pixels: Pixels) -> NDArray[np.float32]:
        phase_rad = goldstein.unwrap(self.retriever.wrapped_phase(pixels), self.bands).phase_rad
        self.background.remove(phase_rad)
        return phase_rad


class ClassicalEngine:
    """`PhaseEngine` and `TunableEngine` for any off-axis instrument, without training.

    The carrier is found in the first frame and kept, since it belongs to the instrument; `refind_carrier` looks again,
    and so does a frame of another size or from another camera, for which the chain is laid out anew.
    With a calibration frame the aberration is divided out and only the level is left to take off; without one a
    polynomial is fitted to the background of each frame.

    Args:
        options: see `EngineOptions`.
    """

    def __init__(self, options: EngineOptions) -> None:
        if options.sideband not in _SIDEBANDS:
            raise EngineUnavailable(f"expected a sideband among {', '.join(_SIDEBANDS)}, got {options.sideband!r}")
        self._options = options
        self._lock = Lock()
        self._sideband = options.sideband
        self._calibration: Frame | None = None
        self._chain: _Chain | None = None

    @property
    def identity(self) -> EngineIdentity:
        """Which engine this is; `detail` says which carrier, sideband and background it works with at present."""
        chain, calibration = self._chain, self._calibration
        background = f"polynomial of order {self._options.background_order}"
        if calibration is not None:
            fits = chain is None or chain.retriever.shape == calibration.shape
            background = "calibration frame" if fits else f"{background}; the calibration frame has another size"
        detail: dict[str, str | int | float | bool | None] = {"sideband": self._sideband, "background": background}
        if chain is not None:
            carrier = chain.retriever.carrier
            detail |= {
                "carrier_fy_cycles_per_px": carrier.fy,
                "carrier_fx_cycles_per_px": carrier.fx,
                "carrier_period_px": carrier.period_px,
                "band_radius_cycles_per_px": chain.retriever.radius,
            }
        return EngineIdentity("goldstein", "classical", "cpu", "1", detail)

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Compile the kernels and run once over fringes of this size; the stream's own carrier is found later.

        Raises:
            EngineUnavailable: frames of this size cannot be inverted.
        """
        height, width = shape
        if min(shape) < _SMALLEST_PX or width > goldstein.WIDEST:
            raise EngineUnavailable(
                f"expected frames of at least {_SMALLEST_PX} × {_SMALLEST_PX} px and at most {goldstein.WIDEST} "
                f"columns, got {height} × {width}"
            )
        y, x = np.mgrid[:height, :width]
        rng = np.random.default_rng(0)
        fringes = 0.5 + 0.25 * np.cos(2 * np.pi * (0.2 * y + 0.25 * x) + rng.normal(0, 1.0, shape))
        pixels = (fringes * (2**bit_depth - 1)).astype(np.uint8 if bit_depth <= 8 else np.uint16)
        retriever = TakedaRetriever(shape, find_carrier(pixels), threads=self._options.threads)
        unwrapped = goldstein.unwrap(retriever.wrapped_phase(pixels), RowBands(height, self._options.threads))
        BackgroundFit(shape, self._options.background_order, self._options.threads).remove(unwrapped.phase_rad)

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`. Stages: `carrier` where it had to be found, `retrieve`, `unwrap`, `background`.

        Raises:
            InferenceError: `no carrier`.
        """
        stages_ms: dict[str, float] = {}
        with self._lock:
            chain = self._chain
            if chain is None or (chain.retriever.shape, chain.source) != (frame.shape, frame.source):
                clock = perf_counter()
                chain = self._chain = self._lay_out(frame)
                stages_ms["carrier"] = _lap(clock)
            clock = perf_counter()
            wrapped = chain.retriever.wrapped_phase(frame.pixels)
            stages_ms["retrieve"] = _lap(clock)
            clock = perf_counter()
            unwrapped = goldstein.unwrap(wrapped, chain.bands)
            stages_ms["unwrap"] = _lap(clock)
            clock = perf_counter()
            chain.background.remove(unwrapped.phase_rad)
            stages_ms["background"] = _lap(clock)
            quality = PhaseQuality(
                residues=len(unwrapped.residues),
                disputed_pixels=unwrapped.disputed_pixels,
                carrier_strength=chain.retriever.carrier.strength,
                warning=_warning(frame, unwrapped),
            )
            return PhaseFrame(unwrapped.phase_rad, frame, self.identity, stages_ms, quality, unwrapped.disputed_mask)

    def refind_carrier(self) -> None:
        """See `TunableEngine.refind_carrier`."""
        with self._lock:
            self._chain = None

    def use_sideband(self, sideband: str) -> None:
        """See `TunableEngine.use_sideband`.

        Raises:
            ValueError: `sideband` is none of the three.
        """
        if sideband not in _SIDEBANDS:
            raise ValueError(f"expected a sideband among {', '.join(_SIDEBANDS)}, got {sideband!r}")
        with self._lock:
            self._sideband = sideband
            self._chain = None

    def use_calibration(self, frame: Frame | None) -> None:
        """See `TunableEngine.use_calibration`."""
        with self._lock:
            if frame is not None:
                if self._chain is not None and frame.shape != self._chain.retriever.shape:
                    raise ValueError(
                        f"expected a calibration frame of the stream's shape {self._chain.retriever.shape}, "
                        f"got {frame.shape}"
                    )
                try:
                    find_carrier(frame.pixels)
                except InferenceError as error:
                    raise ValueError(f"expected a sample-free interferogram: {error}") from error
            self._calibration = frame
            self._chain = None

    def close(self) -> None:
        """Nothing to let go of."""

    def _lay_out(self, frame: Frame) -> _Chain:
        """Find the carrier in `frame`, choose the sideband and lay out the filter for the stream."""
        options, calibration = self._options, self._calibration_for(frame.shape)
        given = options.carrier_cycles_per_px
        if given is not None:
            carrier = Carrier(*given)
        else:
            carrier = find_carrier(frame.pixels if calibration is None else calibration.pixels)
        if self._sideband == "lower":
            carrier = carrier.conjugate()
        chain = self._chain_for(frame, carrier)
        # A given carrier states its sign. One that was found does not, but cells delay light more than their medium.
        if self._sideband == "auto" and given is None and _leans_negative(chain.phase(frame.pixels)):
            chain = self._chain_for(frame, carrier.conjugate())
        return chain

    def _calibration_for(self, shape: tuple[int, int]) -> Frame | None:
        """The calibration frame, unless the camera's frames have another size by now."""
        return self._calibration if self._calibration is not None and self._calibration.shape == shape else None

    def _chain_for(self, frame: Frame, carrier: Carrier) -> _Chain:
        options, shape, calibration = self._options, frame.shape, self._calibration_for(frame.shape)
        limit = None if options.optics is None else options.optics.band_limit_cycles_per_px
        retriever = TakedaRetriever(shape, carrier, band_radius(carrier, limit), options.threads)
        if calibration is not None:
            retriever.use_calibration(calibration.pixels)
        order = options.background_order if calibration is None else 0
        return _Chain(
            frame.source, retriever, RowBands(shape[0], options.threads), BackgroundFit(shape, order, options.threads)
        )


def _lap(since: float) -> float:
    return (perf_counter() - since) * 1e3


def _leans_negative(phase_rad: NDArray[np.float32]) -> bool:
    """Whether the phase's long tail points down: the third moment of a thinned map."""
    thinned = phase_rad[::8, ::8].astype(np.float64)
    return float(np.mean((thinned - np.median(thinned)) ** 3)) < 0


def _warning(frame: Frame, unwrapped: goldstein.Unwrapped) -> str | None:
    height, width = frame.shape
    residues, disputed = len(unwrapped.residues), unwrapped.disputed_pixels
    if max(residues / _MOST_RESIDUES, disputed / _MOST_DISPUTED) > height * width:
        return (
            f"The wrapped phase has {residues} residues, whose branch cuts enclose {disputed} pixels: across them the "
            "multiple of 2π is only the likeliest one."
        )
    full_scale = 2**frame.bit_depth - 1
    if np.mean(frame.pixels[::4, ::4] >= full_scale) > _MOST_SATURATED:
        return "More than 1 % of the pixels are saturated; lower the exposure."
    return None
