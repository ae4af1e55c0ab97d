"""A network that runs on a device, whichever library runs it: the loop from a frame's grey values to its phase."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from qpi_live.camera.device import (
    Array,
    Device,
    DeviceError,
    DeviceLost,
    DeviceMemory,
    DeviceOutOfMemory,
    Graph,
    Stream,
)
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.artifacts.compiler import Execution
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.sizes import Shape
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame, PhaseQuality

_MOST_GRAPHS = 64  # one for each place that frames lie in; a queue has a few
_LOOK_EVERY_NS = 10**9
_log = logging.getLogger(__name__)


class DeviceNetwork(ABC):
    """`PhaseEngine` and `DeviceEngine` that runs an `Execution`; scaling is inside of it.

    A frame that lies on the device already is taken from there. Any other is uploaded as it is, 8 or 16 bit. Its phase
    comes down once. One CUDA graph is replayed for each place that frames come from. Host arrays are page-locked. After
    the first frame from each place nothing is allocated but the phase's page-locked array, out of a pool.

    Once a second, and when another camera's frames come, the carrier is compared with the one the network was trained
    for, while the device works. Where they differ, phases carry a warning: a network shows a confident picture of
    anything.

    Args:
        name: the network's file, for errors.
        network: its card.
        open_device: gives the device to run it on, again after that was lost.
    """

    def __init__(self, name: str, network: NetworkCard, open_device: Callable[[], Device]) -> None:
        self._name = name
        self.network = network
        self._grey: np.dtype[Any] = np.dtype(np.uint16 if network.bit_depth > 8 else np.uint8)
        self._open = open_device
        self._device: Device | None = None
        self._opening = Lock()
        self._work: _Work | None = None
        self._quality = PhaseQuality()
        self._looked_at: tuple[str, int] | None = None  # which camera, and when

    @property
    @abstractmethod
    def identity(self) -> EngineIdentity:
        """Which network this is, what it was trained on, and what runs it."""

    @abstractmethod
    def _loaded(self) -> Execution:
        """The network on the device, which is current."""

    @abstractmethod
    def _why_not(self, shape: Shape, bit_depth: int) -> str | None:
        """Why it does not take frames of this size and depth; None if it does."""

    def open_device(self) -> Device:
        """See `DeviceEngine.open_device`."""
        with self._opening:
            if self._device is None or self._device.is_lost:
                self._device = self._open()
            return self._device

    def warm_up(self, shape: Shape, bit_depth: int) -> None:
        """Load the network, lay out its memory, run it once over a blank frame and record that.

        Raises:
            EngineUnavailable: it does not take frames of this size or depth, or the device has no room for it.
        """
        refuse(self._why_not(shape, bit_depth))
        blank: Pixels = np.zeros(shape, np.uint16) if bit_depth > 8 else np.zeros(shape, np.uint8)
        try:
            self._run(Frame.untimed(blank, bit_depth))
        except DeviceError as error:
            raise EngineUnavailable(f"expected {self._name} to run on this GPU, got: {error}") from error

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`. Stages, by the device's clock: `upload`, `inference`, `download`.

        Raises:
            InferenceError: `wrong shape`, or the device's own reason. A lost device is opened again for the next frame.
        """
        refusal = self._why_not(frame.shape, frame.bit_depth)
        if refusal:
            raise InferenceError("wrong shape", refusal)
        try:
            return self._run(frame)
        except DeviceError as error:
            raise InferenceError(error.reason, str(error)) from error
        except EngineUnavailable as error:  # after the device was lost
            raise InferenceError("engine not loaded", str(error)) from error

    def close(self) -> None:
        """Give back its memory; the device stays open, for others may use it."""
        if self._work is not None:
            self._work.free()
            self._work = None

    def _run(self, frame: Frame) -> PhaseFrame:
        work = self._work_for(frame.shape)
        stream, there = work.stream, frame.on_device
        phase_rad = work.device.page_locked(frame.shape, np.dtype(np.float32))
        if there is not None and there.device is work.device and frame.pixels.dtype == work.staging.dtype:
            grey, began, ready = there.memory, there.began, there.ready
            stream.wait_for(ready)
        else:
            grey, began = work.grey, stream.record()
            np.copyto(work.staging, frame.pixels, casting="unsafe")  # no value is beyond the bit depth
            stream.upload(work.staging, grey)
            ready = stream.record()
        graph = work.graph_for(grey)
        started = stream.record()
        graph.launch(stream)
        inferred = stream.record()
        stream.download(work.phase, phase_rad)
        done = stream.record()
        self._look_at(frame)
        done.synchronize()
        stages_ms: Mapping[str, float] = {
            "upload": ready.ms_since(began),
            "inference": inferred.ms_since(started),
            "download": done.ms_since(inferred),
        }
        return PhaseFrame(phase_rad, frame, self.identity, stages_ms, self._quality)

    def _look_at(self, frame: Frame) -> None:
        source, now_ns = frame.source, frame.captured_monotonic_ns
        if self._looked_at is not None:
            last_source, last_ns = self._looked_at
            if source == last_source and abs(now_ns - last_ns) < _LOOK_EVERY_NS:
                return
        self._quality, self._looked_at = self.network.quality(frame), (source, now_ns)

    def _work_for(self, shape: Shape) -> _Work:
        device = self.open_device()
        if self._work is not None and self._work.device is not device:
            self._work = None  # what it held was lost with its device
        if self._work is not None and self._work.staging.shape == shape:
            return self._work
        execution = self._work.execution if self._work is not None else self._loaded()
        self.close()
        self._work = _Work.laid_out(device, execution, shape, self._grey)
        return self._work


