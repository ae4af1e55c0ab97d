"""The live pipeline. Read this file first.

    camera thread → taps → bounded newest-wins queue → engine thread → hub → one newest-wins mailbox per subscriber

Two threads, two crossings. Camera and engine may be changed while frames flow, each behind a switch that is itself a
`Camera` or a `PhaseEngine`. Nothing else changes per frame. Every frame is counted. At any instant, here as in every
tap and mailbox,

    captured = delivered + dropped (by reason) + failed (by reason) + in flight
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Event, Thread
from time import monotonic, monotonic_ns

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.errors import CameraError, CameraTimeout
from qpi_live.camera.frame import Frame
from qpi_live.camera.queue import FrameQueue
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.errors import EngineError, InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.line.failed_frames import FailedFrames
from qpi_live.service.line.failures import FailureLog
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.shift import Shift
from qpi_live.service.line.state import PipelineState, State
from qpi_live.service.line.tap import Taps

_WARMING_UP = "The engine is warming up: the first start compiles its kernels, which takes up to a minute."
_POLL_S = 0.2  # how soon a thread notices that it should stop
_PATIENCE_S = 1.0  # how long frames may stay away before a user is told
_PATIENCE_PERIODS = 3  # and no less than this many frames' time, for slow cameras
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0
_HUNG_S = 10.0  # how long an engine may work on one frame before it is called hung
_SWITCHED = "camera switched"
_HUNG = "engine hung"
_STREAMING = "Frames are streaming."
_log = logging.getLogger(__name__)


class Pipeline:
    """Streams a camera's frames through an engine into a hub, until it is stopped.

    Attributes:
        taps: give every frame, before the queue, to whoever must not miss one.
        leave_out: takes from a frame, before the engine has it, what a person excluded.
        failed_frames: what went wrong with frames.
        reconnects: how often a camera that was lost came back.
    """

    def __init__(
        self,
        camera: CameraSwitch,
        queue: FrameQueue,
        engine: EngineSwitch,
        hub: Hub,
        account: FrameAccount,
        latencies: LatencyBook,
    ) -> None:
        self.camera = camera
        self.engine = engine
        self.hub = hub
        self.account = account
        self.latencies = latencies
        self.taps: Taps[Frame] = Taps()
        self.leave_out: Callable[[Frame], Frame] = lambda frame: frame
        self.failed_frames = FailedFrames()
        self.reconnects = 0
        self._source = camera.chosen
        self._queue = queue
        self._warm = Event()
        self._stop = Event()
        self._look_again = Event()  # wakes a camera thread that waits for a camera
        self._state = PipelineState(State.STARTING, _WARMING_UP)
        self._broken: PipelineState | None = None  # what keeps the pipeline from working, whatever the camera does
        self._shift = Shift()  # of the thread whose engine work counts
        self._failures = FailureLog(_log)
        self._threads = [
            Thread(target=self._to_the_end, args=("camera", self._capture), name="camera", daemon=True),
            self._engine_thread(),
        ]

    @property
    def state(self) -> PipelineState:
        """What the pipeline is doing now."""
        if self._stop.is_set():
            return self._state
        if self._broken is not None:
            return self._broken
        if self.is_engine_hung:
            return PipelineState(
                State.FAILING,
                f"The engine has worked on one frame for {self._shift.busy_s:.0f} s and may hang; choose another, or "
                "the same again.",
            )
        if self._state.name is State.LIVE and self.failed_frames.are_all:
            return PipelineState(State.FAILING, f"No frame can be retrieved. {self.failed_frames.last}")
        return self._state

    @property
    def is_engine_hung(self) -> bool:
        """Whether the engine has worked on one frame for so long that it may never come back."""
        return self._warm.is_set() and self._shift.busy_s > _HUNG_S

    @property
    def epoch(self) -> int:
        """Changes when the camera comes back, is switched or changes its frames; see `Frame.epoch`."""
        return self.camera.epoch

    @property
    def is_ready(self) -> bool:
        """Whether the engine is warm and the camera has not been lost."""
        return self._warm.is_set() and self.state.name.is_ready

    def start(self) -> None:
        """Start both threads; frames flow once the engine is warm."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop both threads and let go of the camera and the engine. Doing it twice is harmless."""
        self._stop.set()
        self._warm.set()
        self._look_again.set()
        self._queue.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        self.taps.close_all()
        self.hub.taps.close_all()
        self._state = PipelineState(State.STOPPED, "The stream was stopped.")

    def switch_camera(self, source: str, prepare: Callable[[], None]) -> None:
        """Take frames from the camera `source`; of the one before, none is published any more.

        A recording that is over starts again, and a camera that is looked for is looked for at once. One caller at a
        time.

        Args:
            source: one of the camera switch's sources.
            prepare: called between the frames of the two cameras. None of the old one is let through any more then, and
                none of the new one has come.
        """
        if source != self._source:
            before, self._source = self._source, source
            try:
                prepare()
            except BaseException:
                self._source = before
                raise
            self.camera.choose(source)
        self._look_again.set()

    def leave_hung_engine(self) -> None:
        """Go on with the engine chosen last, warmed up already, where the one before does not come back.

        Its frame counts as failed. Its thread, which nothing can end, is left behind; what it may still bring is
        nobody's.
        """
        shift = self._shift
        if self._stop.is_set() or not shift.relieve(_HUNG_S if self._warm.is_set() else 0.0):
            return
        _log.warning("the engine does not come back; another one goes on")
        if self._warm.is_set():
            self._note_failure("The engine hung, and another one goes on.", _HUNG)
        self._shift = Shift()
        thread = self._engine_thread(is_warm=True)
        self._threads.append(thread)
        thread.start()

    def _engine_thread(self, is_warm: bool = False) -> Thread:
        work = partial(self._retrieve, self._shift, is_warm)
        return Thread(target=self._to_the_end, args=("engine", work), name="engine", daemon=True)

    def _to_the_end(self, name: str, work: Callable[[], None]) -> None:
        """Run a thread's work. If it ends on its own, which it never should, that is no secret."""
        try:
            work()
        except BaseException as error:
            self._failures.note(f"the {name} thread ended", error)
            self._broken = PipelineState(
                State.FAILED, f"The {name} thread has ended unexpectedly: {error!r}. Start the service again."
            )

    def _capture(self) -> None:
        """The camera thread: start the camera, read until it is lost or has ended, start it again."""
        self._warm.wait()
        retry_s = _FIRST_RETRY_S
        was_lost = False
        while not self._stop.is_set():
            source, frames_before = self.camera.chosen, self.account.snapshot().captured
            lost = self._stream(was_lost)
            self._let_go_of_camera()
            self._look_again.clear()
            if self._stop.is_set() or self.camera.chosen != source:
                was_lost, retry_s = False, _FIRST_RETRY_S
                continue
            if lost is None:
                self._enter(State.ENDED, "The recording is over.")
                self._look_again.wait()  # until it is chosen again, or another camera is
                was_lost = False
                continue
            if self.account.snapshot().captured > frames_before:
                retry_s = _FIRST_RETRY_S
            self._enter(State.RECONNECTING, f"{lost.rstrip('.')}. Trying again in {retry_s:.1f} s.")
            self._look_again.wait(retry_s)
            was_lost, retry_s = True, min(2 * retry_s, _LONGEST_RETRY_S)

    def _stream(self, was_lost: bool) -> str | None:
        """Start the camera and read it. Returns how it was lost, in a sentence; None at the end of a recording."""
        try:
            self.camera.start()
            self.reconnects += was_lost
            self._enter(State.LIVE, self.camera.identity.remark or _STREAMING)
            self._read_until_the_end()
        except CameraError as error:
            _log.warning("camera lost: %s", error)
            return str(error)
        except Exception as error:
            self._failures.note("the camera failed", error)
            return f"The camera failed: {error!r}."
        return None

    def _let_go_of_camera(self) -> None:
        """Stop the camera; whatever its driver makes of that, the camera thread goes on."""
        for step in (self.camera.stop, self._count_losses):
            try:
                step()
            except Exception as error:
                self._failures.note("the camera could not be let go of", error)

    def _read_until_the_end(self) -> None:
        last_frame_at = monotonic()
        while not self._stop.is_set():
            if self.camera.waits_for_consumer and not self._queue.wait_for_room(_POLL_S):
                continue
            try:
                frame = self.camera.read(_POLL_S)
            except CameraTimeout as timeout:
                if monotonic() - last_frame_at > self._patience_s():
                    self._enter(State.WAITING, str(timeout))
                continue
            finally:
                self._count_losses()
            if frame is None:
                return
            last_frame_at = monotonic()
            self._enter(State.LIVE, self.camera.identity.remark or _STREAMING)
            self.taps.offer(frame)
            self._queue.put(frame)

    def _patience_s(self) -> float:
        rate_hz = self.camera.identity.frame_rate_hz
        return max(_PATIENCE_S, _PATIENCE_PERIODS / rate_hz if rate_hz else 0.0)

    def _retrieve(self, shift: Shift, is_warm: bool) -> None:
        """An engine thread: warm up, then turn frames into phase until stopped or relieved."""
        if not (is_warm or self._warm_up(shift)):
            return
        self._broken = None
        self._warm.set()
        while not self._stop.is_set():
            frame = self._queue.get(_POLL_S)
            if frame is not None and not self._retrieve_one(frame, shift):
                return
        self.engine.close()

    def _warm_up(self, shift: Shift) -> bool:
        """Warm up the engine; where it cannot start, wait for another engine or another camera. Whether to go on."""
        while not self._stop.is_set():
            engine, identity = self.engine.current, self.camera.identity
            shift.begin()
            try:
                self.engine.warm_up(identity.shape, identity.bit_depth)
                sentence = ""
            except EngineError as error:
                sentence = str(error)
                _log.error("the engine cannot start: %s", error)
            except Exception as error:
                sentence = f"The engine cannot start: {error!r}."
                self._failures.note("the engine cannot start", error)
            if not shift.end():
                return False
            if not sentence:
                break
            self._broken = PipelineState(State.FAILED, sentence)
            while self.engine.current is engine and self.camera.identity.source == identity.source:
                if self._stop.wait(_POLL_S):
                    break
        return True

    def _retrieve_one(self, frame: Frame, shift: Shift) -> bool:
        """Turn one frame into phase and publish it. False if this thread was relieved over it."""
        taken_ns = monotonic_ns()
        if frame.source != self._source:  # it waited while a user switched to another camera
            self.account.dropped(_SWITCHED)
            return True
        shift.begin()
        try:
            phase = self.engine.retrieve(self.leave_out(frame))
        except Exception as error:
            return shift.end() and self._fail(frame, error)
        if not shift.end():
            return False
        if frame.source != self._source:  # the switch came meanwhile, with adjustments that are not this camera's
            self.account.dropped(_SWITCHED)
            return True
        live = LiveFrame.timed(_off_device(phase), self.camera.identity, taken_ns)
        # Recorded and counted before anyone can see the frame: who has seen frame N finds N in the account.
        self.failed_frames.are_over()
        self.latencies.record(live.stages_ms)
        self.account.delivered()
        self.hub.publish(live)
        return True

    def _fail(self, frame: Frame, error: Exception) -> bool:
        if isinstance(error, InferenceError):
            self._note_failure(str(error), error.reason)
            self.hub.taps.was_not_made(frame.sequence, f"engine failed: {error.reason}")
        else:
            self._note_failure(repr(error), "internal error")
            self.hub.taps.was_not_made(frame.sequence, "engine failed: internal error")
            self._failures.note(f"the engine failed on frame {frame.sequence}", error)
        return True

    def _note_failure(self, sentence: str, reason: str) -> None:
        self.failed_frames.note(sentence, reason)
        self.account.failed(reason)

    def _count_losses(self) -> None:
        for reason, frames in self.camera.take_losses().items():
            self.account.never_arrived(reason, frames)
            self.taps.never_arrived(reason, frames)

    def _enter(self, name: State, sentence: str) -> None:
        if self._state.name != name or self._state.sentence != sentence:
            self._state = PipelineState(name, sentence)


def _off_device(phase: PhaseFrame) -> PhaseFrame:
    """The same phase, whose frame takes up no place on the engine's device any more, however long people look at it."""
    return phase if phase.frame.on_device is None else replace(phase, frame=replace(phase.frame, on_device=None))
