"""Cameras that Micro-Manager drives."""

from __future__ import annotations

from importlib.util import find_spec

from qpi_live.camera.capture.camera import DrivenCamera
from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.reopening import Reopening
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


class _Reopening(Reopening[GreyPixels]):
    """To a camera of a configuration; see `Reopening`."""

    def __init__(self, address: str, options: CameraOptions) -> None:
        super().__init__(f"mmcore:{address}", options)
        configuration, _, self._label = address.partition("#")
        self._configuration = configuration or DEMONSTRATION

    def new_link(self) -> MicroManagerLink:
        """See `Reopening.new_link`."""
        return MicroManagerLink()

    def find(self, link: ProcessLink) -> CameraListing:
        """See `Reopening.find`."""
        listing: CameraListing = link.ask("open", self._configuration, self._label)
        return listing

    def describe(self, link: ProcessLink) -> tuple[CameraIdentity, GreyPixels]:
        """See `Reopening.describe`."""
        facts: CameraFacts = link.ask("facts")
        binning = int(facts.settings["BinningVertical"]), int(facts.settings["BinningHorizontal"])
        pixels = GreyPixels(facts.bit_depth)
        return self.identity(facts, pixels, binning, known=self._known(facts)), pixels

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