@dataclass(slots=True)
class _Work:
    """All that one frame size needs on the device."""

    device: Device
    execution: Execution
    stream: Stream
    staging: Array
    grey: DeviceMemory
    phase: DeviceMemory
    graphs: dict[int, Graph] = field(default_factory=dict)

    @classmethod
    def laid_out(cls, device: Device, execution: Execution, shape: Shape, dtype: np.dtype[Any]) -> _Work:
        staging, stream = device.page_locked(shape, dtype), device.stream()
        grey = device.allocate(staging.nbytes)
        try:
            phase = device.allocate(shape[0] * shape[1] * 4)
        except DeviceError:
            grey.free()
            raise
        return cls(device, execution, stream, staging, grey, phase)

    def graph_for(self, grey: DeviceMemory) -> Graph:
        """Inference from `grey` as a graph; recorded the first time that frames come from there."""
        graph = self.graphs.get(grey.pointer)
        if graph is None:
            if len(self.graphs) == _MOST_GRAPHS:
                self.graphs.clear()
            graph = self.graphs[grey.pointer] = self._recorded(grey)
        return graph

    def free(self) -> None:
        self.graphs.clear()
        self.grey.free()
        self.phase.free()

    def _recorded(self, grey: DeviceMemory) -> Graph:
        shape: Shape = (self.staging.shape[0], self.staging.shape[1])
        direct = _Direct(self.execution, grey, self.phase, shape)
        direct.launch(self.stream)  # what the library puts off until its first run must not fall into the recording
        if self.execution.keeps_graphs:
            return direct
        try:
            return self.stream.capture(lambda: self.execution.enqueue(self.stream))
        except (DeviceLost, DeviceOutOfMemory):
            raise
        except DeviceError as error:
            _log.warning("each inference is enqueued anew, since it cannot be recorded: %s", error)
            return direct


@dataclass(frozen=True, slots=True)
class _Direct:
    """`Graph` that enqueues the inference itself."""

    execution: Execution
    grey: DeviceMemory
    phase: DeviceMemory
    shape: Shape

    def launch(self, stream: Stream) -> None:
        self.execution.bind(self.grey, self.phase, self.shape)
        self.execution.enqueue(stream)


def refuse(reason: str | None) -> None:
    """Raise `EngineUnavailable` with a reason, if there is one."""
    if reason:
        raise EngineUnavailable(reason)
