"""Times one engine in two ways that are never mixed: one frame at a time, and the live line kept full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import monotonic_ns, perf_counter, time_ns

from prometheus_client import CollectorRegistry
from qpi_live.bench.report import console
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.device import Device, Event
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine import DeviceEngine, PhaseEngine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame
from qpi_live.service.line.frame_queue import queue_for
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.line.state import State
from rich.progress import track

_WARM_UP_FRAMES = 10
_EARLIER_FRAMES = 4  # more than wait between an upload and the engine

Span = tuple[Event, Event, tuple[Event, Event] | None]
"""Events of one frame: the engine began and was done; the frame's upload began and ended, where the queue did it."""


class LineFailed(RuntimeError):
    """A frame failed on the way; a figure from the others would be one of something else."""


def serialized(engine: PhaseEngine, frames: Sequence[Frame], count: int) -> tuple[list[float], dict[str, list[float]]]:
    """One frame at a time in this thread, from grey values on the host to phase on the host, in ms.

    Returns:
        What each of `count` calls took, and each of the stages that the engine reports.

    Raises:
        InferenceError: the engine cannot invert a frame.
    """
    for number in range(_WARM_UP_FRAMES):
        engine.retrieve(frames[number % len(frames)])
    total_ms: list[float] = []
    stages_ms: defaultdict[str, list[float]] = defaultdict(list)
    for number in track(range(count), "Serialized", console=console, transient=True):
        start = perf_counter()
        phase = engine.retrieve(frames[number % len(frames)])
        total_ms.append((perf_counter() - start) * 1e3)
        for stage, took_ms in phase.stages_ms.items():
            stages_ms[stage].append(took_ms)
    return total_ms, dict(stages_ms)


def saturated_fps(engine: PhaseEngine, frames: Sequence[Frame], count: int) -> float:
    """Frames a second through the live line when the camera always has the next one ready.

    Raises:
        LineFailed: a frame failed.
    """
    return _run_line(
        LentDeviceEngine(engine) if isinstance(engine, DeviceEngine) else LentEngine(engine), frames, count
    )


def overlapped_uploads(engine: PhaseEngine, frames: Sequence[Frame], count: int) -> float | None:
    """The part of the saturated line's uploads that ran while the engine worked on an earlier frame, 0 … 1.

    By the device's clock. An upload overlaps where it began before the engine was done with such a frame, and ended
    after it had started on that. The queue has room for two, so that it need not be the frame before. None for an
    engine that works on no device.

    Raises:
        LineFailed: a frame failed.
    """
    return overlapping_part(watched_spans(engine, frames, count)) if isinstance(engine, DeviceEngine) else None


def watched_spans(engine: DeviceEngine, frames: Sequence[Frame], count: int) -> list[Span]:
    """When, by the device's clock, each of `count` frames of the saturated line was uploaded and worked on.

    Raises:
        LineFailed: a frame failed.
    """
    watched = _Watched(engine)
    _run_line(watched, frames, count)
    return watched.spans


def overlapping_part(spans: Sequence[Span]) -> float:
    """The part of the uploads, from the second on, that overlap the engine's work on an earlier frame."""
    overlapping = [
        upload is not None
        and any(
            upload[0].ms_since(done) < 0 < upload[1].ms_since(began)
            for began, done, _ in spans[max(0, number - _EARLIER_FRAMES) : number]
        )
        for number, (_, _, upload) in enumerate(spans)
        if number > 0
    ]
    return sum(overlapping) / max(len(overlapping), 1)


class LentEngine:
    """An engine that the line may use, but not close."""

    def __init__(self, engine: PhaseEngine) -> None:
        self._engine = engine

    @property
    def identity(self) -> EngineIdentity:
        """See `PhaseEngine.identity`."""
        return self._engine.identity

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """See `PhaseEngine.warm_up`."""
        self._engine.warm_up(shape, bit_depth)

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`."""
        return self._engine.retrieve(frame)

    def close(self) -> None:
        """Nothing: the lender closes it."""


class LentDeviceEngine(LentEngine):
    """The same for one that takes frames on a device."""

    def __init__(self, engine: DeviceEngine) -> None:
        super().__init__(engine)
        self.open_device = engine.open_device


class _Watched(LentDeviceEngine):
    """Notes when, by the device's clock, it worked on each frame, and when that was uploaded."""

    def __init__(self, engine: DeviceEngine) -> None:
        super().__init__(engine)
        self.spans: list[Span] = []
        device: Device = engine.open_device()
        self._clock = device.stream()  # idle, so that an event is passed as soon as it is recorded

    def retrieve(self, frame: Frame) -> PhaseFrame:
        there = frame.on_device
        began = self._clock.record()
        phase = super().retrieve(frame)
        done = self._clock.record()
        done.synchronize()
        self.spans.append((began, done, (there.began, there.ready) if there else None))
        return phase


def _run_line(engine: PhaseEngine, frames: Sequence[Frame], count: int) -> float:
    hub, account = Hub(), FrameAccount()
    camera, switch = CameraSwitch([_EagerCamera(frames, count)]), EngineSwitch(engine)
    done = hub.subscribe("bench")
    queue = queue_for(switch, lambda: camera, account)
    pipeline = Pipeline(camera, queue, switch, hub, account, LatencyBook(CollectorRegistry()))
    first_ns = last_ns = last_sequence = 0
    pipeline.start()
    while (
        account.snapshot().delivered < count
        and pipeline.failed_frames.last is None
        and pipeline.state.name is not State.FAILED
    ):
        live = done.wait(1.0)
        if live is None:
            continue
        done.account.delivered()
        first_ns = first_ns or live.published_monotonic_ns
        last_ns, last_sequence = live.published_monotonic_ns, live.frame.sequence
    state = pipeline.state
    pipeline.stop()
    if pipeline.failed_frames.last is not None or state.name is State.FAILED:
        raise LineFailed(pipeline.failed_frames.last or state.sentence)
    return last_sequence / max(last_ns - first_ns, 1) * 1e9


class _EagerCamera:
    """A camera whose next frame is always ready, and that makes no frame before there is room for it."""

    waits_for_consumer = True

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        self._frames = frames
        self._count = count
        self._sequence = 0
        self.identity = CameraIdentity("bench", "", "", "", frames[0].shape, frames[0].bit_depth, None, None)

    def start(self) -> None:
        self._sequence = 0

    def read(self, timeout_s: float) -> Frame | None:
        del timeout_s  # there is nothing to wait for
        if self._sequence == self._count:
            return None
        example = self._frames[self._sequence % len(self._frames)]
        frame = Frame(example.pixels, example.bit_depth, self._sequence, time_ns(), monotonic_ns())
        self._sequence += 1
        return frame

    def take_losses(self) -> Mapping[str, int]:
        return {}

    def stop(self) -> None:
        pass
