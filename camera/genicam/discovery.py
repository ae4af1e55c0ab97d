"""Which cameras the installed GenTL producers offer, and opening one of them. Only the capture process imports this."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from genicam import genapi, gentl
from harvesters.core import Harvester, ParameterKey, ParameterSet
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.features import CameraListing

GENTL_ERRORS = (gentl.GenericException, genapi.GenericException)

_ACCESS = MappingProxyType(
    {
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_READWRITE: "free",
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_READONLY: "read only",
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_NOACCESS: "no access",
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_BUSY: "in use",
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_OPEN_READWRITE: "open here",
        gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_OPEN_READONLY: "open here, read only",
    }
)


class _Refusals(logging.Handler):
    """Collects why a producer was passed over, which harvesters says to nobody but its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, GENTL_ERRORS):
            self.reasons.append(" ".join(str(error).split()))


_refusals = _Refusals()
_log = logging.getLogger("harvesters.core")
_log.handlers = [_refusals]  # instead of its own, which writes to stderr: all that it reports is translated
_log.setLevel(logging.WARNING)


def _harvester(producer: str) -> Harvester:
    """A `Harvester` that has loaded the producer and seen its cameras.

    Raises:
        CameraUnavailable: the file is not there or cannot be loaded; the text has the loader's reason.
    """
    if not Path(producer).is_file():
        raise CameraUnavailable(
            f"expected a GenTL producer (a .cti file) at {producer}, found none; "
            "install the camera maker's driver, or give the path of its .cti"
        )
    _refusals.reasons.clear()
    harvester = Harvester()
    harvester.add_file(producer)
    harvester.update()
    if _refusals.reasons and not harvester.device_info_list:
        harvester.reset()
        raise CameraUnavailable(
            f"{producer} cannot be loaded: {_refusals.reasons[0].rstrip('.')}; "
            "expected a camera driver for this system, whole and with the libraries it needs"
        )
    return harvester


def list_cameras(producer: str) -> list[CameraListing]:
    """The cameras that the GenTL producer at this path offers.

    Raises:
        CameraUnavailable: the producer is not there or cannot be loaded.
    """
    harvester = _harvester(producer)
    try:
        return [_listing(info) for info in harvester.device_info_list]
    finally:
        harvester.reset()


def _listing(info: Any) -> CameraListing:
    return CameraListing(
        vendor=told(info, "vendor") or "",
        model=told(info, "model") or "",
        serial=told(info, "serial_number") or "",
        access=_ACCESS.get(told(info, "access_status"), "unknown"),
        producer=str(info.parent.parent.path_name),
    )


def told(module: Any, attribute: str) -> Any:
    """What a module says of itself, or None: drivers leave out what they like."""
    try:
        return getattr(module, attribute)
    except GENTL_ERRORS:
        return None


def _choose(infos: list[Any], serial: str | None, producer: str) -> Any:
    there = [_listing(info) for info in infos]
    names = ", ".join(f"{camera.serial} ({camera.model}, {camera.access})" for camera in there) or "none"
    for info, camera in zip(infos, there, strict=True):
        if camera.serial == serial or (serial is None and (camera.access == "free" or len(there) == 1)):
            return info
    if serial is None and there:
        raise CameraUnavailable(f"expected a camera that is free, got {names}; close the program that uses it")
    wanted = "a camera" if serial is None else f"a camera with serial number {serial}"
    raise CameraUnavailable(f"expected {wanted} through {producer}, got {names}; check its cable and power")


def open_camera(producer: str, serial: str | None) -> tuple[Harvester, Any, CameraListing]:
    """The camera with this serial number (None: the only one, or the first that is free), opened by harvesters.

    Returns:
        The `Harvester`, which must outlive the camera, the `ImageAcquirer`, and who the camera is.

    Raises:
        CameraUnavailable: there is none such, or it is in use.
    """
    harvester = _harvester(producer)
    try:
        info = _choose(harvester.device_info_list, serial, producer)
        listing = _listing(info)
        return harvester, _open(harvester, info, listing), listing
    except BaseException:
        harvester.reset()
        raise


def _open(harvester: Harvester, info: Any, listing: CameraListing) -> Any:
    config = ParameterSet(
        {
            ParameterKey.ENABLE_AUTO_CHUNK_DATA_UPDATE: False,
            ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: 20,  # ms, one wait inside the driver
        }
    )
    handler = signal.getsignal(signal.SIGINT)
    try:
        return harvester.create(info, config=config)
    except (gentl.AccessDeniedException, gentl.ResourceInUseException) as error:
        raise CameraUnavailable(
            f"expected camera {listing.serial} to be free, but another program holds it; close that first"
        ) from error
    except GENTL_ERRORS as error:
        raise CameraUnavailable(f"camera {listing.serial} cannot be opened: {error}") from error
    finally:
        signal.signal(signal.SIGINT, handler)
