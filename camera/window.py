"""The part of a camera's sensor that is read out: where, how large, binned how, in which pixel format."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_FEATURES = ("PixelFormat", "BinningVertical", "BinningHorizontal", "Height", "Width", "OffsetY", "OffsetX")
"""The features that a window consists of, by GenICam's SFNC 2.7, in the order to set them."""


@dataclass(frozen=True, slots=True)
class SensorWindow:
    """What is read out now, and what could be. All lengths are in the frames' own pixels, hence binned ones.

    Attributes:
        y, x: first row and column on the sensor.
        height, width: size of the frames.
        full_height, full_width: size of the whole chip with the present binning.
        least_height, least_width: the smallest frames.
        step_y, step_x, step_height, step_width: what offsets and sizes go up by.
        binning: (vertical, horizontal), sensor pixels that make one of a frame's.
        binnings: what both may be; (1,) where the camera has none.
        pixel_format: PFNC's name; `pixel_formats` are those that this program reads.
    """

    y: int
    x: int
    height: int
    width: int
    full_height: int
    full_width: int
    least_height: int
    least_width: int
    step_y: int
    step_x: int
    step_height: int
    step_width: int
    binning: tuple[int, int]
    binnings: tuple[int, ...]
    pixel_format: str
    pixel_formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowChange:
    """What to change of a `SensorWindow`; what is None stays, and after a new binning shows the same part of the chip.

    Attributes:
        area: (y, x, height, width) in the frames' pixels, after the new binning. Off the camera's steps, it becomes the
            smallest window that holds it.
        full: the whole chip instead.
        binning: in both directions.
        pixel_format: PFNC's name.
    """

    area: tuple[int, int, int, int] | None = None
    full: bool = False
    binning: int | None = None
    pixel_format: str | None = None
