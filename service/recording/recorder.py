"""One recording on its way to the disk.

A thread takes every frame from a tap before the queue, or from one behind the engine, and writes it. Another brings
what was written onto the disk. The camera and the engine wait for neither. Where the disk is too slow, the tap is full,
and the frames that find no room are counted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, monotonic_ns

from qpi_live.camera.files.writers.lock import RecordingLock
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.frame import Frame
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.line.state import State
from qpi_live.service.line.tap import Tap
from qpi_live.service.recording.ending import (
    BY_HAND,
    COMPLETE,
    NO_MORE_FRAMES,
    SERVICE_STOPPED,
    TRIGGERED,
    UNKNOWN,
    Ending,
    ended_by,
)
from qpi_live.service.recording.held import HeldFrames, frame_of
from qpi_live.service.recording.losses import NO_DISK, lost_in, missing_in, said_of_frames, said_of_phases
from qpi_live.service.recording.phases import RecordedPhases
from qpi_live.service.recording.plan import AFTER, BEFORE, BETWEEN, ON_PURPOSE, Plan, Verdict
from qpi_live.service.recording.recorded_files import RecordedFiles
from qpi_live.service.recording.status import Status
from qpi_live.service.recording.wanted import Wanted

_POLL_S = 0.05
_SOON_S = 0.005  # where a phase waits for its frame to be looked at
_SYNC_S = 0.4  # what was written is on the disk after this and what the disk takes for it
_PHASE_PATIENCE_S = 3.0  # for the engine to come to the last interferogram
_DRAIN_S = 1.0  # for what waits when the service ends
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
        self._wanted, self._manifest, self._pipeline, self._lock = wanted, manifest, pipeline, lock
        self._plan = Plan(wanted)
        self._files = RecordedFiles(folder, wanted, manifest, pipeline, limits.free_bytes)
        self._began = monotonic()
        self._took_s: float | None = None
        self._held = HeldFrames(wanted.before_trigger_s or 0.0, limits.memory_bytes)
        self._is_waiting = wanted.before_trigger_s is not None
        self._trigger = Event()
        self._triggered_ns = 0
        self._ending: Ending | None = None
        self._ended_lock = Lock()
        self._hurry = Event()
        self._over = Event()
        self._open_taps(limits.memory_bytes)
        self._threads = [
            Thread(target=self._run, name=f"record {manifest.name}", daemon=True),
            Thread(target=self._keep_synced, name=f"sync {manifest.name}", daemon=True),
        ]

    def _open_taps(self, memory_bytes: int) -> None:
        """The tap of the layer that leads, and where that is the interferogram, of the phases that go with it."""
        self._frames: Tap[Frame] | None = None
        self._lives: Tap[LiveFrame] | None = None
        self._phases: RecordedPhases | None = None
        self._tap: Tap[Frame] | Tap[LiveFrame]
        live_taps = self._pipeline.hub.taps
        if "interferogram" in self._wanted.layers:
            self._lead = "interferogram"
            self._tap = self._frames = self._pipeline.taps.open(memory_bytes)
            if "phase" in self._wanted.layers:
                self._phases = RecordedPhases(live_taps, memory_bytes, self._files)
        elif "phase" in self._wanted.layers:
            self._lead = "phase"
            self._tap = self._lives = live_taps.open(memory_bytes)
        else:
            raise ValueError(f"expected a layer to record, got {self._wanted.layers}")

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
        self._end(BY_HAND)

    def close(self, timeout_s: float) -> None:
        """End soon, as the service does: what waits too long for the disk is given up, and counted."""
        self._hurry.set()
        self._end(SERVICE_STOPPED)
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
        state = self._manifest.state if self.is_over else "waiting" if self._is_waiting else "recording"
        return Status(
            name=self._manifest.name,
            state=state,
            sentence=self._manifest.sentence if self.is_over else self._sentence(),
            layers=self._wanted.layers,
            frames=self._files.frames(self._lead),
            bytes=self._files.bytes,
            elapsed_s=monotonic() - self._began if self._took_s is None else self._took_s,
            lost=lost_in(account),
            phase_lost=self._phase_lost(),
            left_out={reason: count for reason, count in missing_in(account).items() if reason in ON_PURPOSE},
            account=account,
            free_bytes=self._files.free_bytes,
        )

    def _sentence(self) -> str:
        if self._is_waiting:
            return f"Waiting for the trigger, with the last {self._wanted.before_trigger_s:g} s at hand."
        return self._said_missing() or "Recording."

    def _said_missing(self) -> str:
        lost = lost_in(self._tap.account.snapshot())
        return f"{said_of_frames(lost)} {said_of_phases(self._phase_lost())}".strip()

    def _phase_lost(self) -> dict[str, int]:
        return lost_in(self._phases.account) if self._phases else {}

    def _end(self, ending: Ending) -> None:
        with self._ended_lock:
            if self._ending is None:
                self._ending = ending
        self._close_tap()

    def _close_tap(self) -> None:
        """Let no more frames in; the phases of those that came may still."""
        if self._frames is not None:
            self._pipeline.taps.close(self._frames)
        if self._lives is not None:
            self._pipeline.hub.taps.close(self._lives)

    # ---- the thread that writes ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
            if self._phases is not None:
                self._phases.finish(_DRAIN_S if self._hurry.is_set() else _PHASE_PATIENCE_S)
        except Exception as error:
            _log.exception("the recording %s ended unexpectedly", self._manifest.name)
            self._end(Ending("failed", f"The recording ended unexpectedly: {error!r}."))
        finally:
            self._finish()

    def _record(self) -> None:
        restated, given_up_at = monotonic(), None
        while True:
            item = self._tap.take(_SOON_S if self._phases and self._phases.has_early else _POLL_S)
            if item is not None:
                self._judge(item)
            if self._phases is not None:
                self._phases.write()
            if monotonic() - restated > _SYNC_S:
                restated = monotonic()
                self._files.restate()
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
        if self._files.broken is not None:
            self._end(ended_by(self._files.broken))
        if self._tap.is_closed:
            return
        if not self._is_waiting and (self._plan.is_full or self._plan.is_over(monotonic_ns())):
            self._end(COMPLETE)
        elif self._pipeline.state.name is State.ENDED:
            self._end(NO_MORE_FRAMES)

    def _judge(self, item: Frame | LiveFrame) -> None:
        frame = frame_of(item)
        if self._trigger.is_set() and self._is_waiting:
            self._write_held()
        if self._is_waiting and self._ending is None:
            for too_old, reason in self._held.hold(item):
                self._leave_out(too_old, reason)
            return
        if self._is_waiting:
            self._leave_out(frame, BEFORE)
            return
        verdict = self._plan.judge(frame.captured_monotonic_ns)
        if verdict is Verdict.WRITE:
            if self._write(item):
                to_come = self._phases.bytes_to_come(frame) if self._phases else 0
                self._plan.wrote(self._files.bytes + to_come)
        else:
            self._leave_out(frame, BETWEEN if verdict is Verdict.LEAVE_OUT else AFTER)
        if self._plan.is_full:
            self._end(COMPLETE)

    def _write_held(self) -> None:
        """Write what was held for the trigger, then what comes; its limits count from here."""
        self._is_waiting = False
        while self._held:
            self._write(self._held.take())
        self._plan.begin(self._triggered_ns)
        if self._wanted.frames is None and self._wanted.seconds is None and self._wanted.megabytes is None:
            self._end(TRIGGERED)
            self._tap.drop_waiting(AFTER)

    def _write(self, item: Frame | LiveFrame) -> bool:
        """Write a frame and count what became of it; whether it is in the recording."""
        reason = self._files.append(item)
        if reason is None:
            self._tap.account.delivered()
        else:
            self._tap.account.failed(reason)
        if self._phases is not None:
            self._phases.decide(frame_of(item), is_recorded=reason is None)
        return reason is None

    def _leave_out(self, frame: Frame, reason: str) -> None:
        self._tap.account.dropped(reason)
        if self._phases is not None:
            self._phases.decide(frame, is_recorded=False)

    # ---- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        try:
            self._close()
        except Exception:
            _log.exception("the recording %s could not be closed", self._manifest.name)
        finally:
            self._files.give_up()
            self._took_s = monotonic() - self._began
            self._lock.release()
            self._over.set()

    def _close(self) -> None:
        self._close_tap()
        if self._files.broken is not None:
            self._end(ended_by(self._files.broken))
        while self._held:
            self._held.take()
            self._tap.account.dropped(BEFORE)
        self._tap.drop_waiting(AFTER if self._plan.is_full else NO_DISK)
        is_whole = self._files.close()
        if self._files.broken is not None:
            self._end(ended_by(self._files.broken))  # which an ending that came before outlasts
        accounts = {self._lead: self._tap.account.snapshot()}
        if self._phases is not None:
            accounts["phase"] = self._phases.account
        self._files.write_manifest(self._ending or UNKNOWN, self._said_missing(), accounts, is_whole=is_whole)

    # ---- the thread that brings it onto the disk -----------------------------------------------------------------

    def _keep_synced(self) -> None:
        while not self._over.wait(_SYNC_S):
            if not self._files.sync():
                return
