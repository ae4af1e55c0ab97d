"""The camera, controlled from a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from qpi_live.camera.features import FeatureValue
    from qpi_live.service.client.rest import Rest

_EXPOSURE = "ExposureTime"  # GenICam SFNC 2.7, in µs


class CameraControl:
    """What the page's camera panel can do; every method may raise ServiceError with the camera's own sentence.

    Start, stop and features are for cameras that have features (GenICam); others refuse them.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def describe(self) -> dict[str, Any]:
        """Who it is and what it sends: `camera`, `sources`, `configurable`, `paused`."""
        return dict(self._rest.ask("GET", "/camera").json())

    def use(self, source: str) -> dict[str, Any]:
        """Take frames from another of `describe()["sources"]`; as `describe`."""
        return dict(self._rest.ask("PUT", "/camera/source", json={"source": source}).json())

    def start(self) -> None:
        """Let frames come again."""
        self._rest.ask("POST", "/camera/start")

    def stop(self) -> None:
        """Let no frames come until `start`; the service goes on."""
        self._rest.ask("POST", "/camera/stop")

    def features(self) -> dict[str, dict[str, Any]]:
        """All features by name, each with `value`, `unit`, `minimum`, `maximum`, `choices`, `writable` and more."""
        return {feature["name"]: feature for feature in self._rest.ask("GET", "/camera/features").json()}

    def feature(self, name: str) -> dict[str, Any]:
        """One feature, read from the camera now."""
        return dict(self._rest.ask("GET", f"/camera/features/{quote(name, safe='')}").json())

    def set_feature(self, name: str, value: FeatureValue) -> dict[str, Any]:
        """Set a feature, in its own unit; the feature as read back. A command is executed, whatever the value."""
        return dict(self._rest.ask("PUT", f"/camera/features/{quote(name, safe='')}", json={"value": value}).json())

    def window(self) -> dict[str, Any]:
        """What of the chip is read out, and what could be: `y`, `x`, `height`, `width`, `full_height`, `binnings`, …"""
        return dict(self._rest.ask("GET", "/camera/window").json())

    def set_window(self, y: int, x: int, height: int, width: int, *, binning: int | None = None) -> dict[str, Any]:
        """Read out the smallest window of the chip that holds this area; as `window`, as it is from now on.

        Lengths are in the frames' own pixels, after the new binning. The camera is stopped and started for it.
        """
        area = {"y": y, "x": x, "height": height, "width": width}
        return self._put_window(area if binning is None else area | {"binning": binning})

    def full_chip(self) -> dict[str, Any]:
        """Read out the whole chip; as `window`."""
        return self._put_window({"full": True})

    def set_binning(self, binning: int) -> dict[str, Any]:
        """Average blocks of `binning` × `binning` sensor pixels into one, showing the same part of the chip."""
        return self._put_window({"binning": binning})

    def set_pixel_format(self, name: str) -> dict[str, Any]:
        """How grey values are sent: one of `window()["pixel_formats"]`, such as "Mono12p"."""
        return self._put_window({"pixel_format": name})

    @property
    def exposure_us(self) -> float:
        """The exposure time in µs; set it to change it."""
        return float(self.feature(_EXPOSURE)["value"])

    @exposure_us.setter
    def exposure_us(self, value: float) -> None:
        self.set_feature(_EXPOSURE, value)

    def _put_window(self, change: dict[str, Any]) -> dict[str, Any]:
        return dict(self._rest.ask("PUT", "/camera/window", json=change).json())
