"""GenTL producers (the camera makers' .cti files) and the cameras they offer, as seen from the service's process.

Each producer is loaded in a process of its own, so that one which crashes or hangs hides no other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from qpi_live.camera.errors import CameraError, CameraUnavailable
from qpi_live.camera.features import CameraListing
from qpi_live.camera.genicam.capture_link import CaptureLink

_LOADING_S = 15.0  # looking for cameras on a network takes a few seconds
_AT_ONCE = 4
_ADDRESS = re.compile(r"(?P<path>.*\.cti)(?:#(?P<serial>.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ProducerReport:
    """What came of loading a producer: the cameras it offers, or in a sentence why it could not be loaded."""

    producer: str
    cameras: tuple[CameraListing, ...] = ()
    problem: str = ""


def split_address(address: str) -> tuple[str, str | None]:
    """(path, serial number) of `PATH.cti#SERIAL`, `PATH.cti`, `#SERIAL` or nothing; paths may hold a # as well."""
    match = _ADDRESS.fullmatch(address)
    path, serial = (match["path"], match["serial"]) if match else address.partition("#")[::2]
    return path, serial or None


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
    return list(dict.fromkeys(found))


def inspect_producers(producers: Sequence[str]) -> list[ProducerReport]:
    """Load each producer, in a process of its own, and say what came of it, in the order given.

    Raises:
        CameraUnavailable: harvesters is not installed.
    """
    try:
        require_harvesters()
    except ModuleNotFoundError as missing:
        raise CameraUnavailable(f"{missing}: pip install 'qpi-live[camera]'") from missing
    with ThreadPoolExecutor(_AT_ONCE, "producers") as pool:
        return list(pool.map(_inspect, producers))


def producer_with(producers: Sequence[str], serial: str | None) -> str:
    """The producer among these that offers the camera wanted; for None, the first that has one free.

    Raises:
        CameraUnavailable: none does; the text says which cameras there are, and which producers do not load.
    """
    if len(producers) == 1:
        return producers[0]
    reports = inspect_producers(producers)
    cameras = [camera for report in reports for camera in report.cameras]
    fitting = [camera for camera in cameras if serial in (None, camera.serial)]
    for camera in sorted(fitting, key=lambda camera: camera.access != "free"):
        if serial is not None or camera.access == "free":
            return camera.producer
    names = ", ".join(f"{camera.serial} ({camera.model}, {camera.access})" for camera in cameras) or "none"
    wanted = "a camera that is free" if serial is None else f"a camera with serial number {serial}"
    problems = "".join(f"; {report.problem}" for report in reports if report.problem)
    raise CameraUnavailable(f"expected {wanted} through {', '.join(producers)}, got {names}{problems}")


def require_harvesters() -> None:
    """Raise ModuleNotFoundError, as importing it would, where harvesters is not installed."""
    if find_spec("harvesters") is None:
        raise ModuleNotFoundError("No module named 'harvesters'", name="harvesters")


def _inspect(producer: str) -> ProducerReport:
    link = CaptureLink(_LOADING_S)
    try:
        return ProducerReport(producer, tuple(link.ask("list", producer)))
    except CameraUnavailable as error:
        return ProducerReport(producer, problem=str(error))
    except CameraError as error:
        return ProducerReport(producer, problem=f"{producer} cannot be loaded: {error}")
    finally:
        link.close()
        link.drop_connections()
