"""What was asked of a camera, to be set again whenever it is opened: at the start, after a stop, after a loss."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from math import isfinite

from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.errors import CameraError, CameraLost, CameraUnavailable, FeatureMissing
from qpi_live.camera.features import Feature, FeatureValue, read_settings
from qpi_live.camera.source import CameraOptions
from qpi_live.camera.window import WINDOW_FEATURES

_WINDOW_SIDES = ("Width", "Height", "OffsetX", "OffsetY")


class WantedSettings:
    """The settings file's values and what was set since, in the order in which they were set last.

    Args:
        options: size, rate and settings file.

    Raises:
        CameraUnavailable: the settings file cannot be read.
    """

    def __init__(self, options: CameraOptions) -> None:
        self._options = options
        self._values: dict[str, FeatureValue] = read_settings(options.settings_file) if options.settings_file else {}
        self._file_sets_window = not self._values.keys().isdisjoint(_WINDOW_SIDES)
        self._refused: dict[str, str] = {}  # why, by name, when the camera was opened again

    @property
    def remark(self) -> str:
        """What the camera did not take when it was opened again, in a sentence; "" where it took all."""
        if not self._refused:
            return ""
        reasons = "; ".join(self._refused.values())
        return f"Frames are streaming, but not as set before the camera was lost: {reasons}."

    def remember(self, link: ProcessLink, feature: Feature) -> None:
        """Remember a feature as it is now; of a window all of it, since one side alone would not bring it back."""
        names = _WINDOW_SIDES if feature.name in _WINDOW_SIDES else ()
        for one in _those_there(link, names) or [feature]:
            self._put(one)

    def remember_window(self, link: ProcessLink) -> None:
        """Remember the window as it is now, with its binning and mirroring."""
        for feature in _those_there(link, WINDOW_FEATURES):
            self._put(feature)

    def _put(self, feature: Feature) -> None:
        """Remember a feature, where it belongs into saved settings."""
        if not feature.stored or feature.value is None:
            return
        self._refused.pop(feature.name, None)
        self._values.pop(feature.name, None)  # so that all are set again in the order in which they were set last
        self._values[feature.name] = feature.value

    def set_up(self, link: ProcessLink, was_open: bool) -> None:
        """Set all of it on a camera that was just opened.

        Args:
            link: to the camera.
            was_open: whether this program had it open before. It may have come back in a mode that locks what was set,
                or with other limits: what it does not take then is left, and said in `remark`.

        Raises:
            CameraUnavailable: it does not take the settings, and was not open before.
            CameraLost: it does not answer.
        """
        self._refused = {}
        rate_hz = self._options.frame_rate_hz
        if self._options.shape and not self._file_sets_window:
            link.ask("fit_window", self._options.shape)
        if rate_hz is not None and not (isfinite(rate_hz) and rate_hz >= 0):
            raise CameraUnavailable(f"expected a frame rate of 0 or more frames a second, got {rate_hz}")
        if rate_hz and "AcquisitionFrameRate" not in self._values:
            self._set_rate(link, rate_hz, was_open)
        try:
            self._refused |= link.ask("load", self._values, was_open)
        except CameraLost:
            raise
        except CameraError as error:
            raise CameraUnavailable(f"the camera does not take its settings: {error}") from error

    def _set_rate(self, link: ProcessLink, rate_hz: float, was_open: bool) -> None:
        try:
            with suppress(FeatureMissing):  # many cameras have no such switch
                link.ask("set", "AcquisitionFrameRateEnable", True)
            link.ask("set", "AcquisitionFrameRate", float(rate_hz))
        except CameraLost:
            raise
        except CameraError as error:
            if not was_open:
                raise CameraUnavailable(f"expected a frame rate that the camera takes: {error}") from error
            self._refused["AcquisitionFrameRate"] = str(error)


def _those_there(link: ProcessLink, names: Iterable[str]) -> list[Feature]:
    """The features of these names that the camera has, as they are now."""
    features: list[Feature] = []
    for name in names:
        with suppress(FeatureMissing):
            features.append(link.ask("feature", name))
    return features
