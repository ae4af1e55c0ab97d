"""A camera of a Micro-Manager configuration, opened by pymmcore-plus in the capture process.

`UniMMCore` is a core for drivers in C++ and for devices in Python alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus import DeviceType, find_micromanager
from pymmcore_plus.experimental.unicore import UniMMCore
from qpi_live.camera.capture.loading import load_settings
from qpi_live.camera.capture.window import change_window, read_window
from qpi_live.camera.errors import CameraLost, CameraUnavailable, FeatureRefused
from qpi_live.camera.features import CameraListing, Feature, FeatureValue
from qpi_live.camera.frame import SENSOR_WINDOW
from qpi_live.camera.micromanager.link import CameraFacts
from qpi_live.camera.micromanager.properties import CameraProperties
from qpi_live.camera.window import WindowChange

_TOLD = ("PixelFormat", "ExposureTime", "Gain")
_LOOK_AGAIN_S = 0.0005  # for an image: Micro-Manager's buffer does not wake those who wait
_NUMBER, _ELAPSED_MS = "ImageNumber", "ElapsedTime-ms"  # of Micro-Manager's metadata


@dataclass(frozen=True, slots=True, eq=False)
class CoreImage:
    """An image as the core gave it: its pixels, and its number and time since the start of the sequence."""

    pixels: NDArray[Any]
    number: int | None
    elapsed_ns: int | None


class MicroManagerDevice:
    """An open camera. One thread uses it.

    Args:
        configuration: path of a configuration file, or the name of one beside Micro-Manager's drivers.
        label: of the camera; "": the configuration's own, or the first.

    Raises:
        CameraUnavailable: the configuration cannot be loaded, or has no such camera, or that sends no grey pictures.
    """

    def __init__(self, configuration: str, label: str) -> None:
        self._core = core = UniMMCore()
        try:
            core.loadSystemConfiguration(configuration)
        except Exception as error:  # drivers raise whatever they like
            raise CameraUnavailable(_why_not(configuration, error)) from error
        cameras = list(core.getLoadedDevicesOfType(DeviceType.Camera))
        self._label = label or core.getCameraDevice() or next(iter(cameras), "")
        if self._label not in cameras:
            there = f"those in it are {', '.join(cameras)}" if cameras else "there is none in it"
            raise CameraUnavailable(f"expected a camera {label!r} in {configuration}; {there}")
        core.setCameraDevice(self._label)
        self.properties = CameraProperties(core, self._label)
        self.grey_formats = self._grey_formats()
        self._is_streaming = False

    @property
    def listing(self) -> CameraListing:
        """Who the camera is."""
        core, label = self._core, self._label
        serial = str(core.getProperty(label, "CameraID")) if core.hasProperty(label, "CameraID") else ""
        vendor, model = core.getDeviceLibrary(label), core.getDeviceName(label)
        return CameraListing(str(vendor), str(model), serial or label, "in use", "Micro-Manager")

    def facts(self) -> CameraFacts:
        """What it is set to.

        Raises:
            CameraUnavailable: it sends no grey pictures.
        """
        core = self._core
        if not self._is_grey():
            raise CameraUnavailable(
                f"expected a camera of grey pictures with 8 or 16 bits, got {core.getNumberOfComponents()} components "
                f"of {8 * core.getBytesPerPixel()} bits; set its PixelType in the configuration"
            )
        pixel_um = core.getPixelSizeUm()
        return CameraFacts(
            shape=(core.getImageHeight(), core.getImageWidth()),
            bit_depth=self._bit_depth(),
            settings=self.settings(),
            object_pixel_m=pixel_um * 1e-6 if pixel_um > 0 else None,
        )

    def settings(self) -> dict[str, FeatureValue]:
        """What belongs to a frame's record, read now."""
        has = self.properties.has
        values = {name: self.properties.feature(name).value for name in (*_TOLD, *SENSOR_WINDOW) if has(name)}
        known = {name: value for name, value in values.items() if value is not None}
        for name in ("BinningHorizontal", "BinningVertical"):
            known[name] = int(known.get(name, 1))
        return known

    def features(self) -> list[Feature]:
        """See `CameraProperties.all`."""
        return self.properties.all()

    def feature(self, name: str) -> Feature:
        """See `CameraProperties.feature`."""
        return self.properties.feature(name)

    def set(self, name: str, value: FeatureValue) -> Feature:
        """See `CameraProperties.set`; what changes the frames' size or depth is refused while they stream."""
        if name == "PixelFormat" and self.grey_formats and value not in self.grey_formats:
            raise FeatureRefused(f"expected a grey PixelFormat among {', '.join(self.grey_formats)}, got {value}")
        before = self._layout()
        was = self.properties.feature(name).value
        feature = self.properties.set(name, value)
        if self._is_streaming and self._layout() != before:
            with suppress(FeatureRefused):
                self.properties.set(name, was if was is not None else value)
            raise FeatureRefused(f"{name} changes the frames' size or depth; stop the camera first")
        return feature

    def load(self, settings: Mapping[str, FeatureValue], leave_refused: bool = False) -> dict[str, str]:
        """See `load_settings`."""
        return load_settings(self, settings, leave_refused)

    def fit_window(self, shape: tuple[int, int]) -> None:
        """Read out the middle of the sensor, (H, W) or as much of it as there is; a camera that cannot sends all."""
        full = read_window(self.properties, self.grey_formats)
        height, width = min(shape[0], full.full_height), min(shape[1], full.full_width)
        area = (full.full_height - height) // 2, (full.full_width - width) // 2, height, width
        with suppress(FeatureRefused):
            change_window(self.properties, WindowChange(area=area), self.grey_formats)

    def start(self) -> None:
        """Begin to stream.

        Raises:
            CameraLost: the camera does not.
        """
        try:
            self._core.startContinuousSequenceAcquisition(0)
        except Exception as error:
            raise CameraLost(f"camera {self._label} does not begin to stream: {error}") from error
        self._is_streaming = True

    def stop(self) -> None:
        """Stop streaming. A camera that is gone is no error here."""
        self._is_streaming = False
        with suppress(Exception):
            self._core.stopSequenceAcquisition()

    def fetch(self, timeout_s: float) -> CoreImage | None:
        """The next image, or None when none came in time.

        Raises:
            CameraLost: the camera ended its sequence, or cannot be read.
        """
        core, until = self._core, monotonic() + timeout_s
        try:
            while not core.getRemainingImageCount():
                if not core.isSequenceRunning() and not core.getRemainingImageCount():
                    raise CameraLost(f"camera {self._label} ended its stream; see to its cable and its power")
                if monotonic() > until:
                    return None
                sleep(_LOOK_AGAIN_S)
            pixels, metadata = core.popNextImageAndMD()
        except RuntimeError as error:
            raise error if isinstance(error, CameraLost) else CameraLost(f"camera {self._label}: {error}") from error
        number, elapsed_ms = metadata.get(_NUMBER), metadata.get(_ELAPSED_MS)
        return CoreImage(
            np.asarray(pixels),
            None if number is None else int(number),
            None if elapsed_ms is None else round(float(elapsed_ms) * 1e6),
        )

    def close(self) -> None:
        """Let go of all devices of the configuration."""
        with suppress(Exception):
            self._core.unloadAllDevices()

    def _layout(self) -> tuple[int, int, int]:
        return self._core.getImageHeight(), self._core.getImageWidth(), self._bit_depth()

    def _bit_depth(self) -> int:
        stored: int = 8 * self._core.getBytesPerPixel()
        said: int = self._core.getImageBitDepth()
        return said if stored == 16 and 8 < said <= 16 else stored

    def _is_grey(self) -> bool:
        return self._core.getNumberOfComponents() == 1 and self._core.getBytesPerPixel() in (1, 2)

    def _grey_formats(self) -> tuple[str, ...]:
        """The camera's pixel formats that are grey; one of them is set from now on, where there is one."""
        feature = self.properties.feature("PixelFormat")
        if not feature.writable:
            return (str(feature.value),)
        grey = []
        for name in feature.choices:
            with suppress(FeatureRefused):
                self.properties.set("PixelFormat", name)
                if self._is_grey():
                    grey.append(name)
        now = str(feature.value)
        if feature.choices:
            with suppress(FeatureRefused):
                self.properties.set("PixelFormat", grey[0] if grey and now not in grey else now)
        return tuple(grey)


def _why_not(configuration: str, error: Exception) -> str:
    """Why a configuration was not loaded, and what to do where Micro-Manager itself is missing."""
    text = f"expected a Micro-Manager configuration, got {configuration}: {' '.join(str(error).split())}"
    missing = "; no drivers were found: run `mmcore install`, or set MICROMANAGER_PATH to Micro-Manager's folder"
    return text if find_micromanager() else text + missing
