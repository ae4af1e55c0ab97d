"""GenTL producers (the camera makers' .cti files) and the cameras they offer, as seen from the service's process."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from qpi_live.camera.errors import CameraLost, CameraUnavailable
from qpi_live.camera.features import CameraListing
from qpi_live.camera.genicam.capture_link import CaptureLink


def producers_for(path: str) -> list[str]:
    """The GenTL producers to load: the one at `path`, or for "" all in the folders of GENICAM_GENTL64_PATH.

    Raises:
        CameraUnavailable: there is none.
    """
    if path:
        return [path]
    folders = filter(None, os.environ.get("GENICAM_GENTL64_PATH", "").split(os.pathsep))
    found = [str(producer) for folder in folders for producer in sorted(Path(folder).glob("*.cti"))]
    if not found:
        raise CameraUnavailable(
            "expected a GenTL producer, found none; give its path (gentl:/path/to/producer.cti), or set "
            "GENICAM_GENTL64_PATH to the folders that hold the camera makers' .cti files"
        )
    return found


def list_cameras(path: str = "") -> list[CameraListing]:
    """The cameras that can be opened through the producers that `producers_for(path)` names.

    Raises:
        CameraUnavailable: there is no producer, it does not answer, or harvesters is not installed.
    """
    try:
        require_harvesters()
    except ModuleNotFoundError as missing:
        raise CameraUnavailable(f"{missing}: pip install 'qpi-live[camera]'") from missing
    link = CaptureLink()
    try:
        listings: list[CameraListing] = link.ask("list", producers_for(path))
    except CameraLost as lost:
        raise CameraUnavailable(str(lost)) from lost
    finally:
        link.close()
        link.drop_connections()
    return listings


def require_harvesters() -> None:
    """Raise ModuleNotFoundError, as importing it would, where harvesters is not installed."""
    if find_spec("harvesters") is None:
        raise ModuleNotFoundError("No module named 'harvesters'", name="harvesters")
