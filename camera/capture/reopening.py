"""Opens one camera, and the same one again after a stop or a loss, with what was set on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, Protocol

from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.sessions import FormatT
from qpi_live.camera.capture.wanted import WantedSettings
from qpi_live.camera.features import CameraListing, FeatureValue
from qpi_live.camera.optics import Optics
from qpi_live.camera.source import CameraIdentity, CameraOptions


class Facts(Protocol):
    """What every driver says of its open camera."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of its frames."""

    @property
    def settings(self) -> Mapping[str, FeatureValue]:
        """Its main settings."""


class Reopening(ABC, Generic[FormatT]):
    """The way to one camera. One thread at a time uses it; each kind of driver has a class of it.

    Args:
        source: the camera's address, with its kind.
        options: size, rate, optics and settings file.

    Attributes:
        wanted: what is set on the camera whenever it is opened.

    Raises:
        CameraUnavailable: the settings file cannot be read.
    """

    def __init__(self, source: str, options: CameraOptions) -> None:
        self._source = source
        self._options = options
        self._listing: CameraListing
        self._was_open = False
        self.wanted = WantedSettings(options)

    @abstractmethod
    def new_link(self) -> ProcessLink:
        """A capture process for it.

        Raises:
            CameraUnavailable: it is not there.
        """

    @abstractmethod
    def find(self, link: ProcessLink) -> CameraListing:
        """Have the process open the camera; what it is.

        Raises:
            CameraUnavailable: it is not there, in use or not grey.
            CameraLost: it does not answer.
        """

    def keep(self, listing: CameraListing) -> None:  # most have nothing to add
        """It is set up: from now on it is this camera and no other."""

    @abstractmethod
    def describe(self, link: ProcessLink) -> tuple[CameraIdentity, FormatT]:
        """What the open camera is and sends now."""

    def open(self) -> tuple[ProcessLink, CameraIdentity, FormatT]:
        """A link to the camera, set up, and what it is and sends now.

        Raises:
            CameraUnavailable: it is not there, in use, not grey, or does not take the settings.
            CameraLost: it does not answer.
        """
        link = self.new_link()
        try:
            self._listing = self.find(link)
            self.wanted.set_up(link, was_open=self._was_open)
            self.keep(self._listing)
            identity, pixels = self.describe(link)
        except BaseException:
            link.close()
            link.drop_connections()
            raise
        self._was_open = True
        return link, identity, pixels

    def identity(
        self,
        facts: Facts,
        pixels: FormatT,
        binning: tuple[int, int],
        *,
        known: Optics | None = None,
        rate_hz: float | None = None,
    ) -> CameraIdentity:
        """Who the open camera is, by its listing and its facts; `known` is what the driver says of the optics."""
        return CameraIdentity(
            source=self._source,
            vendor=self._listing.vendor,
            model=self._listing.model,
            serial=self._listing.serial,
            shape=facts.shape,
            bit_depth=pixels.bit_depth,
            frame_rate_hz=rate_hz,
            optics=self._options.optics.over(known, binning),
            settings=facts.settings,
            remark=self.wanted.remark,
            binning=binning,
        )
