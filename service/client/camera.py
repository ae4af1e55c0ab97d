"""The camera, controlled from a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qpi_live.camera.features import FeatureValue

if TYPE_CHECKING:
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

    @property
    def exposure_us(self) -> float:
        """The exposure time in µs; set it to change it."""
        return float(self.feature(_EXPOSURE)["value"])

    @exposure_us.setter
    def exposure_us(self, value: float) -> None:
        self.set_feature(_EXPOSURE, value)
