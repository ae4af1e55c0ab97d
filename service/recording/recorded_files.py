"""The files of one recording: a file a layer and the manifest beside them, on a disk that may be full, slow or gone."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import time_ns
from typing import Any

from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.files.writers.manifest import RESERVE, Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.phase_frame import EngineIdentity
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.recording.ending import DiskKeptFree, Ending
from qpi_live.service.recording.held import frame_of
from qpi_live.service.recording.losses import NO_DISK, OTHER_CAMERA, OTHER_SIZE
from qpi_live.service.recording.wanted import Wanted

_REPAIR = "`qpi files --repair` does that."
_log = logging.getLogger(__name__)


class RecordedFiles:
    """Writes images into a recording's folder. One thread appends and closes, another may `sync`.

    Args:
        folder: the recording's.
        wanted: which layers, and how large a file may be.
        manifest: written into the folder already.
        pipeline: says which camera and engine there are now.
        kept_free_bytes: what is left of the disk.

    Attributes:
        broken: the disk's first error, after which nothing is written any more; None so far.
    """

    def __init__(
        self, folder: Path, wanted: Wanted, manifest: Manifest, pipeline: Pipeline, kept_free_bytes: int
    ) -> None:
        self._folder, self._manifest, self._pipeline = folder, manifest, pipeline
        self._kept_free_bytes = kept_free_bytes
        self._layers: dict[str, RecordedLayer] = {
            name: RecordedLayer(folder, name, manifest, wanted.most_file_bytes, wanted.format) for name in wanted.layers
        }
        self._taken_as: tuple[object, ...] | None = None  # by the first frame
        self.broken: OSError | None = None

    @property
    def bytes(self) -> int:
        """Of images, in all layers."""
        return sum(layer.bytes for layer in self._layers.values())

    def frames(self, layer: str) -> int:
        """How many a layer has."""
        return self._layers[layer].frames

    @property
    def free_bytes(self) -> int | None:
        """What may still be written; None where the disk does not tell."""
        try:
            return max(0, shutil.disk_usage(self._folder).free - self._kept_free_bytes)
        except OSError:
            return None

    def append(self, item: Frame | LiveFrame) -> str | None:
        """Write one image into its layer; the reason where it cannot be."""
        frame = frame_of(item)
        name, image, made_by = (
            ("interferogram", item.pixels, None)
            if isinstance(item, Frame)
            else ("phase", item.phase.phase_rad, _made_by(item))
        )
        layer = self._layers[name]
        if self.broken is not None:
            return NO_DISK
        if not self._is_of_this_camera(frame):
            return OTHER_CAMERA
        if not layer.takes(image):
            return OTHER_SIZE
        room = self.free_bytes
        if room is not None and room < image.nbytes:
            self.broken = DiskKeptFree(self._kept_free_bytes)
            return NO_DISK
        if not self._guarded(lambda: layer.append(frame, image, made_by)):
            return NO_DISK
        return None

    def restate(self) -> None:
        """Bring what the files say of their number of frames up to date."""
        for layer in self._layers.values():
            if not self._guarded(layer.restate):
                return

    def sync(self) -> bool:
        """Wait until all that was written is on the disk; whether the disk goes on taking it."""
        return all(self._guarded(layer.sync) for layer in self._layers.values())

    def close(self) -> bool:
        """End the files, on the disk; whether all were."""
        with suppress(OSError):  # a disk that takes nothing any more is found out by what follows
            (self._folder / RESERVE).unlink(missing_ok=True)
        were_ended = [self._guarded(layer.close) for layer in self._layers.values()]  # each, whatever became of others
        return all(were_ended)

    def write_manifest(
        self, ending: Ending, missing: str, accounts: dict[str, AccountSnapshot], *, is_whole: bool
    ) -> None:
        """Say in the manifest how the recording ended.

        Args:
            ending: how.
            missing: what is not in it, in sentences; "" where nothing is.
            accounts: of each layer.
            is_whole: whether all files were ended; if not, the manifest is left open for `qpi files --repair`.
        """
        manifest, engine = self._manifest, self._pipeline.engine.identity
        manifest.state = ending.state
        if engine.name == manifest.engine.get("name"):  # by now it knows the carrier
            manifest.engine["detail"] = dict(engine.detail)
        manifest.account = {name: _written(account) for name, account in accounts.items()}
        manifest.sentence = f"{ending.sentence} {missing}".strip()
        if is_whole:
            manifest.ended_ns = time_ns()
        try:
            manifest.write(self._folder)
        except OSError as error:
            _log.warning("the recording %s could not be closed: %s", manifest.name, error)
            manifest.state, manifest.sentence = "failed", f"{manifest.sentence} It could not be closed. {_REPAIR}"

    def give_up(self) -> None:
        """Say that the recording could not be closed, where nothing was said of it yet."""
        if self._manifest.state == "recording":
            self._manifest.state, self._manifest.sentence = "failed", f"It could not be closed. {_REPAIR}"

    def _is_of_this_camera(self, frame: Frame) -> bool:
        """Whether a frame was taken as the first one was: by this camera, in this format, through these optics."""
        taken_as = frame.source, frame.bit_depth, frame.optics
        if self._taken_as is None:
            self._taken_as = taken_as
            self._put_down_camera(frame)
        return taken_as == self._taken_as

    def _put_down_camera(self, frame: Frame) -> None:
        """Correct the manifest where another camera, or its format, was chosen before the first frame came."""
        manifest, optics = self._manifest, asdict(frame.optics) if frame.optics else {}
        if (manifest.camera["source"], manifest.bit_depth, manifest.optics) == (frame.source, frame.bit_depth, optics):
            return
        if manifest.camera["source"] != frame.source:
            describe_camera(manifest, self._pipeline.camera.identity)
        manifest.bit_depth, manifest.optics = frame.bit_depth, optics
        self._guarded(lambda: manifest.write(self._folder))

    def _guarded(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except OSError as error:
            self.broken = self.broken or error
            return False
        return True


def describe_camera(manifest: Manifest, camera: CameraIdentity) -> None:
    """Put down who takes the frames, how, and through what."""
    manifest.camera = {
        "source": camera.source,
        "vendor": camera.vendor,
        "model": camera.model,
        "serial": camera.serial,
        "settings": dict(camera.settings),
    }
    manifest.bit_depth = camera.bit_depth
    manifest.optics = asdict(camera.optics) if camera.optics else {}


def _made_by(live: LiveFrame) -> dict[str, Any]:
    """What made a phase, and how far to trust it."""
    engine: EngineIdentity = live.phase.engine
    quality = live.phase.quality
    known = {
        "engine": engine.name,
        "version": engine.version,
        "carrier": engine.detail.get("carrier"),
        "fringes": quality.fringes,
        "masked_share": quality.masked_share,
        "warning": quality.warning,
    }
    return {name: value for name, value in known.items() if value is not None}


def _written(account: AccountSnapshot) -> dict[str, Any]:
    return {
        "captured": account.captured,
        "delivered": account.delivered,
        "dropped": dict(account.dropped),
        "failed": dict(account.failed),
    }
