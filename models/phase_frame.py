"""The phase of one frame: what made it, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame
from qpi_live.models.errors import InferenceError


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
