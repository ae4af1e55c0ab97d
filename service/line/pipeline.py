"""The live line. Read this file first.

    camera thread → bounded newest-wins queue → engine thread → hub → one newest-wins mailbox per subscriber

Two threads, two crossings. The camera, the queue and the engine are chosen at start-up, never per frame, and what
happens to a frame is always counted, so that at any instant

    captured = delivered + dropped (by reason) + failed (by reason) + in flight
"""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Event, Thread
from time import monotonic, monotonic_ns

from qpi_live.camera.account import FrameAccount
from qpi_live.camera.errors import CameraError, CameraTimeout
from qpi_live.camera.frame import Frame
from qpi_live.camera.queue import FrameQueue
from qpi_live.camera.source import Camera
from qpi_live.models.engine import PhaseFrame
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.errors import EngineError, InferenceError
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.state import PipelineState, State

_POLL_S = 0.2  # how soon a thread notices that it should stop
_PATIENCE_S = 1.0  # how long frames may stay away before a person is told
_PATIENCE_PERIODS = 3  # and no less than this many frames' time, for slow cameras
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0
_MANY_FAILURES = 10  # frames that fail one after the other before the line is not called ready any more
_log = logging.getLogger(__name__)


class Pipeline:
    """Streams a camera's frames through an engine into a hub, until it is stopped."""

    def __init__(
        self,
        camera: Camera,
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
        self.last_failure: str | None = None
        self._failed_in_a_row = 0
        self._queue = queue
        self._warm = Event()
        self._stop = Event()
        self._state = PipelineState(State.STARTING, "The engine is warming up.")
        self._threads = [
            Thread(target=self._capture, name="camera", daemon=True),
            Thread(target=self._retrieve, name="engine", daemon=True),
        ]

    @property
    def state(self) -> PipelineState:
        """What the line is doing now."""
        if self._state.name is State.LIVE and self._failed_in_a_row >= _MANY_FAILURES:
            return PipelineState(State.FAILING, f"No frame can be retrieved. {self.last_failure}")
        return self._state

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
        self._queue.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        self._state = PipelineState(State.STOPPED, "The stream was stopped.")

    def _capture(self) -> None:
        """The camera thread: start the camera, read until it is lost, start it again."""
        self._warm.wait()
        retry_s = _FIRST_RETRY_S
        while not self._stop.is_set():
            frames_before = self.account.snapshot().captured
            try:
                self.camera.start()
                self._enter(State.LIVE, self.camera.identity.remark or "Frames are streaming.")
                self._read_until_the_end()
                break
            except CameraError as error:
                sentence = str(error)
                _log.warning("camera lost: %s", error)
            except Exception as error:
                sentence = f"The camera failed: {error!r}."
                _log.exception("camera failed")
            finally:
                self.camera.stop()
                self._count_losses()
            if self.account.snapshot().captured > frames_before:
                retry_s = _FIRST_RETRY_S
            self._enter(State.RECONNECTING, f"{sentence.rstrip('.')}. Trying again in {retry_s:.1f} s.")
            self._stop.wait(retry_s)
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)

    def _read_until_the_end(self) -> None:
        rate_hz = self.camera.identity.frame_rate_hz
        patience_s = max(_PATIENCE_S, _PATIENCE_PERIODS / rate_hz if rate_hz else 0.0)
        last_frame_at = monotonic()
        while not self._stop.is_set():
            if self.camera.waits_for_consumer and not self._queue.wait_for_room(_POLL_S):
                continue
            try:
                frame = self.camera.read(_POLL_S)
            except CameraTimeout as timeout:
                if monotonic() - last_frame_at > patience_s:
                    self._enter(State.WAITING, str(timeout))
                continue
            finally:
                self._count_losses()
            if frame is None:
                self._enter(State.ENDED, "The recording is over.")
                return
            last_frame_at = monotonic()
            self._enter(State.LIVE, self.camera.identity.remark or "Frames are streaming.")
            self._queue.put(frame)

    def _retrieve(self) -> None:
        """The engine thread: warm up, then turn frames into phase until stopped."""
        identity = self.camera.identity
        try:
            self.engine.warm_up(identity.shape, identity.bit_depth)
        except EngineError as error:
            self._enter(State.FAILED, str(error))
            _log.error("the engine cannot start: %s", error)
            return
        except Exception as error:
            self._enter(State.FAILED, f"The engine cannot start: {error!r}.")
            _log.exception("the engine cannot start")
            return
        self._warm.set()
        while not self._stop.is_set():
            frame = self._queue.get(_POLL_S)
            if frame is not None:
                self._retrieve_one(frame)
        self.engine.close()

    def _retrieve_one(self, frame: Frame) -> None:
        taken_ns = monotonic_ns()
        camera = self.camera.identity
        if frame.source and frame.source != camera.source:  # it waited while a person switched to another camera
            self.account.dropped("camera switched")
            return
        try:
            phase = self.engine.retrieve(frame)
        except InferenceError as error:
            self._note_failure(str(error), error.reason)
            return
        except Exception as error:
            self._note_failure(repr(error), "internal error")
            _log.exception("the engine failed on frame %d", frame.sequence)
            return
        live = LiveFrame.timed(_off_device(phase), camera, taken_ns)
        # Recorded and counted before anyone can see the frame: who has seen frame N finds N in the account.
        self._failed_in_a_row = 0
        self.latencies.record(live.stages_ms)
        self.account.delivered()
        self.hub.publish(live)

    def _note_failure(self, sentence: str, reason: str) -> None:
        self.last_failure = sentence
        self._failed_in_a_row += 1
        self.account.failed(reason)

    def _count_losses(self) -> None:
        for reason, frames in self.camera.take_losses().items():
            self.account.never_arrived(reason, frames)

    def _enter(self, name: State, sentence: str) -> None:
        if self._state.name != name or self._state.sentence != sentence:
            self._state = PipelineState(name, sentence)


def _off_device(phase: PhaseFrame) -> PhaseFrame:
    """The same phase, whose frame takes up no place on the engine's device any more, however long people look at it."""
    return phase if phase.frame.on_device is None else replace(phase, frame=replace(phase.frame, on_device=None))
