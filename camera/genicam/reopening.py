"""The way to one GenICam camera: its producer, and from the first time on its serial number."""

from __future__ import annotations

from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.reopening import Reopening
from qpi_live.camera.features import CameraListing
from qpi_live.camera.genicam.capture_link import CameraFacts, CaptureLink
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME, PixelFormat
from qpi_live.camera.genicam.producers import producer_with, producers_for, split_address
from qpi_live.camera.source import CameraIdentity, CameraOptions


class GenicamReopening(Reopening[PixelFormat]):
    """See `Reopening`.

    Args:
        address: as `GenicamCamera` takes it, without `gentl:`.
        options: size, rate, optics and settings file.

    Raises:
        CameraUnavailable: there is no such producer, or the settings file cannot be read.
    """

    def __init__(self, address: str, options: CameraOptions) -> None:
        path, self._serial = split_address(address)
        self._producers = producers_for(path)
        self._producer = ""  # the one that is tried
        super().__init__(f"gentl:{address}", options)

    def new_link(self) -> CaptureLink:
        """See `Reopening.new_link`; which producer has the camera is found out first, by processes of their own."""
        self._producer = producer_with(self._producers, self._serial)
        return CaptureLink()

    def find(self, link: ProcessLink) -> CameraListing:
        """See `Reopening.find`."""
        listing: CameraListing = link.ask("open", self._producer, self._serial)
        return listing

    def keep(self, listing: CameraListing) -> None:
        """See `Reopening.keep`."""
        self._producers = [self._producer]
        self._serial = listing.serial or self._serial

    def describe(self, link: ProcessLink) -> tuple[CameraIdentity, PixelFormat]:
        """See `Reopening.describe`."""
        facts: CameraFacts = link.ask("facts")
        pixel_format = FORMATS_BY_NAME[facts.pixel_format].of_depth(facts.bit_depth)
        return self.identity(facts, pixel_format, _binning_in(facts), rate_hz=facts.frame_rate_hz), pixel_format


def _binning_in(facts: CameraFacts) -> tuple[int, int]:
    """The sensor's pixels to one of the frame's, along y and x, by the features of SFNC 2.7."""

    def number(name: str) -> int:
        value = facts.settings.get(name, 1)
        return int(value) if isinstance(value, int | float) else 1

    along_y, along_x = (number(f"Binning{side}") * number(f"Decimation{side}") for side in ("Vertical", "Horizontal"))
    return along_y, along_x
