"""The tasks that an interferogram can be sent with, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic_ns, time_ns

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.image_file import decode_image, decode_mask
from qpi_live.camera.files.missing import filled
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.engine import EngineOptions
from qpi_live.models.phase_frame import either

LARGEST_PX = 1 << 25


class SentError(Exception):
    """An interferogram that was sent cannot be used; the text says what was expected, what came, and what to do."""


class SentRefused(SentError):
    """It is none, or the engine cannot invert it."""


class SentTooLarge(SentError):
    """It would take, or took, more memory than there is for frames that are sent."""


class SentTookTooLong(SentError):
    """It took longer than a frame that is sent may."""


@dataclass(frozen=True, slots=True)
class AskedEngine:
    """An engine's name; it may be a network's file where it is the service's own setting, never where it was sent."""

    name: str
    may_be_file: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SentImage:
    """A file's bytes, as they were sent.

    Attributes:
        data: the interferogram's.
        bit_depth: significant bits of a grey value; None: the least that hold them.
        mask: those of a mask of its shape, which is not zero on pixels to leave out; None: none.
    """

    data: bytes
    bit_depth: int | None = None
    mask: bytes | None = None

    def decode(self) -> Frame:
        """The interferogram, as a frame that was captured now; it misses NaN, infinity and what the mask leaves out.

        Raises:
            ValueError: no interferogram, or grey values that need more bits than `bit_depth`.
        """
        image, bit_depth = decode_image(self.data, LARGEST_PX, may_miss=True), self.bit_depth
        highest = int(image.pixels.max())
        if bit_depth is not None and highest >= 2**bit_depth:
            raise ValueError(f"expected grey values below {2**bit_depth} at bit depth {bit_depth}, got {highest}")
        pixels, missing = image.pixels, image.missing
        if self.mask is not None:
            missing = either(missing, _mask(self.mask, (pixels.shape[0], pixels.shape[1])))
            if missing is not None and missing.all():
                raise ValueError("expected grey values outside of the mask, got NaN or infinity in all of them")
            pixels = pixels if missing is None else filled(pixels, missing)
        return Frame(pixels, bit_depth or image.bit_depth, 0, time_ns(), monotonic_ns(), missing=missing)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One interferogram, and how it is to be inverted.

    Attributes:
        image: the interferogram.
        options: what the engine is asked for. Unless it names a carrier, that is found anew for every task: frames
            that are sent may come from any instrument.
        camera: who took it; None: whoever sent it, with the optics of `options`.
        calibration: a sample-free interferogram to divide out, or None.
        is_offered: whether an engine that takes no sideband, carrier or calibration frame may do without; else it is
            refused.
    """

    image: SentImage | Frame
    options: EngineOptions
    camera: CameraIdentity | None = None
    calibration: SentImage | Frame | None = None
    is_offered: bool = False

    def decoded(self) -> Decoded:
        """The task with its images decoded.

        Raises:
            ValueError: see `SentImage.decode`.
        """
        frame = _frame(self.image)
        if self.camera is None:
            frame = replace(frame, optics=self.options.optics)
        camera = self.camera or CameraIdentity(
            "sent", "", "", "", frame.shape, frame.bit_depth, None, self.options.optics
        )
        calibration = None if self.calibration is None else _frame(self.calibration)
        return Decoded(frame, camera, self.options, calibration, self.is_offered)

    def for_sending(self) -> Task:
        """The same task without what belongs to this process: a device's memory, a simulation behind a frame."""
        camera = self.camera and replace(self.camera, settings=dict(self.camera.settings))
        calibration = None if self.calibration is None else _alone(self.calibration)
        return replace(self, image=_alone(self.image), camera=camera, calibration=calibration)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A task whose images are decoded; the attributes are `Task`'s."""

    frame: Frame
    camera: CameraIdentity
    options: EngineOptions
    calibration: Frame | None = None
    is_offered: bool = False


@dataclass(frozen=True, slots=True)
class EnginesCompared:
    """Two engines on one frame of (H, W) `shape`, the level between them taken off; `psnr_db` is None where equal."""

    rms_rad: float
    psnr_db: float | None
    ssim: float
    a_ms: float
    b_ms: float
    shape: tuple[int, int]


def _mask(data: bytes, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    try:
        mask = decode_mask(data, LARGEST_PX)
    except ValueError as error:
        raise ValueError(f"mask: {error}") from error
    if mask.shape != shape:
        raise ValueError(f"mask: expected the interferogram's shape {shape}, got {mask.shape}")
    if mask.all():
        raise ValueError("mask: expected zeros on the pixels to keep, got none; it is nonzero where to leave out")
    return mask if mask.any() else None


def _frame(image: SentImage | Frame) -> Frame:
    return image.decode() if isinstance(image, SentImage) else image


def _alone(image: SentImage | Frame) -> SentImage | Frame:
    if isinstance(image, SentImage):
        return image
    settings = None if image.settings is None else dict(image.settings)
    return replace(image, settings=settings, true_phase_rad=None, on_device=None)
