"""Cameras that speak GenICam, through whatever GenTL producer (.cti) their maker provides."""

from __future__ import annotations

from qpi_live.camera.capture.camera import DrivenCamera
from qpi_live.camera.genicam.capture_link import REASONS
from qpi_live.camera.genicam.pixel_format import PixelFormat
from qpi_live.camera.genicam.producers import require_harvesters
from qpi_live.camera.genicam.reopening import GenicamReopening
from qpi_live.camera.source import CameraOptions

require_harvesters()  # only the capture process imports it, but without it nothing here can work


class GenicamCamera(DrivenCamera[PixelFormat]):
    """`Camera` and `ConfigurableCamera` for `gentl:PATH.cti`, `gentl:PATH.cti#SERIAL`, `gentl:#SERIAL` and `gentl:`."""

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> GenicamCamera:
        """The camera at `address`, open and set up, ready to start.

        Raises:
            CameraUnavailable: it is not there, in use, not grey, or does not take the settings.
        """
        return cls(GenicamReopening(address, options), REASONS)
