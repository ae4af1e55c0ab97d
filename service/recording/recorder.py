"""One recording on its way to the disk.

A thread takes every frame from a tap before the queue, or from one behind the engine, and writes it; another brings
what was written onto the disk. The camera and the engine wait for neither: where the disk is too slow, the tap is full,
and the frames that find no room are counted.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, monotonic_ns, time_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.files.writers.lock import RecordingLock
from qpi_live.camera.files.writers.manifest import RESERVE, Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.line.state import State
from qpi_live.service.line.tap import FULL, Tap
from qpi_live.service.recording.plan import AFTER, BEFORE, BETWEEN, ON_PURPOSE, Plan, Verdict
from qpi_live.service.recording.wanted import Wanted

_POLL_S = 0.05
_SOON_S = 0.005  # where a phase waits for its frame to be looked at
_SYNC_S = 0.4  # what was written is on the disk after this and what the disk takes for it
_PHASE_PATIENCE_S = 3.0  # for the engine to come to the last interferogram
_DRAIN_S = 1.0  # for what waits when the service ends
_OTHER_SIZE, _OTHER_CAMERA, _NO_DISK, _NOT_WANTED, _SKIPPED = (
    "another size",
    "another camera or format",
    "not written",
    "frame not recorded",
    "engine skipped the frame",
)
_REPAIR = "`qpi files --repair` does that."
PHASE_BYTES = 4  # of a pixel
_FULL_DISK = 28  # ENOSPC
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recording may take.

    Attributes:
        free_bytes: what it leaves free on the disk.
        memory_bytes: frames that may wait for the disk, and for a trigger.
    """

    free_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """How a recording stands.

    Attributes:
        name: its folder's.
        state: `waiting` for the trigger, `recording`, `done`, `stopped` or `failed`.
        sentence: the same for people.
        layers: what it has.
        frames: that are in the file.
        bytes: of images.
        elapsed_s: since it was begun.
        lost: frames that are missing, by reason.
        phase_lost: recorded frames whose phase is missing, where both are recorded, by reason.
        left_out: frames that are not in it on purpose, by reason.
        account: of the layer that leads.
        free_bytes: on the disk, beyond what is kept free; None where it cannot be told.
    """

    name: str
    state: str
    sentence: str
    layers: tuple[str, ...]
    frames: int
    bytes: int
    elapsed_s: float
    lost: dict[str, int]
    phase_lost: dict[str, int]
    left_out: dict[str, int]
    account: AccountSnapshot
    free_bytes: int | None


@dataclass(slots=True)
class _Ending:
    state: str
    sentence: str


@dataclass(slots=True)
class _Phases:
    """The phase that goes with recorded interferograms: it comes later, and not for all of them."""

    awaited: deque[int] = field(default_factory=deque)  # the oldest first, as they come
    absent: dict[int, str] = field(default_factory=dict)
    decided: int = -1  # up to this sequence it is known which frames are recorded
    all_decided: bool = False  # no further frame is recorded
    early: LiveFrame | None = None


