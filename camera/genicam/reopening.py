"""Opens one camera, and the same one again after a stop or a loss, with what was set on it."""

from __future__ import annotations

from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.wanted import WantedSettings
from qpi_live.camera.features import CameraListing
from qpi_live.camera.genicam.capture_link import CameraFacts, CaptureLink
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME, PixelFormat
from qpi_live.camera.genicam.producers import producer_with, producers_for, split_address
from qpi_live.camera.source import CameraIdentity, CameraOptions


class GenicamReopening:
    """The way to a camera. One thread at a time uses it.

    Args:
        address: as `GenicamCamera` takes it, without `gentl:`.
        options: size, rate, optics and settings file.

    Attributes:
        wanted: what is set on the camera whenever it is opened.

    Raises:
        CameraUnavailable: there is no such producer, or the settings file cannot be read.
    """

    def __init__(self, address: str, options: CameraOptions) -> None:
        path, serial = split_address(address)
        self._source = f"gentl:{address}"
        self._producers = producers_for(path)
        self._serial = serial
        self._options = options
        self._listing: CameraListing
        self._was_open = False
        self.wanted = WantedSettings(options)

    def open(self) -> tuple[CaptureLink, CameraIdentity, PixelFormat]:
        """A link to the camera, set up, and what it is and sends now.

        Raises:
            CameraUnavailable: it is not there, in use, not grey, or does not take the settings.
            CameraLost: it does not answer.
        """
        producer = producer_with(self._producers, self._serial)
        link = CaptureLink()
        try:
            self._listing = link.ask("open", producer, self._serial)
            self.wanted.set_up(link, was_open=self._was_open)
            self._producers = [producer]
            self._serial = self._listing.serial or self._serial  # from now on this camera and no other
            identity, pixel_format = self.describe(link)
        except BaseException:
            link.close()
            link.drop_connections()
            raise
        self._was_open = True
        return link, identity, pixel_format

    def describe(self, link: ProcessLink) -> tuple[CameraIdentity, PixelFormat]:
        """What the open camera is and sends now."""
        facts: CameraFacts = link.ask("facts")
        pixel_format = FORMATS_BY_NAME[facts.pixel_format].of_depth(facts.bit_depth)
        binning = _binning_in(facts)
        identity = CameraIdentity(
            source=self._source,
            vendor=self._listing.vendor,
            model=self._listing.model,
            serial=self._listing.serial,
            shape=facts.shape,
            bit_depth=pixel_format.bit_depth,
            frame_rate_hz=facts.frame_rate_hz,
            optics=self._options.optics.over(None, binning),
            settings=facts.settings,
            remark=self.wanted.remark,
            binning=binning,
        )
        return identity, pixel_format


def _binning_in(facts: CameraFacts) -> tuple[int, int]:
    """The sensor's pixels to one of the frame's, along y and x, by the features of SFNC 2.7."""

    def number(name: str) -> int:
        value = facts.settings.get(name, 1)
        return int(value) if isinstance(value, int | float) else 1

    along_y, along_x = (number(f"Binning{side}") * number(f"Decimation{side}") for side in ("Vertical", "Horizontal"))
    return along_y, along_x
