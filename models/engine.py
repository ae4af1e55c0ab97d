"""The `PhaseEngine` protocol, frame in and unwrapped phase out, and the table that opens engines by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.sideband import Sideband


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Which engine made a phase: its name (`goldstein`), kind (`classical`), device, version and particulars."""

    name: str
    kind: str
    device: str
    version: str
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


class FringeState(StrEnum):
    """What a frame's fringes are like, in one word for programs; the sentence beside it is for people.

    The phase of a frame whose state is not `is_usable` is no phase at all: the engine raises `InferenceError` with the
    state as its reason. The other states come with a phase, all but `CLEAR` with a warning.
    """

    CLEAR = "clear"
    MOVED = "fringes moved"  # on the first frames after the carrier was found again
    OVERLAPPING = "bands overlap"
    SATURATED = "saturated"  # a reason too, where nothing else is left
    MOSAIC = "colour mosaic"
    DARK = "dark"
    UNIFORM = "uniform"
    NO_FRINGES = "no fringes"
    TOO_COARSE = "fringes too coarse"
    CURVED = "curved reference"
    IN_LINE = "in-line hologram"
    OTHER_PICTURE = "not an interferogram"

    @property
    def is_usable(self) -> bool:
        """Whether a phase can be made of such a frame."""
        return self in (self.CLEAR, self.MOVED, self.OVERLAPPING, self.SATURATED, self.MOSAIC)


UNUSABLE_FRINGES = frozenset(str(state) for state in FringeState if not state.is_usable)
"""The reasons of `InferenceError` for which the instrument has to be looked after."""


@dataclass(frozen=True, slots=True)
class PhaseQuality:
    """How far a phase can be trusted. A poor phase is no error; these numbers say so.

    Attributes:
        residues: points around which the wrapped phase does not sum to zero; None if the engine has no such idea.
        disputed_pixels: pixels in regions that branch cuts enclose or a mask separates, whose multiple of 2π is only
            the likeliest one.
        bright_cut_links: links between bright pixels that branch cuts block, where the phase may show steps of 2π; None
            if the engine has no such idea.
        carrier_strength: this frame's spectral peak at the carrier over its surroundings; None if not measured.
        fringe_contrast: (maximum − minimum) / (maximum + minimum) of the fringes, 0 … 1; None if not measured.
        saturated_share: of the pixels, 0 … 1; None if not measured.
        fringes: what the fringes are like; None if the engine does not look at them.
        masked_share: of the pixels, 0 … 1, whose fringes are too weak for a phase; None if not looked at.
        background_order: of the polynomial that was taken off; None if none was fitted.
        calibration_tilt_rad: by how much the phase was tilted against the calibration frame, in rad across the frame;
            None without one.
        background_doubt_rad: by how much the background is likely to be off, RMS; None if the engine cannot tell.
        warning: one sentence for the user at the screen, or None.
    """

    residues: int | None = None
    disputed_pixels: int | None = None
    bright_cut_links: int | None = None
    carrier_strength: float | None = None
    fringe_contrast: float | None = None
    saturated_share: float | None = None
    fringes: FringeState | None = None
    masked_share: float | None = None
    background_order: int | None = None
    calibration_tilt_rad: float | None = None
    background_doubt_rad: float | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFrame:
    """The unwrapped, aberration-free phase of one frame.

    Attributes:
        phase_rad: (H, W) float32 on the host, C-contiguous, read-only from now on, in radians; positive where the
            sample delays light, background at zero.
        frame: the interferogram it came from.
        engine: what made it.
        stages_ms: how long each of the engine's stages took, in ms, in order.
        quality: how far it can be trusted.
        disputed_mask: (H, W) bool, True on `quality.disputed_pixels`; None where there are none.
        amplitude: (H, W) float32 in grey values, half of what the fringes' cosine swings by; None if not measured.
        mask: (H, W) bool, True where the fringes are too weak for a phase, which is noise there. Likewise where the
            frame misses pixels, whoever made the phase. None where nowhere.
        network_rad: (H, W) float32 in rad, the newest picture that a network beside the measured phase has made of this
            stream. It is a few frames old where the network does not see every frame; None where there is none.
        averaged_frames: how many frames went into it, where it is made of several; None: of one.

    Raises:
        ValueError: the phase is not float32, or not of the frame's shape.
        InferenceError: `not finite`: some of it is NaN or infinite, and so no phase.
    """

    phase_rad: NDArray[np.float32]
    frame: Frame
    engine: EngineIdentity
    stages_ms: Mapping[str, float]
    quality: PhaseQuality = field(default_factory=PhaseQuality)
    disputed_mask: NDArray[np.bool_] | None = None
    amplitude: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    network_rad: NDArray[np.float32] | None = None
    averaged_frames: int | None = None

    def __post_init__(self) -> None:
        if self.phase_rad.dtype != np.float32 or self.phase_rad.shape != self.frame.shape:
            raise ValueError(
                f"expected float32 phase of the frame's shape {self.frame.shape}, "
                f"got {self.phase_rad.dtype} of {self.phase_rad.shape}"
            )
        finite = np.isfinite(self.phase_rad)  # 0.1 ms at 1024²; what comes after may rely on it
        if not finite.all():
            bad = int(finite.size - np.count_nonzero(finite))
            raise InferenceError(
                "not finite",
                f"expected a finite phase from {self.engine.name}, got NaN or infinity in {bad} of {finite.size} "
                "pixels; choose another engine",
            )
        self.phase_rad.flags.writeable = False
        if self.frame.missing is not None:
            object.__setattr__(self, "mask", either(self.mask, self.frame.missing))
        for layer in (self.amplitude, self.mask, self.network_rad):
            if layer is not None:
                if layer.shape != self.frame.shape:
                    raise ValueError(f"expected layers of the frame's shape {self.frame.shape}, got {layer.shape}")
                layer.flags.writeable = False

    def wrapped_rad(self) -> NDArray[np.float32]:
        """The phase modulo 2π in (−π, π]: what the field's argument shows once the aberration is divided out."""
        return wrap(self.phase_rad)


