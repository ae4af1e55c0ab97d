"""Features of a camera that has any: exposure, gain, trigger and whatever else it offers by name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.window import SensorWindow, WindowChange

FeatureValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature as it is now.

    Attributes:
        name: its name, by the Standard Features Naming Convention where it has one (`ExposureTime`).
        kind: `integer`, `float`, `boolean`, `string`, `enumeration` or `command`.
        value: what it is now; None for a command, for what cannot be read now, and for what is no finite number.
        unit: of the value (`us`, `dB`, `Hz`), or empty.
        minimum, maximum: the range it takes now, in `unit`; None where there is none.
        increment: the step from `minimum` on, for integers.
        choices: what an enumeration takes now.
        readable, writable: whether it can be read and set now.
        stored: whether it belongs into a settings file.
        category: the group it stands in, and `description` what it does, both as the camera says it.
    """

    name: str
    kind: str
    value: FeatureValue | None
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    increment: int | None = None
    choices: tuple[str, ...] = ()
    readable: bool = True
    writable: bool = True
    stored: bool = False
    category: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class CameraListing:
    """A camera that can be opened: `access` is `free`, `in use`, …, and `producer` the driver file that offers it."""

    vendor: str
    model: str
    serial: str
    access: str
    producer: str


@runtime_checkable
class ConfigurableCamera(Protocol):
    """A camera with features. Safe to call from any thread, whether the camera streams or not.

    All raise `CameraError`: `FeatureMissing` and `FeatureRefused` for the one asked for, `CameraLost` or
    `CameraUnavailable` where the camera cannot be asked.
    """

    @property
    def is_paused(self) -> bool:
        """Whether it was told to hold its frames back."""

    def features(self) -> list[Feature]:
        """All it has, in the camera's own order."""

    def feature(self, name: str) -> Feature:
        """The one called `name`, read now."""

    def set_feature(self, name: str, value: FeatureValue) -> Feature:
        """Set it, and return it as read back. A command is executed, whatever the value."""

    def pause(self) -> None:
        """Send no frames until `resume`, so that size and pixel format can be set."""

    def resume(self) -> None:
        """Send frames again, of the size and format set now."""

    def save_settings(self) -> dict[str, FeatureValue]:
        """What a later `load_settings` needs to make the camera what it is now, in the order to set it."""

    def load_settings(self, settings: Mapping[str, FeatureValue]) -> None:
        """Set all of `settings`, in order, pausing for it. If one is refused, those before it stay set."""

    def window(self) -> SensorWindow:
        """What of the sensor is read out now, and what could be."""

    def set_window(self, change: WindowChange) -> SensorWindow:
        """Read out another part of the sensor, or binned otherwise, or in another pixel format, pausing for it.

        Returns what is read out from then on. If it is refused, nothing has changed.
        """


def read_settings(path: Path) -> dict[str, FeatureValue]:
    """Settings from a TOML or JSON file of feature names and values, in the file's order.

    Raises:
        CameraUnavailable: it cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        loaded = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise CameraUnavailable(f"expected camera settings as TOML or JSON in {path}, got: {error}") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, FeatureValue) for value in loaded.values()):
        raise CameraUnavailable(f'expected only lines like ExposureTime = 2000.0 (or "Name": value) in {path}')
    return loaded