class Recorder:
    """Records until it is stopped, a limit is reached, or nothing more can be written.

    Args:
        folder: the recording's, empty but for what lies beside the frames.
        wanted: what of.
        manifest: written into the folder already.
        pipeline: where the frames come from.
        limits: see `Limits`.
        lock: of the folder; from now on the recorder's, which lets go of it.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        manifest: Manifest,
        pipeline: Pipeline,
        limits: Limits,
        lock: RecordingLock,
    ) -> None:
        self._lock = lock
        self._folder, self._wanted, self._manifest = folder, wanted, manifest
        self._pipeline, self._limits = pipeline, limits
        self._plan = Plan(wanted)
        self._taken_as: tuple[object, ...] | None = None  # by the first frame
        self._began = monotonic()
        self._took_s: float | None = None
        self._held: deque[Frame | LiveFrame] = deque()
        self._held_bytes = 0
        self._trigger = Event()
        self._triggered_ns = 0
        self._is_waiting = wanted.before_trigger_s is not None
        self._ending: _Ending | None = None
        self._ended_lock = Lock()
        self._hurry = Event()
        self._over = Event()
        self._broken: OSError | None = None
        self._layers = {name: RecordedLayer(folder, name, manifest, wanted.most_file_bytes) for name in wanted.layers}
        leads = "interferogram" in wanted.layers
        self._lead = self._layers["interferogram" if leads else "phase"]
        self._frames: Tap[Frame] | None = pipeline.taps.open(limits.memory_bytes) if leads else None
        has_phase = "phase" in wanted.layers
        self._phases = _Phases() if leads and has_phase else None
        self._lives: Tap[LiveFrame] | None = None
        if has_phase:
            self._lives = pipeline.hub.taps.open(limits.memory_bytes, notes_absent=self._phases is not None)
        tap: Tap[Frame] | Tap[LiveFrame] | None = self._frames or self._lives
        if tap is None:
            raise ValueError(f"expected a layer to record, got {wanted.layers}")
        self._tap = tap
        self._threads = [
            Thread(target=self._run, name=f"record {manifest.name}", daemon=True),
            Thread(target=self._keep_synced, name=f"sync {manifest.name}", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def trigger(self) -> None:
        """Record from so many seconds before now on; no more than once."""
        if not self._trigger.is_set():
            self._triggered_ns = monotonic_ns()  # from here on, however long it takes to write what was held
            self._trigger.set()

    def stop(self) -> None:
        """End with the frames that came until now. Doing it twice is harmless."""
        self._end("stopped", "Stopped by hand.")

    def close(self, timeout_s: float) -> None:
        """End soon, as the service does: what waits too long for the disk is given up, and counted."""
        self._hurry.set()
        self._end("stopped", "The service was stopped.")
        self._over.wait(timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Whether everything is on the disk and closed within `timeout_s`."""
        return self._over.wait(timeout_s)

    @property
    def is_over(self) -> bool:
        """Whether everything is on the disk and closed."""
        return self._over.is_set()

    @property
    def status(self) -> Status:
        """How it stands now."""
        account = self._tap.account.snapshot()
        missing, lost = _missing(account), _lost(account)
        left_out = {reason: count for reason, count in missing.items() if reason in ON_PURPOSE}
        state = self._manifest.state if self.is_over else "waiting" if self._is_waiting else "recording"
        return Status(
            self._manifest.name,
            state,
            self._manifest.sentence if self.is_over else self._sentence(lost),
            self._wanted.layers,
            self._lead.frames,
            self._bytes,
            monotonic() - self._began if self._took_s is None else self._took_s,
            lost,
            self._phase_lost(),
            left_out,
            account,
            self.free_bytes,
        )

    @property
    def _bytes(self) -> int:
        """Of images, in all layers."""
        return sum(layer.bytes for layer in self._layers.values())

    def _bytes_to_come(self, frame: Frame) -> int:
        """Of the phases of frames that are recorded, which the engine has not made yet."""
        return len(self._phases.awaited) * frame.pixels.size * PHASE_BYTES if self._phases else 0

    @property
    def free_bytes(self) -> int | None:
        """What may still be written; None where the disk does not tell."""
        try:
            return max(0, shutil.disk_usage(self._folder).free - self._limits.free_bytes)
        except OSError:
            return None

    def _sentence(self, lost: dict[str, int]) -> str:
        if self._is_waiting:
            return f"Waiting for the trigger, with the last {self._wanted.before_trigger_s:g} s at hand."
        return f"{_said_of(lost)} {_said_of_phase(self._phase_lost())}".strip() or "Recording."

    def _phase_lost(self) -> dict[str, int]:
        return _lost(self._lives.account.snapshot()) if self._phases and self._lives else {}

    def _end(self, state: str, sentence: str) -> None:
        with self._ended_lock:
            if self._ending is None:
                self._ending = _Ending(state, sentence)
        self._close_taps()

    def _close_taps(self) -> None:
        if self._frames is not None:
            self._pipeline.taps.close(self._frames)
        if self._lives is not None and self._phases is None:
            self._pipeline.hub.taps.close(self._lives)

    # ---- the thread that writes ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
            self._await_phases()
        except Exception as error:
            _log.exception("the recording %s ended unexpectedly", self._manifest.name)
            self._end("failed", f"The recording ended unexpectedly: {error!r}.")
        finally:
            self._finish()

    def _record(self) -> None:
        restated, given_up_at = monotonic(), None
        while True:
            item = self._tap.take(_SOON_S if self._phases and self._phases.early else _POLL_S)
            if item is not None:
                self._judge(item)
            self._write_phases()
            if monotonic() - restated > _SYNC_S:
                restated = monotonic()
                self._guarded(self._restate)
            self._look()
            if self._hurry.is_set() and given_up_at is None:
                given_up_at = monotonic() + _DRAIN_S
            if given_up_at is not None and monotonic() > given_up_at:
                return
            if item is None and self._tap.is_closed:
                return

    def _look(self) -> None:
        """Whether it is over, for reasons that come with no frame."""
        if self._trigger.is_set() and self._is_waiting:
            self._write_held()
        if self._broken is not None:
            self._fail(self._broken)
        if self._tap.is_closed:
            return
        if not self._is_waiting and (self._plan.is_full or self._plan.is_over(monotonic_ns())):
            self._end("done", "All that was asked for is recorded.")
        elif self._pipeline.state.name is State.ENDED:
            self._end("done", "The recording that the frames came from is over.")

    def _judge(self, item: Frame | LiveFrame) -> None:
        frame = _frame(item)
        if self._trigger.is_set() and self._is_waiting:
            self._write_held()
        if self._is_waiting and self._ending is None:
            self._hold(item)
            return
        if self._is_waiting:
            self._leave_out(frame, BEFORE)
            return
        verdict = self._plan.judge(frame.captured_monotonic_ns)
        if verdict is Verdict.WRITE:
            if self._write(item):
                self._plan.wrote(self._bytes + self._bytes_to_come(frame))
        else:
            self._leave_out(frame, BETWEEN if verdict is Verdict.LEAVE_OUT else AFTER)
        if self._plan.is_full:
            self._end("done", "All that was asked for is recorded.")

    def _hold(self, item: Frame | LiveFrame) -> None:
        self._held.append(item)
        self._held_bytes += item.nbytes
        oldest_ns = _frame(item).captured_monotonic_ns - round((self._wanted.before_trigger_s or 0) * 1e9)
        while _frame(self._held[0]).captured_monotonic_ns < oldest_ns:
            self._leave_out(_frame(self._let_go()), BEFORE)
        while self._held_bytes > self._limits.memory_bytes and len(self._held) > 1:
            self._leave_out(_frame(self._let_go()), "no memory before the trigger")

    def _let_go(self) -> Frame | LiveFrame:
        item = self._held.popleft()
        self._held_bytes -= item.nbytes
        return item

    def _write_held(self) -> None:
        """Write what was held for the trigger, then what comes; its limits count from here."""
        self._is_waiting = False
        while self._held:
            self._write(self._let_go())
        self._plan.begin(self._triggered_ns)
        if self._wanted.frames is None and self._wanted.seconds is None and self._wanted.megabytes is None:
            self._end("done", "The seconds before the trigger are recorded.")
            self._tap.drop_waiting(AFTER)

    def _write(self, item: Frame | LiveFrame) -> bool:
        """Write a frame and count what became of it; whether it is in the recording."""
        frame = _frame(item)
        image, made_by = (item.pixels, None) if isinstance(item, Frame) else (item.phase.phase_rad, _made_by(item))
        if self._phases is not None:
            self._phases.decided = frame.sequence
        reason = self._append(self._lead, frame, image, made_by)
        if reason is None:
            self._tap.account.delivered()
            if self._phases is not None:
                self._phases.awaited.append(frame.sequence)
        else:
            self._tap.account.failed(reason)
        return reason is None

    def _append(
        self, layer: RecordedLayer, frame: Frame, image: NDArray[np.generic], made_by: dict[str, Any] | None
    ) -> str | None:
        """Write one image; the reason where it cannot be."""
        if self._broken is not None:
            return _NO_DISK
        if not self._is_of_this_camera(frame):
            return _OTHER_CAMERA
        if not layer.takes(image):
            return _OTHER_SIZE
        room = self.free_bytes
        if room is not None and room < image.nbytes:
            gb = self._limits.free_bytes / 1e9
            self._broken = OSError(_FULL_DISK, f"Stopped before the disk is full: {gb:.3g} GB are kept free.")
            return _NO_DISK
        if not self._guarded(lambda: layer.append(frame, image, made_by)):
            return _NO_DISK
        return None

    def _is_of_this_camera(self, frame: Frame) -> bool:
        """Whether a frame was taken as the first one was: by this camera, in this format, through these optics."""
        if self._taken_as is None:
            self._taken_as = _taken_as(frame)
            self._put_down_camera(frame)
        return _taken_as(frame) == self._taken_as

    def _put_down_camera(self, frame: Frame) -> None:
        """Correct the manifest where another camera, or its format, was chosen before the first frame came."""
        manifest, optics = self._manifest, asdict(frame.optics) if frame.optics else {}
        if (manifest.camera["source"], manifest.bit_depth, manifest.optics) == (frame.source, frame.bit_depth, optics):
            return
        if manifest.camera["source"] != frame.source:
            describe_camera(manifest, self._pipeline.camera.identity)
        manifest.bit_depth, manifest.optics = frame.bit_depth, optics
        self._guarded(lambda: manifest.write(self._folder))

    def _restate(self) -> None:
        for layer in self._layers.values():
            layer.restate()

    def _guarded(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except OSError as error:
            self._broken = self._broken or error
            return False
        return True

    def _leave_out(self, frame: Frame, reason: str) -> None:
        self._tap.account.dropped(reason)
        if self._phases is not None:
            self._phases.decided = frame.sequence

    def _fail(self, error: OSError) -> None:
        if error.errno == _FULL_DISK and error.strerror and error.strerror.startswith("Stopped"):
            self._end("stopped", error.strerror)
            return
        if error.errno == _FULL_DISK:
            said = "The disk is full"
        elif isinstance(error, FileNotFoundError):
            said = "The folder is gone; is its disk still plugged in"
        else:
            said = f"The disk does not take the frames ({error.strerror or error})"
        self._end("failed", f"{said}. What was recorded before stands.".replace("in.", "in?"))

    # ---- phase that goes with interferograms ---------------------------------------------------------------------

    def _write_phases(self) -> None:
        """Write the phases that are there, of frames of which it is known that they are recorded."""
        phases, lives = self._phases, self._lives
        if phases is None or lives is None:
            return
        phases.absent |= lives.take_absent()
        passed = max((at for at in phases.absent if at <= phases.decided), default=-1)  # by the engine
        while True:
            live = phases.early or lives.take(0.0)
            phases.early = None
            if live is None:
                self._give_up_phases(passed + 1)
                return
            sequence = live.frame.sequence
            if sequence > phases.decided and not phases.all_decided:
                phases.early = live
                return
            phases.absent |= lives.take_absent()
            self._give_up_phases(sequence)
            if not phases.awaited or phases.awaited[0] != sequence:
                lives.account.dropped(_NOT_WANTED)
                continue
            phases.awaited.popleft()
            reason = self._append(self._layers["phase"], live.frame, live.phase.phase_rad, _made_by(live))
            if reason is None:
                lives.account.delivered()
            else:
                lives.account.failed(reason)

    def _give_up_phases(self, before: int) -> None:
        """Count the recorded frames before this one, whose phases the engine did not make or nobody had room for."""
        phases, lives = self._phases, self._lives
        if phases is None or lives is None:
            return
        while phases.awaited and phases.awaited[0] < before:
            reason = phases.absent.get(phases.awaited.popleft())
            if reason == FULL:
                continue  # the tap has counted it
            lives.account.captured()
            if reason is None:
                lives.account.dropped(_SKIPPED)
            else:
                lives.account.failed(reason)
        phases.absent = {at: reason for at, reason in phases.absent.items() if at >= before}

    def _await_phases(self) -> None:
        phases, lives = self._phases, self._lives
        if phases is None or lives is None:
            return
        phases.all_decided = True
        until = monotonic() + (_DRAIN_S if self._hurry.is_set() else _PHASE_PATIENCE_S)
        while phases.awaited and monotonic() < until and self._broken is None and not lives.is_closed:
            live = lives.take(_POLL_S)
            if live is not None:
                phases.early = live
            self._write_phases()
        self._pipeline.hub.taps.close(lives)
        if phases.early is not None:
            lives.account.dropped(_NOT_WANTED)
        lives.drop_waiting(_NOT_WANTED)
        phases.absent |= lives.take_absent()
        self._give_up_phases(phases.decided + 1)

    # ---- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        try:
            self._close()
        except Exception:
            _log.exception("the recording %s could not be closed", self._manifest.name)
        finally:
            if self._manifest.state == "recording":
                self._manifest.state, self._manifest.sentence = "failed", f"It could not be closed. {_REPAIR}"
            self._took_s = monotonic() - self._began
            self._lock.release()
            self._over.set()

    def _close(self) -> None:
        self._close_taps()
        if self._broken is not None:
            self._fail(self._broken)
        while self._held:
            self._let_go()
            self._tap.account.dropped(BEFORE)
        self._tap.drop_waiting(AFTER if self._plan.is_full else _NO_DISK)
        with suppress(OSError):  # a disk that takes nothing any more is found out by what follows
            (self._folder / RESERVE).unlink(missing_ok=True)
        last_words = [self._guarded(layer.close) for layer in self._layers.values()]
        if self._broken is not None and self._ending is None:
            self._fail(self._broken)
        self._write_manifest(all(last_words))

    def _write_manifest(self, is_whole: bool) -> None:
        ending, manifest = self._ending or _Ending("failed", "The recording ended unexpectedly."), self._manifest
        lost = f"{_said_of(_lost(self._tap.account.snapshot()))} {_said_of_phase(self._phase_lost())}"
        manifest.state = ending.state
        engine = self._pipeline.engine.identity
        if engine.name == manifest.engine.get("name"):  # by now it knows the carrier
            manifest.engine["detail"] = dict(engine.detail)
        manifest.account = {name: self._account_of(name) for name in self._layers}
        manifest.sentence = f"{ending.sentence} {lost.strip()}".strip()
        if is_whole:  # else it is left open, for `qpi files --repair`
            manifest.ended_ns = time_ns()
        try:
            manifest.write(self._folder)
        except OSError as error:
            _log.warning("the recording %s could not be closed: %s", manifest.name, error)
            manifest.state, manifest.sentence = "failed", f"{manifest.sentence} It could not be closed. {_REPAIR}"

    def _account_of(self, layer: str) -> dict[str, Any]:
        tap = self._lives if layer == "phase" and self._lives is not None else self._tap
        account = tap.account.snapshot()
        return {
            "captured": account.captured,
            "delivered": account.delivered,
            "dropped": dict(account.dropped),
            "failed": dict(account.failed),
        }

    # ---- the thread that brings it onto the disk -----------------------------------------------------------------

    def _keep_synced(self) -> None:
        while not self._over.wait(_SYNC_S):
            for layer in self._layers.values():
                if not self._guarded(layer.sync):
                    return


def _frame(item: Frame | LiveFrame) -> Frame:
    return item if isinstance(item, Frame) else item.frame


def _taken_as(frame: Frame) -> tuple[object, ...]:
    return frame.source, frame.bit_depth, frame.optics


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
    engine, quality = live.phase.engine, live.phase.quality
    known = {
        "engine": engine.name,
        "version": engine.version,
        "carrier": engine.detail.get("carrier"),
        "fringes": quality.fringes,
        "masked_share": quality.masked_share,
        "warning": quality.warning,
    }
    return {name: value for name, value in known.items() if value is not None}


def _said_of(lost: dict[str, int]) -> str:
    """What is missing, in a sentence; "" where nothing is."""
    if not lost:
        return ""
    why = {FULL: "the disk is too slow", _OTHER_SIZE: "their size is not the first one's"}
    reasons = ", ".join(f"{count} ({why.get(reason, reason)})" for reason, count in lost.items())
    return f"Frames that are missing: {reasons}."


def _said_of_phase(lost: dict[str, int]) -> str:
    """Which phases are missing, in a sentence; "" where none is."""
    if not lost:
        return ""
    why = {FULL: "the disk is too slow", _SKIPPED: "the engine skipped it to stay live"}
    frames = sum(lost.values())
    reasons = ", ".join(f"{count} ({why.get(reason, reason)})" for reason, count in lost.items())
    return f"{frames} {'frame has' if frames == 1 else 'frames have'} no phase: {reasons}."


def _missing(account: AccountSnapshot) -> dict[str, int]:
    """Frames that are not in the file, by reason."""
    return {
        reason: account.dropped.get(reason, 0) + account.failed.get(reason, 0)
        for reason in (*account.dropped, *account.failed)
    }


def _lost(account: AccountSnapshot) -> dict[str, int]:
    """Those of them that should be."""
    return {reason: count for reason, count in _missing(account).items() if reason not in ON_PURPOSE | {_NOT_WANTED}}