def either(mask: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """(H, W) bool, True where one of two masks is; None where nowhere, as each of them may be."""
    return other if mask is None else mask if other is None else mask | other


def seen_by_both(one: PhaseFrame, other: PhaseFrame) -> NDArray[np.bool_] | None:
    """(H, W), True on the pixels that neither masks; None where that is all of them, or none."""
    masks = [made.mask for made in (one, other) if made.mask is not None]
    seen: NDArray[np.bool_] = ~np.logical_or.reduce(masks) if masks else np.zeros(1, np.bool_)
    return seen if seen.any() else None


def seen_pixels(phase_rad: NDArray[np.float32], seen: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """The pixels that are `seen`, as one row; the phase as it is for None."""
    return phase_rad if seen is None else phase_rad[seen][None]


def wrap(phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) float32 `phase_rad` modulo 2π, in [−π, π], in an array of its own."""
    turns = np.rint(phase_rad / np.float32(2 * np.pi))
    wrapped: NDArray[np.float32] = phase_rad - turns * np.float32(2 * np.pi)
    return wrapped


class PhaseEngine(Protocol):
    """Turns frames of one stream into phase frames. One thread at a time calls it."""

    @property
    def identity(self) -> EngineIdentity:
        """Which engine this is."""

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Do whatever the first frame of this (H, W) would otherwise wait for.

        Raises:
            EngineUnavailable: the engine does not take frames of this size.
        """

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """The unwrapped phase of `frame`, in an array of its own.

        Raises:
            InferenceError: this frame cannot be inverted; the next may.
        """

    def close(self) -> None:
        """Let go of what the engine holds. Doing it twice is harmless."""


@runtime_checkable
class WeighedEngine(Protocol):
    """An engine that says beforehand how much memory it takes."""

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """Host memory that inverting frames of (H, W) takes at most, the engine's own and the phase, in bytes."""


_BYTES_PER_PX_UNSTATED = 320  # the most that any engine here states


def working_bytes(engine: PhaseEngine, shape: tuple[int, int]) -> int:
    """What `engine` says that frames of (H, W) `shape` take, in bytes; a cautious guess where it says nothing."""
    if isinstance(engine, WeighedEngine):
        return engine.working_bytes(shape)
    return _BYTES_PER_PX_UNSTATED * shape[0] * shape[1]


@runtime_checkable
class TunableEngine(Protocol):
    """An engine whose demodulation a user can adjust while it runs. Safe to call from any thread.

    Raises:
        EngineBusy: (from all of them) the frame at hand takes too long to wait for; nothing has changed.
    """

    def refind_carrier(self) -> None:
        """Find the carrier again on the next frame; the sign that was decided for the camera stays."""

    def forget_instrument(self) -> None:
        """Forget carrier and sign: the next frame may come from any instrument."""

    def use_sideband(self, sideband: Sideband) -> None:
        """Take this sideband from the next frame on; the phase's sign flips between upper and lower."""

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        """Divide a sample-free interferogram out of every frame from now on; None: fit the background instead.

        It holds for the part of the sensor that it shows, and rests while frames show another one.

        Args:
            frame: the interferogram.
            force: take it even if it has objects in it.

        Raises:
            ValueError: the frame has no carrier, not the stream's shape, or objects in it.
        """


@runtime_checkable
class SignedEngine(Protocol):
    """An engine that decides by what it sees in which sideband cells come out positive."""

    @property
    def decided_signs(self) -> Mapping[str, tuple[float, float]]:
        """By `Frame.source`, a carrier (fy, fx) in cycles per pixel of the sideband that was decided on."""

    def take_signs(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """Keep to what another engine decided; what was decided here already stays. Safe to call from any thread."""


@runtime_checkable
class DeviceEngine(PhaseEngine, Protocol):
    """An engine that works on a compute device, and takes frames that lie there already (`Frame.on_device`)."""

    def open_device(self) -> Device:
        """The device it works on at present, opened again if it was lost. Safe to call from any thread.

        Raises:
            DeviceError: it cannot be had.
        """


class TrainedFor(Protocol):
    """What an engine was trained for."""

    def why_not(self, shape: tuple[int, int], bit_depth: int) -> str | None:
        """Why it cannot take frames of this (H, W) and depth at all, in a sentence; None if it can."""

    def mismatch(self, frame: Frame) -> str | None:
        """How the frame differs from those it was trained for, in a sentence; None if it does not."""


@runtime_checkable
class TrainedEngine(PhaseEngine, Protocol):
    """An engine that was trained, and so is to be trusted on some streams only."""

    @property
    def network(self) -> TrainedFor:
        """What it was trained for."""


POLYNOMIAL, LEARNED = "polynomial", "learned"
"""The backgrounds that can be asked for by name."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a user may ask of any engine; an engine ignores what it has no use for.

    Attributes:
        optics: for the band limit of frames that do not state theirs.
        carrier_cycles_per_px: (fy, fx) of the carrier; None: found in the spectrum.
        sideband: see `Sideband`.
        background_order: highest total order of the polynomial background fit, 0 … 6; 0 takes only the level off; None:
            4, and 1 beside a calibration frame, for the tilt by which the instrument has drifted since.
        threads: CPU threads an engine may use; None: all cores it is allowed.
        background: what finds the instrument's phase under the sample: `polynomial`, `learned`, or the path of another
            learned background that `qpi export` wrote.
        blend: let the network of the fused engine take noise off the measured phase.
        is_live: frames follow closely on each other, and none may wait for long: what changes slowly is followed from
            frame to frame. Where it is not, each phase depends on its own frame alone, and comes out the same again.
        network: file of the network that `nasprnet`, `fused` and `auto` mean; None: the one that ships.
        learned: file of the background that `learned` means; None: the one that ships.
    """

    optics: Optics | None = None
    carrier_cycles_per_px: tuple[float, float] | None = None
    sideband: Sideband = Sideband.AUTO
    background_order: int | None = None
    threads: int | None = None
    background: str = POLYNOMIAL
    blend: bool = False
    is_live: bool = False
    network: Path | None = None
    learned: Path | None = None


_ADAPTERS = {
    "auto": "qpi_live.models.engines.auto:AutoEngine",
    "goldstein": "qpi_live.models.engines.classical:ClassicalEngine",
    "goldstein-cuda": "qpi_live.models.engines.classical_cuda:ClassicalCudaEngine",
    "nasprnet": "qpi_live.models.engines.onnx:OnnxEngine",
    "fused": "qpi_live.models.engines.fused:FusedEngine",
}
_FROM_FILE = {
    ".onnx": "qpi_live.models.engines.onnx:OnnxEngine",
    ".trt": "qpi_live.models.engines.tensorrt:TensorRtEngine",
}


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for by name."""
    return tuple(_ADAPTERS)


def open_engine(name: str, options: EngineOptions, *, may_be_file: bool = False) -> PhaseEngine:
    """The engine called `name`.

    Args:
        name: one of `engine_names()`.
        options: see `EngineOptions`.
        may_be_file: whether `name` may also be the path of a network that `qpi export` or `qpi compile` wrote. Only for
            whoever starts the program; what comes over the network must not name files.

    Raises:
        EngineUnavailable: there is none of that name, or it cannot be made here.
    """
    file = Path(name)
    is_file = may_be_file and file.suffix in _FROM_FILE
    if name not in _ADAPTERS and not is_file:
        or_file = " or the path of a network (.onnx, .trt)" if may_be_file else ""
        raise EngineUnavailable(f"expected an engine among {', '.join(_ADAPTERS)}{or_file}, got {name!r}")
    module, _, attribute = (_FROM_FILE[file.suffix] if is_file else _ADAPTERS[name]).partition(":")
    try:
        adapter: Callable[..., PhaseEngine] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as missing:
        raise EngineUnavailable(f"engine {name!r} needs the package {missing.name!r}: reinstall qpi-live") from missing
    return adapter(options, file) if is_file else adapter(options)
