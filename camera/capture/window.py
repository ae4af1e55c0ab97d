"""Reads and sets what of a camera's sensor is read out. Names are those of GenICam's SFNC 2.7."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from typing import Protocol

from qpi_live.camera.errors import FeatureMissing, FeatureRefused
from qpi_live.camera.features import Feature, FeatureValue
from qpi_live.camera.window import SensorWindow, WindowChange

_SIDES = (("Height", "OffsetY"), ("Width", "OffsetX"))
_BINNINGS = ("BinningVertical", "BinningHorizontal")
_MOST_BINNING = 16


class CameraNodes(Protocol):
    """The features of an open camera, by their SFNC names."""

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""

    def feature(self, name: str) -> Feature:
        """The one of this name, read now; raises `FeatureMissing`."""

    def set(self, name: str, value: FeatureValue) -> Feature:
        """Set it, and read it back; raises `FeatureMissing` and `FeatureRefused`."""

    def number(self, name: str) -> float | None:
        """Its value; None where there is none, or it is no number."""


def read_window(nodes: CameraNodes, readable: Container[str]) -> SensorWindow:
    """What is read out now, and what could be; `readable` pixel formats are those that this program reads."""
    height, width = nodes.feature("Height"), nodes.feature("Width")
    offset_y, offset_x = _offset(nodes, "OffsetY"), _offset(nodes, "OffsetX")
    pixel_format = nodes.feature("PixelFormat")
    return SensorWindow(
        y=_value(offset_y),
        x=_value(offset_x),
        height=_value(height),
        width=_value(width),
        full_height=_full(nodes, height, offset_y),
        full_width=_full(nodes, width, offset_x),
        least_height=int(height.minimum or 1),
        least_width=int(width.minimum or 1),
        step_y=offset_y.increment or 1,
        step_x=offset_x.increment or 1,
        step_height=height.increment or 1,
        step_width=width.increment or 1,
        binning=(_binning(nodes, _BINNINGS[0]), _binning(nodes, _BINNINGS[1])),
        binnings=_binnings(nodes),
        pixel_format=str(pixel_format.value),
        pixel_formats=tuple(name for name in pixel_format.choices if name in readable),
    )


def change_window(nodes: CameraNodes, change: WindowChange, readable: Container[str]) -> SensorWindow:
    """Set what is asked for, and return what is read out from now on. The camera must not stream.

    Raises:
        FeatureMissing, FeatureRefused: the camera does not take it; it is as it was before.
    """
    before = read_window(nodes, readable)
    try:
        _change(nodes, change, before, readable)
    except (FeatureMissing, FeatureRefused):
        with suppress(FeatureMissing, FeatureRefused):
            _restore(nodes, before, readable)
        raise
    return read_window(nodes, readable)


def _change(nodes: CameraNodes, change: WindowChange, before: SensorWindow, readable: Container[str]) -> None:
    if change.pixel_format is not None:
        if change.pixel_format not in before.pixel_formats:
            raise FeatureRefused(
                f"expected a pixel format among {', '.join(before.pixel_formats)}, got {change.pixel_format!r}"
            )
        nodes.set("PixelFormat", change.pixel_format)
    area = change.area or (before.y, before.x, before.height, before.width)
    if change.binning is not None:
        if change.binning not in before.binnings:
            raise FeatureRefused(
                f"expected a binning among {', '.join(map(str, before.binnings))}, got {change.binning}"
            )
        _set_binning(nodes, (change.binning, change.binning))
        if change.area is None:
            area = _as_binned(area, before.binning, change.binning)
    if not (change.full or change.area or change.binning is not None):
        return
    _reset_offsets(nodes)
    full = read_window(nodes, readable)
    if change.full:
        area = (0, 0, full.full_height, full.full_width)
    elif change.area is None:
        area = _inside(area, full)
    _set_area(nodes, area, full)


def _set_area(nodes: CameraNodes, area: tuple[int, int, int, int], full: SensorWindow) -> None:
    """Set the smallest window that holds `area`; offsets are 0."""
    y, x, height, width = area
    inside = y >= 0 and x >= 0 and y + height <= full.full_height and x + width <= full.full_width
    if not inside or height < full.least_height or width < full.least_width:
        raise FeatureRefused(
            f"expected a window inside of {full.full_height} × {full.full_width} (rows × columns), of at least "
            f"{full.least_height} × {full.least_width}, got {height} × {width} from row {y}, column {x}"
        )
    spans = (
        _span(y, height, full.step_y, (full.least_height, full.step_height, full.full_height)),
        _span(x, width, full.step_x, (full.least_width, full.step_width, full.full_width)),
    )
    for (side, offset), (start, size) in zip(_SIDES, spans, strict=True):
        if nodes.feature(side).value != size:
            nodes.set(side, size)
        if start:
            nodes.set(offset, start)


def _span(start: int, size: int, step: int, sizes: tuple[int, int, int]) -> tuple[int, int]:
    """(start, size) on the camera's steps that hold what was asked for, as far as the chip goes."""
    least, size_step, full = sizes
    first = start // step * step
    needed = start + size - first
    rounded = least + max(0, -(-(needed - least) // size_step)) * size_step
    largest = least + (full - least) // size_step * size_step
    rounded = min(rounded, largest)
    return min(first, (full - rounded) // step * step), rounded


def _as_binned(area: tuple[int, int, int, int], before: tuple[int, int], binning: int) -> tuple[int, int, int, int]:
    """The same part of the chip in pixels of another binning."""
    y, x, height, width = area
    return (
        y * before[0] // binning,
        x * before[1] // binning,
        height * before[0] // binning,
        width * before[1] // binning,
    )


def _inside(area: tuple[int, int, int, int], full: SensorWindow) -> tuple[int, int, int, int]:
    """The nearest area that lies on the chip, and is no smaller than the camera can read."""
    y, x, height, width = area
    height = min(max(height, full.least_height), full.full_height)
    width = min(max(width, full.least_width), full.full_width)
    return min(y, full.full_height - height), min(x, full.full_width - width), height, width


def _restore(nodes: CameraNodes, before: SensorWindow, readable: Container[str]) -> None:
    if nodes.feature("PixelFormat").value != before.pixel_format:
        with suppress(FeatureMissing, FeatureRefused):
            nodes.set("PixelFormat", before.pixel_format)
    if len(before.binnings) > 1:
        with suppress(FeatureMissing, FeatureRefused):
            _set_binning(nodes, before.binning)
    _reset_offsets(nodes)
    _set_area(nodes, (before.y, before.x, before.height, before.width), read_window(nodes, readable))


def _set_binning(nodes: CameraNodes, binning: tuple[int, int]) -> None:
    for name, wanted in zip(_BINNINGS, binning, strict=True):
        # Many cameras bin both ways with one of the two, and lock the other.
        if nodes.has(name) and _binning(nodes, name) != wanted:
            feature = nodes.feature(name)
            nodes.set(name, _choice(feature, wanted) if feature.choices else wanted)


def _reset_offsets(nodes: CameraNodes) -> None:
    for _, name in _SIDES:  # first, or they would limit the size
        with suppress(FeatureMissing, FeatureRefused):
            nodes.set(name, int(nodes.feature(name).minimum or 0))


def _offset(nodes: CameraNodes, name: str) -> Feature:
    return nodes.feature(name) if nodes.has(name) else Feature(name, "integer", 0, writable=False)


def _value(feature: Feature) -> int:
    return int(feature.value or 0)


def _full(nodes: CameraNodes, side: Feature, offset: Feature) -> int:
    stated = nodes.number(f"{side.name}Max")
    if stated:
        return int(stated)
    # Cameras differ in whether the side's maximum leaves room for the offset.
    return max(int(side.maximum or 0) + _value(offset) if offset.writable else 0, _value(side) + _value(offset))


def _binning(nodes: CameraNodes, name: str) -> int:
    value = nodes.feature(name).value if nodes.has(name) else None
    digits = "".join(filter(str.isdigit, str(value)))  # "X2" and the like on some cameras
    return int(digits) if digits else 1


def _binnings(nodes: CameraNodes) -> tuple[int, ...]:
    """What binning takes; a camera that bins in one direction only has none here, since its pixels were not square."""
    if not all(nodes.has(name) for name in _BINNINGS):
        return (1,)
    feature = nodes.feature(_BINNINGS[1])
    if feature.choices:
        return tuple(sorted({int(digits) for choice in feature.choices if (digits := _digits(choice))}))
    largest = min(int(feature.maximum or 1), _MOST_BINNING)
    return tuple(range(1, largest + 1, feature.increment or 1))


def _choice(feature: Feature, wanted: int) -> str:
    return next(choice for choice in feature.choices if _digits(choice) == str(wanted))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
