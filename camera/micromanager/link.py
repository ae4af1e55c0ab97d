"""The service's side of a Micro-Manager camera's process, and what the two say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from qpi_live.camera.capture.link import NO_SLOT, ProcessLink
from qpi_live.camera.features import FeatureValue

OVERFLOW = "Micro-Manager's buffer was full"
REASONS = (OVERFLOW, NO_SLOT)
"""Why the process lost frames, in the order of `Slots.losses`."""


@dataclass(frozen=True, slots=True)
class GreyPixels:
    """Grey values of `bit_depth` bits, one uint8 or uint16 a pixel."""

    bit_depth: int

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Of a slot's pixels."""
        return np.dtype(np.uint8) if self.bit_depth <= 8 else np.dtype(np.uint16)


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What an open camera is set to: (H, W) and depth of its frames, its main settings, and its pixel.

    `object_pixel_m` is Micro-Manager's pixel size, which is the object's; None where the configuration has none.
    """

    shape: tuple[int, int]
    bit_depth: int
    settings: Mapping[str, FeatureValue]
    object_pixel_m: float | None


class MicroManagerLink(ProcessLink):
    """A capture process for one camera of a configuration; see `capture_process` for its requests."""

    LOADING_S = 150.0
    """A configuration whose stages find their ends takes so long to load."""
    PROCESS = "qpi_live.camera.micromanager.capture_process"
    DOING: ClassVar = {
        "open": "loading {0}",
        "facts": "reading size and depth",
        "features": "reading all properties",
        "feature": "reading {0}",
        "set": "setting {0} to {1}",
        "load": "setting what was saved",
        "fit_window": "setting its window",
        "window": "reading its window",
        "set_window": "setting its window",
        "start": "starting to stream",
        "stop": "stopping to stream",
    }

    def __init__(self) -> None:
        super().__init__(self.LOADING_S)
