"""The contents of a file or folder of recordings, known before any frame of it is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.optics import Optics

Values = NDArray[np.generic]

_HIGHEST_RATE_HZ = 10_000.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file states beside its pixels; None, or "", where it says nothing.

    Attributes:
        optics: scale, wavelength and aperture.
        frame_rate_hz: frames per second when it was taken.
        bit_depth: significant bits of a grey value.
        modality: what kind of measurement it is, in the file's own words.
    """

    optics: Optics | None = None
    frame_rate_hz: float | None = None
    bit_depth: int | None = None
    modality: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One of the images that were taken together; `kind` is what the file says of it beside its name."""

    name: str = ""
    kind: str = ""
    wavelength_m: float | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames of one size, in the order in which they play.

    Attributes:
        name: the dataset's, the array's, the position's; "" where the file has but one stack.
        shape: (H, W) of each frame, in pixels.
        dtype: of the stored grey values.
        frames: how many there are, whole.
        plane: the stored values of (frame, channel), (H, W) or with colours behind; raises `ImageFileError`.
        channels: images that were taken together with each frame; one at least.
        facts: what the file says of them.
        promised: frames that the file says it has; more than `frames` where its end is missing.
        title: what a user would call a frame, by its index.
        remark: a sentence, where something was left out.
        time_s: when a frame was taken, in s of any clock, or None; None where the file has no times of single frames.
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    frames: int
    plane: Callable[[int, int], Values]
    channels: tuple[Channel, ...] = (Channel(),)
    facts: Facts = field(default_factory=Facts)
    promised: int = 0
    title: Callable[[int], str] = "frame {}".format
    remark: str = ""
    time_s: Callable[[int], float | None] | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """All stacks of a file or a folder.

    Attributes:
        kind: of file, for people: "OME-TIFF".
        stacks: what it holds; one at least.
        watched: files and folders that change when the recording does.
        close: lets go of the files.
    """

    kind: str
    stacks: tuple[Stack, ...]
    watched: tuple[Path, ...]
    close: Callable[[], None] = lambda: None


def optics_of(
    *,
    wavelength_m: float | None = None,
    object_pixel_m: float | None = None,
    aperture: float | None = None,
    refractive_index: float | None = None,
) -> Optics | None:
    """Optics of what a file states, leaving out what cannot be; the pixel is the object's. None if nothing is left."""
    known = {
        "wavelength_m": wavelength_m,
        "pixel_pitch_m": object_pixel_m,
        "numerical_aperture": aperture,
        "refractive_index": refractive_index,
    }
    nothing = sound = Optics(None)
    for name, value in known.items():
        with suppress(ValueError, TypeError):
            if value is not None and isfinite(value):
                sound = replace(sound, **{name: float(value)})
    return None if sound == nothing else sound


def rate_of(interval_s: float | None) -> float | None:
    """Frames per second from the time between two; None where that is not stated or makes no sense."""
    if interval_s is None or not isfinite(interval_s) or interval_s <= 0:
        return None
    rate_hz = 1 / interval_s
    return rate_hz if rate_hz <= _HIGHEST_RATE_HZ else None


def whole_frames(promised: int, is_whole: Callable[[int], bool]) -> int:
    """How many frames from the first on are there: those behind were not written yet, or are cut off.

    Frames that are missing in between are not looked for; each is counted when its turn comes.
    """
    if promised == 0 or is_whole(promised - 1):
        return promised
    low, high = 0, promised - 1  # the last frame that is there lies in low … high, if the first one is
    while low < high:
        middle = (low + high) // 2
        if is_whole(middle):
            low = middle + 1
        else:
            high = middle
    return low
