"""The service's side of a GenICam camera's capture process, and what the two say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from qpi_live.camera.capture.link import NO_SLOT, ProcessLink
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.genicam.frame_ids import DUPLICATE, GAP, INCOMPLETE, LATE, UNDERRUN

REASONS = (GAP, INCOMPLETE, UNDERRUN, LATE, DUPLICATE, NO_SLOT)
"""Why the capture process lost frames, in the order of `Slots.losses`."""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What an open camera is set to: (H, W), PFNC name and depth of its frames, their rate, and its main settings."""

    shape: tuple[int, int]
    pixel_format: str
    bit_depth: int
    frame_rate_hz: float | None
    settings: Mapping[str, FeatureValue]


class CaptureLink(ProcessLink):
    """A capture process for one GenICam camera; see `capture_process` for its requests."""

    PROCESS = "qpi_live.camera.genicam.capture_process"
    DOING: ClassVar = {
        "list": "looking for cameras",
        "open": "opening the camera",
        "facts": "reading size, format and rate",
        "features": "reading all features",
        "feature": "reading {0}",
        "set": "setting {0} to {1}",
        "load": "setting what was saved",
        "fit_window": "setting its window",
        "window": "reading its window",
        "set_window": "setting its window",
        "start": "starting to stream",
        "stop": "stopping to stream",
    }
