"""All recordings of a station: those that are made now, several at once, and those on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time_ns

import tifffile
from qpi_live.camera.files.writers.layer_files import names_to_disk
from qpi_live.camera.files.writers.lock import RecordingLock
from qpi_live.camera.files.writers.manifest import CALIBRATION, RESERVE, RESERVE_BYTES, Manifest
from qpi_live.camera.frame import Frame
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.recording.errors import (
    RecordingError,
    RecordingHasNoRoom,
    RecordingMissing,
    RecordingRefused,
    RecordingTaken,
)
from qpi_live.service.recording.phases import PHASE_BYTES
from qpi_live.service.recording.recorded_files import describe_camera
from qpi_live.service.recording.recorder import Limits, Recorder
from qpi_live.service.recording.shelf import Shelf, made_now
from qpi_live.service.recording.status import Status
from qpi_live.service.recording.wanted import Wanted, name_of_now

MOST_AT_ONCE = 8
_MOST_REMEMBERED = 20  # that ended, whether or not they could be written
_STOP_S = 10.0
_LEAST_ROOM_BYTES = 4 * RESERVE_BYTES  # with less, a recording would end as it begins


class Recordings:
    """Starts, stops and lists recordings. Safe to use from any thread.

    Args:
        folder: that they go to; it is made when the first one is.
        limits: for each.
        pipeline: where the frames come from.
        rate_hz: how many frames a second come in now.
        calibration: the calibration frame in force, or None.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        pipeline: Pipeline,
        rate_hz: Callable[[], float],
        calibration: Callable[[], Frame | None],
    ) -> None:
        self.shelf = Shelf(folder)
        self._limits, self._pipeline = limits, pipeline
        self._rate_hz, self._calibration = rate_hz, calibration
        self._lock = Lock()
        self._recorders: dict[str, Recorder] = {}
        self._is_closed = False

    def start(self, wanted: Wanted) -> Status:
        """Begin a recording.

        Raises:
            RecordingError: it cannot be made as it is wanted.
        """
        self._check(wanted)
        with self._lock:
            if self._is_closed:
                raise RecordingRefused("expected a running service, and it is stopping")
            if len(self.running) >= MOST_AT_ONCE:
                raise RecordingTaken(f"expected at most {MOST_AT_ONCE} recordings at once; stop one first")
            name, folder = self._folder(wanted)
            lock: RecordingLock | None = None
            try:
                lock = RecordingLock(folder)
                manifest = self._manifest(name, wanted)
                self._write_beside(folder, manifest)
                recorder = Recorder(folder, wanted, manifest, self._pipeline, self._limits, lock)
            except OSError as error:
                if lock is not None:
                    lock.release()
                shutil.rmtree(folder, ignore_errors=True)
                raise RecordingHasNoRoom(
                    f"expected a disk that takes files, got {self.shelf.folder}: {error.strerror or error}"
                ) from error
            self._recorders[name] = recorder
            self._forget_old()
        recorder.start()
        return recorder.status

    @property
    def running(self) -> list[Recorder]:
        """The recordings that are made now."""
        return [one for one in self._recorders.values() if not one.is_over]

    def statuses(self) -> list[Status]:
        """How those stand that are made now, and how the last ones ended, the newest first."""
        return [recorder.status for recorder in reversed(list(self._recorders.values()))]

    def status(self, name: str) -> Status:
        """How a recording stands that is made now, or was since the service started.

        Raises:
            RecordingMissing: there is none of that name.
        """
        return self._recorder(name).status

    def is_running(self, name: str) -> bool:
        """Whether a recording of that name is made now."""
        recorder = self._recorders.get(name)
        return recorder is not None and not recorder.is_over

    def stop(self, name: str) -> Status:
        """End a recording, with the frames that came until now; returned once it is closed.

        Raises:
            RecordingMissing: there is none of that name.
        """
        recorder = self._recorder(name)
        recorder.stop()
        recorder.wait(_STOP_S)
        return recorder.status

    def trigger(self, name: str) -> Status:
        """Let a recording that waits for it begin, with the seconds before now.

        Raises:
            RecordingMissing: there is none of that name.
            RecordingTaken: it waits for no trigger.
        """
        recorder = self._recorder(name)
        if recorder.status.state != "waiting":
            raise RecordingTaken(f"expected a recording that waits for a trigger, got {recorder.status.state}")
        recorder.trigger()
        return recorder.status

    def delete(self, name: str) -> None:
        """Take a recording that is not made any more away, for `restore` to bring back within an hour.

        Raises:
            RecordingTaken: it is made now.
            RecordingError: there is none of that name, or it cannot be deleted.
        """
        with self._lock:  # no recording of that name begins meanwhile
            if self.is_running(name):
                raise RecordingTaken(made_now(name))
            self.shelf.delete(name)
            self._recorders.pop(name, None)

    def free_bytes(self) -> int | None:
        """What may still be recorded; None where the disk does not tell."""
        folder = self.shelf.folder
        while not folder.exists() and folder.parent != folder:
            folder = folder.parent
        try:
            return max(0, shutil.disk_usage(folder).free - self._limits.free_bytes)
        except OSError:
            return None

    def close(self, timeout_s: float) -> None:
        """End all of them soon; no further one begins."""
        with self._lock:
            self._is_closed = True
            running = self.running
        for recorder in running:
            recorder.close(0.0)
        until = monotonic() + timeout_s
        while any(not recorder.is_over for recorder in running) and monotonic() < until:
            sleep(0.01)

    def _recorder(self, name: str) -> Recorder:
        recorder = self._recorders.get(name)
        if recorder is None:
            raise RecordingMissing(f"expected the name of a recording that is made now, got {name!r}")
        return recorder

    def _check(self, wanted: Wanted) -> None:
        free = self.free_bytes()
        if free is not None and free <= _LEAST_ROOM_BYTES:
            gb = self._limits.free_bytes / 1e9
            raise RecordingHasNoRoom(f"expected room on the disk, and {gb:.3g} GB are kept free; delete recordings")
        if wanted.before_trigger_s is None:
            return
        identity = self._pipeline.camera.identity
        height, width = identity.shape
        rate_hz = self._rate_hz() or identity.frame_rate_hz or 0.0
        per_px = (identity.bit_depth + 7) // 8 if "interferogram" in wanted.layers else 0
        per_px += PHASE_BYTES if "phase" in wanted.layers else 0
        needed = wanted.before_trigger_s * rate_hz * height * width * per_px
        if needed > self._limits.memory_bytes:
            held_s = wanted.before_trigger_s * self._limits.memory_bytes / needed
            raise RecordingRefused(
                f"expected at most {held_s:.2g} s before the trigger, which fit into recordings_memory_mb = "
                f"{self._limits.memory_bytes // 1_000_000}, got {wanted.before_trigger_s:g} s"
            )

    def _folder(self, wanted: Wanted) -> tuple[str, Path]:
        if wanted.name:
            return wanted.name, self.shelf.make(wanted.name)
        now = name_of_now()
        for name in (now, *(f"{now} {number}" for number in range(2, 2 + 2 * MOST_AT_ONCE))):
            with suppress(RecordingTaken):
                return name, self.shelf.make(name)
        raise RecordingTaken(f"expected a free name, got {now!r}, of which there are many; give another")

    def _manifest(self, name: str, wanted: Wanted) -> Manifest:
        camera, engine = self._pipeline.camera.identity, self._pipeline.engine.identity
        calibration = self._calibration()
        manifest = Manifest(
            name=name,
            started_ns=time_ns(),
            layers=list(wanted.layers),
            camera={},
            bit_depth=camera.bit_depth,
            engine={
                "name": engine.name,
                "kind": engine.kind,
                "device": engine.device,
                "version": engine.version,
                "detail": dict(engine.detail),
            },
            calibration_ns=calibration.captured_ns if calibration else None,
            wanted=wanted.model_dump(exclude_none=True, exclude={"name"}),
        )
        describe_camera(manifest, camera)
        return manifest

    def _write_beside(self, folder: Path, manifest: Manifest) -> None:
        calibration = self._calibration()
        if calibration is not None:
            tifffile.imwrite(folder / CALIBRATION, calibration.pixels)
        manifest.write(folder)
        (folder / RESERVE).write_bytes(bytes(RESERVE_BYTES))
        names_to_disk(folder)
        names_to_disk(folder.parent)

    def _forget_old(self) -> None:
        over = [name for name, recorder in self._recorders.items() if recorder.is_over]
        for name in over[:-_MOST_REMEMBERED]:
            del self._recorders[name]


__all__ = ["MOST_AT_ONCE", "RecordingError", "Recordings"]
