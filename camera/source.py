"""The `Camera` protocol, and the table that opens cameras by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics, StatedOptics


@dataclass(frozen=True, slots=True)
class CameraIdentity:
    """Who the camera is and what it sends.

    Attributes:
        frame_rate_hz: None where the consumer or a trigger sets the pace.
        settings: the features of a camera that has any, as read back from it.
        remark: a sentence on what is not as it was set; empty where all is.
        binning: the sensor's pixels to one of the frame's, along y and x: binning times decimation.
    """

    source: str
    vendor: str
    model: str
    serial: str
    shape: tuple[int, int]
    bit_depth: int
    frame_rate_hz: float | None
    optics: Optics | None
    settings: Mapping[str, FeatureValue] = field(default_factory=dict, hash=False)
    remark: str = ""
    binning: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What a user may ask of any camera.

    Attributes:
        shape: (H, W) in pixels; None takes what the source has, and keeps the window that is set on a camera.
        frame_rate_hz: frames per second; 0 sends as fast as the consumer takes them; None is the source's own.
        loop: start a finite recording again at its end.
        seed: of whatever is random in the source.
        optics: in place of what the source says of its optics, where something is stated.
        settings_file: features to set on a camera that has any, as TOML or JSON.
        channel: of a recording with several, name or number of the one with the holograms; "" finds it.
        follow: wait at a recording's end for the frames that are still being written.
    """

    shape: tuple[int, int] | None = None
    frame_rate_hz: float | None = None
    loop: bool = True
    seed: int = 0
    optics: StatedOptics = field(default_factory=StatedOptics)
    settings_file: Path | None = None
    channel: str = ""
    follow: bool = False


class Camera(Protocol):
    """A source of frames. One thread calls `start`, `read` and `stop`; the rest may be called from any."""

    @property
    def identity(self) -> CameraIdentity:
        """Who it is and what it sends."""

    @property
    def waits_for_consumer(self) -> bool:
        """Whether a frame is made only once there is room for it (a file read at full speed), so none is lost."""

    def start(self) -> None:
        """Begin to send frames.

        Raises:
            CameraUnavailable: it cannot.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, owned by the caller, at its due time; None once a recording that does not loop ended.

        Raises:
            CameraTimeout: none came within `timeout_s`.
            CameraLost: the camera is gone.
        """

    def take_losses(self) -> Mapping[str, int]:
        """Frames that were exposed but never came out of `read`, by reason, since this was last called."""

    def stop(self) -> None:
        """Stop sending and let go of the device; `start` may follow. Doing it twice is harmless."""


@runtime_checkable
class PinnableCamera(Protocol):
    """A camera whose frames lie in memory that a device can read by itself, once it is page-locked."""

    @property
    def pinnable(self) -> NDArray[np.uint8] | None:
        """That memory, page-aligned, of the running stream; None where there is none."""


class CameraAdapter(Protocol):
    """What the table of cameras points to."""

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> Camera:
        """The camera at `address`, the text behind the colon of `--camera`, ready to start."""


_ADAPTERS = {
    "simulated": "qpi_live.camera.simulation.camera:SimulatedCamera",
    "replay": "qpi_live.camera.files.replay:ReplayCamera",
    "gentl": "qpi_live.camera.genicam.camera:GenicamCamera",
    "mmcore": "qpi_live.camera.micromanager.camera:MicroManagerCamera",
}
CAMERA_KINDS = tuple(_ADAPTERS)
"""The words that a camera's name begins with."""
_EXTRAS = {"gentl": "camera", "mmcore": "micromanager"}


def open_camera(source: str, options: CameraOptions) -> Camera:
    """The camera that `source` names: `simulated`, `replay:PATH`, `gentl:PATH.cti` or `mmcore:CONFIG`.

    Raises:
        CameraUnavailable: no such camera, or it cannot be opened.
    """
    kind, _, address = source.partition(":")
    if kind not in _ADAPTERS:
        raise CameraUnavailable(f"expected a camera among {', '.join(_ADAPTERS)}, got {source!r}{_meant(source)}")
    return _adapter(kind).open(address, options)


def _meant(source: str) -> str:
    """What to write instead where the name of a file was given; empty where it is none."""
    path = Path(source)
    if path.suffix.lower() == ".cti":
        return f"; a GenTL producer is gentl:{source}"
    if path.suffix.lower() == ".cfg":
        return f"; a configuration of Micro-Manager is mmcore:{source}"
    return f"; a recording is replay:{source}" if path.suffix or path.exists() else ""


def camera_kinds() -> dict[str, str]:
    """The kinds of camera that can be asked for, each with what it still needs here; empty where it needs nothing."""
    needs = dict.fromkeys(_ADAPTERS, "")
    for kind in _ADAPTERS:
        try:
            _adapter(kind)
        except CameraUnavailable as missing:
            needs[kind] = str(missing)
    return needs


def _adapter(kind: str) -> CameraAdapter:
    module, _, name = _ADAPTERS[kind].partition(":")
    try:
        adapter: CameraAdapter = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        remedy = f"pip install 'qpi-live[{_EXTRAS[kind]}]'" if kind in _EXTRAS else "reinstall qpi-live"
        raise CameraUnavailable(f"camera {kind!r} needs the package {missing.name!r}: {remedy}") from missing
    return adapter
