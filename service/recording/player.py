"""Frames of recordings on the disk, one by one, for whoever looks at them again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image
from qpi_live.camera.files.bounded_file import Change
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import read_image
from qpi_live.camera.files.recording import Recording, open_recording
from qpi_live.camera.files.writers.frame_list import FrameEntry, read_entries
from qpi_live.camera.files.writers.layer_names import list_name, parts_of
from qpi_live.camera.files.writers.manifest import CALIBRATION, Manifest
from qpi_live.camera.frame import Frame, as_pixels
from qpi_live.camera.source import CameraIdentity
from qpi_live.service.recording.errors import RecordingMissing, RecordingTaken
from qpi_live.service.recording.shelf import Shelf

THUMBNAIL_PX = 96
_LAYER = "interferogram"
_MOST_OPEN = 3


@dataclass(frozen=True, slots=True)
class Played:
    """A frame of a recording, with who took it, and what it was recorded with, where that is known.

    Attributes:
        frame: as it was recorded.
        camera: that took it.
        carrier_cycles_per_px: (fy, fx) that the live engine had found.
        calibration: the calibration frame that was in force.
    """

    frame: Frame
    camera: CameraIdentity
    carrier_cycles_per_px: tuple[float, float] | None
    calibration: Frame | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    recording: Recording
    manifest: Manifest
    entries: list[FrameEntry]
    calibration: Frame | None


class Player:
    """Reads single frames; a few recordings stay open. Safe to use from any thread."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = Lock()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def frame(self, name: str, index: int) -> Played:
        """The frame of this number, counted from 0.

        Raises:
            RecordingMissing: there is no such recording, or frame.
            RecordingTaken: it has no interferograms, or the frame cannot be read.
        """
        with self._lock:
            one = self._opened(name)
            recording, manifest = one.recording, one.manifest
            if not 0 <= index < recording.frames:
                raise RecordingMissing(f"expected a frame of 0 … {recording.frames - 1}, got {index}")
            try:
                image = recording.read(index)
            except ImageFileError as error:
                raise RecordingTaken(f"frame {index} of {name} cannot be read: {error}") from error
        camera = CameraIdentity(
            f"recording:{name}",
            str(manifest.camera.get("vendor", "")),
            str(manifest.camera.get("model", "")),
            str(manifest.camera.get("serial", "")),
            recording.shape,
            recording.bit_depth,
            recording.frame_rate_hz,
            recording.optics,
        )
        depth = max(recording.bit_depth, image.bit_depth)
        entry = one.entries[index] if index < len(one.entries) else None
        at_ns = entry.captured_ns if entry else manifest.started_ns
        frame = Frame(
            as_pixels(image.pixels, depth), depth, index, at_ns, at_ns, source=camera.source, optics=camera.optics
        )
        if entry is not None:
            settings = {"ExposureTime": entry.exposure_us, "Gain": entry.gain}
            frame = replace(
                frame,
                device_id=entry.device_id,
                device_timestamp_ns=entry.device_timestamp_ns,
                settings={key: value for key, value in settings.items() if value is not None},
            )
        return Played(frame, camera, _carrier(manifest), one.calibration)

    def thumbnail(self, name: str) -> bytes:
        """A small grey picture of the middle frame, as PNG; raises as `frame` does."""
        with self._lock:
            frames = self._opened(name).recording.frames
        pixels = self.frame(name, frames // 2).frame.pixels
        block = max(1, -(-max(pixels.shape) // THUMBNAIL_PX))
        height, width = pixels.shape[0] // block * block, pixels.shape[1] // block * block
        small = pixels[:height, :width].reshape(height // block, block, width // block, block).mean((1, 3))
        low, high = np.percentile(small, (1, 99))
        grey = np.clip((small - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(grey).save(file, "PNG")
        return file.getvalue()

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].recording.close()

    def forget(self, name: str) -> None:
        """Let go of a recording's files, before it is moved."""
        with self._lock:
            one = self._open.pop(name, None)
            if one is not None:
                one.recording.close()

    def _opened(self, name: str) -> _Open:
        folder = self._shelf.path(name)
        kept = self._open.pop(name, None)
        if kept is not None and kept.recording.watch.look() is Change.NONE:
            self._open[name] = kept  # the last to be let go of
            return kept
        if kept is not None:  # it grows, or is another one of that name by now, whoever made that
            kept.recording.close()
        try:
            manifest = Manifest.read(folder)
            if _LAYER not in manifest.layers:
                raise RecordingTaken(f"expected a recording with interferograms, got {name}, which has phase alone")
            calibration = _calibration(folder, manifest)
            recording = open_recording(str(folder))
        except ImageFileError as error:
            raise RecordingTaken(f"{name} cannot be played: {error}") from error
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].recording.close()
        parts = parts_of(folder, _LAYER)  # frames of a file that is missing are not counted
        entries = [entry for entry in read_entries(folder / list_name(_LAYER)) if entry.part in parts]
        one = self._open[name] = _Open(recording, manifest, entries, calibration)
        return one


def _calibration(folder: Path, manifest: Manifest) -> Frame | None:
    if not (folder / CALIBRATION).is_file():
        return None
    pixels = read_image(folder / CALIBRATION).pixels
    try:
        return Frame.untimed(as_pixels(pixels, manifest.bit_depth), manifest.bit_depth)
    except ValueError as error:
        raise ImageFileError(f"{CALIBRATION}: {error}") from error


def _carrier(manifest: Manifest) -> tuple[float, float] | None:
    detail = dict(manifest.engine.get("detail", {}))
    fy, fx = detail.get("carrier_fy_cycles_per_px"), detail.get("carrier_fx_cycles_per_px")
    return (fy, fx) if isinstance(fy, float) and isinstance(fx, float) else None
