"""A camera's properties as features: under SFNC names where those exist, else under their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from pymmcore_plus import CMMCorePlus, PropertyType
from qpi_live.camera.errors import FeatureMissing, FeatureRefused
from qpi_live.camera.features import Feature, FeatureValue

EXPOSURE, BINNING, PIXEL_TYPE = "Exposure", "Binning", "PixelType"  # Micro-Manager's names
_RENAMED = (EXPOSURE, BINNING, PIXEL_TYPE)
_KINDS = {PropertyType.Float: "float", PropertyType.Integer: "integer", PropertyType.String: "string"}
_WINDOW = {"OffsetX": 0, "OffsetY": 1, "Width": 2, "Height": 3}
"""Places in Micro-Manager's region of interest."""


class CameraProperties:
    """The features of one camera of a loaded configuration.

    Args:
        core: with the configuration.
        label: of the camera.
    """

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core = core
        self._label = label
        self._own = [name for name in core.getDevicePropertyNames(label) if name not in _RENAMED]
        self._readers: dict[str, Callable[[], Feature]] = {"ExposureTime": self._exposure}
        for side in _WINDOW:
            self._readers[side] = lambda side=side: self._side(side)  # type: ignore[misc]
        if core.hasProperty(label, BINNING):
            for direction in ("BinningHorizontal", "BinningVertical"):
                self._readers[direction] = lambda name=direction: self._binning(name)  # type: ignore[misc]
        self._readers["PixelFormat"] = self._pixel_format
        binning = int(self.number("BinningVertical") or 1)
        left, top, width, height = self._window()
        self._chip = (top + height) * binning, (left + width) * binning

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self._readers or name in self._own

    def all(self) -> list[Feature]:
        """All of them."""
        return [self.feature(name) for name in (*self._readers, *self._own)]

    def feature(self, name: str) -> Feature:
        """The one of this name, read now.

        Raises:
            FeatureMissing: there is none.
        """
        if name in self._readers:
            return self._readers[name]()
        if name in self._own:
            return self._property(name, name)
        why = "Micro-Manager has no frame rate: set ExposureTime" if name.startswith("AcquisitionFrameRate") else ""
        raise FeatureMissing(f"the camera has no property {name!r}" + (f"; {why}" if why else ""))

    def number(self, name: str) -> float | None:
        """Its value; None where there is none, or it is no number. `HeightMax` and `WidthMax` are the whole chip's."""
        if name in ("HeightMax", "WidthMax"):
            return self._chip[name == "WidthMax"] // int(self.number("BinningVertical") or 1)
        try:
            return float(self.feature(name).value or 0) if self.has(name) else None
        except ValueError:
            return None

    def set(self, name: str, value: FeatureValue) -> Feature:
        """Set it, and return it as read back.

        Raises:
            FeatureMissing: there is none of this name.
            FeatureRefused: the camera does not take the value.
        """
        before = self.feature(name)
        if not before.writable:
            raise FeatureRefused(f"{name} can only be read")
        try:
            self._write(before, value)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise FeatureRefused(f"{name} cannot be set to {value}: {_sentence(error)}") from error
        return self.feature(name)

    def _write(self, before: Feature, value: FeatureValue) -> None:
        core, label, name = self._core, self._label, before.name
        if before.choices and str(value) not in before.choices:
            raise ValueError(f"expected one of {', '.join(before.choices)}")
        if before.kind in ("integer", "float") and (isinstance(value, bool) or not isfinite(float(value))):
            raise ValueError("expected a number")
        if name == "ExposureTime":
            core.setExposure(label, float(value) / 1000)
        elif name in _WINDOW:
            window = self._window()
            window[_WINDOW[name]] = int(value)
            core.setROI(label, *window)
        elif name.startswith("Binning") and name in self._readers:
            core.setProperty(label, BINNING, self._binnings()[str(value)])
        elif name == "PixelFormat" and name in self._readers:
            core.setProperty(label, PIXEL_TYPE, str(value))
        else:
            core.setProperty(label, name, int(value) if before.kind == "integer" else value)

    def _window(self) -> list[int]:
        """(x, y, width, height) in the frames' pixels."""
        return [int(length) for length in self._core.getROI(self._label)]

    def _exposure(self) -> Feature:
        exposure_ms = self._core.getExposure(self._label)
        lowest, highest = self._limits(EXPOSURE)
        minimum, maximum = (None if limit is None else limit * 1000 for limit in (lowest, highest))
        return Feature("ExposureTime", "float", exposure_ms * 1000, "us", minimum, maximum, stored=True)

    def _side(self, name: str) -> Feature:
        along_y = name in ("Height", "OffsetY")
        full = int(self.number("HeightMax" if along_y else "WidthMax") or 0)
        least = 0 if name.startswith("Offset") else 1
        return Feature(name, "integer", self._window()[_WINDOW[name]], "px", least, full, 1, stored=True)

    def _binnings(self) -> Mapping[str, str]:
        """The camera's own words for a binning, by the number; what differs between the directions is left out."""
        words = [str(word) for word in self._core.getAllowedPropertyValues(self._label, BINNING)] or [
            self._read(BINNING)
        ]
        numbers = {word: re.findall(r"\d+", word) for word in words}
        return {found[0]: word for word, found in numbers.items() if found and len(set(found)) == 1}

    def _binning(self, name: str) -> Feature:
        found = re.findall(r"\d+", self._read(BINNING))
        writable = not self._core.isPropertyReadOnly(self._label, BINNING)
        now = found[0] if found else "1"
        return Feature(name, "enumeration", now, choices=tuple(self._binnings()), writable=writable, stored=writable)

    def _pixel_format(self) -> Feature:
        if self._core.hasProperty(self._label, PIXEL_TYPE):
            return self._property(PIXEL_TYPE, "PixelFormat")
        only = f"{8 * self._core.getBytesPerPixel()}bit"
        return Feature("PixelFormat", "enumeration", only, choices=(only,), writable=False)

    def _property(self, own_name: str, name: str) -> Feature:
        core, label = self._core, self._label
        choices = tuple(str(choice) for choice in core.getAllowedPropertyValues(label, own_name))
        kind = "enumeration" if choices else _KINDS.get(core.getPropertyType(label, own_name), "string")
        writable = not (core.isPropertyReadOnly(label, own_name) or core.isPropertyPreInit(label, own_name))
        lowest, highest = self._limits(own_name)
        value = _as(kind, self._read(own_name))
        return Feature(name, kind, value, "", lowest, highest, None, choices, writable=writable, stored=writable)

    def _read(self, own_name: str) -> str:
        """A property's text; devices in Python give values of any type."""
        return str(self._core.getProperty(self._label, own_name))

    def _limits(self, own_name: str) -> tuple[float | None, float | None]:
        core, label = self._core, self._label
        if not (core.hasProperty(label, own_name) and core.hasPropertyLimits(label, own_name)):
            return None, None
        return core.getPropertyLowerLimit(label, own_name), core.getPropertyUpperLimit(label, own_name)


def _as(kind: str, text: Any) -> FeatureValue | None:
    """A property's text as a value of its kind; None where it is none."""
    try:
        if kind == "integer":
            return int(float(text))
        if kind == "float":
            number = float(text)
            return number if isfinite(number) else None
    except (ValueError, OverflowError):
        return None
    return str(text)


def _sentence(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join(str(error).split()).rstrip(".")
