"""Cameras that Micro-Manager drives."""

from __future__ import annotations

from importlib.util import find_spec

from qpi_live.camera.capture.camera import DrivenCamera
from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.wanted import WantedSettings
from qpi_live.camera.features import CameraListing
from qpi_live.camera.micromanager.link import REASONS, CameraFacts, GreyPixels, MicroManagerLink
from qpi_live.camera.optics import Optics
from qpi_live.camera.source import CameraIdentity, CameraOptions

if find_spec("pymmcore_plus") is None:  # only the capture process imports it, but without it nothing here can work
    raise ModuleNotFoundError("No module named 'pymmcore_plus'", name="pymmcore-plus")

DEMONSTRATION = "MMConfig_demo.cfg"


class MicroManagerCamera(DrivenCamera[GreyPixels]):
    """`Camera` and `ConfigurableCamera` for `mmcore:CONFIG`, `mmcore:CONFIG#LABEL` and `mmcore:`.

    CONFIG is a configuration file of Micro-Manager, or the name of one beside its drivers; without one, it is the
    demonstration. LABEL chooses a camera of several; else it is the configuration's own.

    The device's properties are features under their own names, beside those that have a name in GenICam's SFNC:
    `ExposureTime` in µs, the window, binning and `PixelFormat`. Micro-Manager has no frame rate; the exposure time sets
    it.
    """

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> MicroManagerCamera:
        """The camera at `address`, open and set up, ready to start.

        Raises:
            CameraUnavailable: the configuration cannot be loaded or has no grey camera, or the camera does not take the
                settings.
        """
        return cls(_Reopening(address, options), REASONS)


class _Reopening:
    """The way to a camera of a configuration, and to the same one again. One thread at a time uses it."""

    def __init__(self, address: str, options: CameraOptions) -> None:
        self._source = f"mmcore:{address}"
        configuration, _, self._label = address.partition("#")
        self._configuration = configuration or DEMONSTRATION
        self._options = options
        self._listing: CameraListing
        self._was_open = False
        self.wanted = WantedSettings(options)

    def open(self) -> tuple[ProcessLink, CameraIdentity, GreyPixels]:
        """See `Reopening.open`."""
        link = MicroManagerLink()
        try:
            self._listing = link.ask("open", self._configuration, self._label)
            self.wanted.set_up(link, was_open=self._was_open)
            identity, pixels = self.describe(link)
        except BaseException:
            link.close()
            link.drop_connections()
            raise
        self._was_open = True
        return link, identity, pixels

    def describe(self, link: ProcessLink) -> tuple[CameraIdentity, GreyPixels]:
        """See `Reopening.describe`."""
        facts: CameraFacts = link.ask("facts")
        binning = int(facts.settings["BinningVertical"]), int(facts.settings["BinningHorizontal"])
        identity = CameraIdentity(
            source=self._source,
            vendor=self._listing.vendor,
            model=self._listing.model,
            serial=self._listing.serial,
            shape=facts.shape,
            bit_depth=facts.bit_depth,
            frame_rate_hz=None,
            optics=self._options.optics.over(self._known(facts), binning),
            settings=facts.settings,
            remark=self.wanted.remark,
            binning=binning,
        )
        return identity, GreyPixels(facts.bit_depth)

    def _known(self, facts: CameraFacts) -> Optics | None:
        """What the configuration says of the optics; nothing where the user says how large a pixel is."""
        stated = self._options.optics
        said = stated.pixel_um is not None or stated.magnification is not None
        if facts.object_pixel_m is None or said:
            return None
        try:
            return Optics(None, facts.object_pixel_m)
        except ValueError:
            return None
