"""What a CUDA device hands out, whichever binding drives it: memory, streams, events, kernels, graphs.

A binding's objects are made and given back only in a thread that has the context current. So each call makes it current
for its own length. Whatever must be given back is given back under it, whichever thread drops it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from qpi_live.camera.device import (
    Array,
    DeviceError,
    DeviceMemory,
    Dim3,
    Event,
    Graph,
    Kernel,
    KernelArgument,
    Stream,
)
from qpi_live.camera.gpu.binding import Binding
from qpi_live.camera.gpu.cuda_driver import LaunchableGraph

Thing = TypeVar("Thing")


def under(binding: Binding, give_back: Callable[[], object]) -> None:
    """Give something back to the driver, from whichever thread dropped it."""
    try:
        with binding:
            give_back()
    except DeviceError:  # lost, and what was on it with it
        pass


def _own(kind: type[Thing], thing: object) -> Thing:
    """`thing`, which must be of this device's own `kind`."""
    if not isinstance(thing, kind):
        raise DeviceError(f"expected a {kind.__name__}, got {type(thing).__name__}, which is another device's")
    return thing


def _check_fits(array: Array, memory: DeviceMemory) -> None:
    """Refuse an array that a copy would run past."""
    if not array.flags.c_contiguous or array.nbytes > memory.nbytes:
        raise DeviceError(f"expected a C-contiguous array of at most {memory.nbytes} bytes, got {array.nbytes}")


class CudaMemory:
    """`DeviceMemory`; also freed when nobody holds it any more."""

    def __init__(self, binding: Binding, nbytes: int) -> None:
        with binding:
            allocation = binding.allocate(nbytes)
        self.pointer = int(allocation)
        self.nbytes = nbytes
        self._give_back = weakref.finalize(self, under, binding, partial(binding.free, allocation))

    def free(self) -> None:
        """See `DeviceMemory.free`. Waits for the work that the driver has, which may still use it."""
        self._give_back()


class CudaEvent:
    """`Event`; CUDA's own goes back to be used again, which spares two calls of the driver a time."""

    def __init__(self, binding: Binding, unused: deque[Any]) -> None:
        self._binding = binding
        self._unused = unused
        try:
            self.event = unused.popleft()
        except IndexError:
            with binding:
                self.event = binding.make_event()

    def __del__(self) -> None:
        event = getattr(self, "event", None)
        if event is not None:
            self._unused.append(event)

    def is_done(self) -> bool:
        """See `Event.is_done`."""
        with self._binding:
            return self._binding.has_passed(self.event)

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        with self._binding:
            self._binding.wait_for_event(self.event)  # without the interpreter's lock

    def ms_since(self, earlier: Event) -> float:
        """See `Event.ms_since`."""
        with self._binding:
            return self._binding.ms_between(_own(CudaEvent, earlier).event, self.event)


class CudaKernel:
    """`Kernel`."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.function = function


class CudaGraph:
    """`Graph`."""

    def __init__(self, binding: Binding, graph: LaunchableGraph) -> None:
        self._binding = binding
        self._graph = graph
        weakref.finalize(self, under, binding, graph.free)

    def launch(self, stream: Stream) -> None:
        """See `Graph.launch`."""
        with self._binding:
            self._graph.launch(stream.handle)


class CudaStream:
    """`Stream`."""

    def __init__(self, binding: Binding, unused_events: deque[Any]) -> None:
        self._binding = binding
        self._unused_events = unused_events
        with binding:
            self._stream = binding.make_stream()
            self.handle = binding.handle_of(self._stream)
        weakref.finalize(self, under, binding, partial(binding.end_stream, self._stream))

    def upload(self, source: Array, target: DeviceMemory) -> None:
        """See `Stream.upload`."""
        _check_fits(source, target)
        with self._binding:
            self._binding.upload(source, target.pointer, self._stream)

    def download(self, source: DeviceMemory, target: Array) -> None:
        """See `Stream.download`."""
        _check_fits(target, source)
        if not target.flags.writeable:
            raise DeviceError("expected a writeable array to copy to, got a read-only one")
        with self._binding:
            self._binding.download(source.pointer, target, self._stream)

    def fill(self, target: DeviceMemory, byte: int) -> None:
        """See `Stream.fill`."""
        with self._binding:
            self._binding.fill(target.pointer, byte, target.nbytes, self._stream)

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, *arguments: KernelArgument) -> None:
        """See `Stream.launch`."""
        function = _own(CudaKernel, kernel).function
        values = [one if isinstance(one, np.generic) else np.uintp(one.pointer) for one in arguments]
        with self._binding:
            self._binding.launch(function, grid, block, values, self._stream)

    def record(self) -> Event:
        """See `Stream.record`."""
        event = CudaEvent(self._binding, self._unused_events)
        with self._binding:
            self._binding.record(event.event, self._stream)
        return event

    def wait_for(self, event: Event) -> None:
        """See `Stream.wait_for`."""
        with self._binding:
            self._binding.hold_for(_own(CudaEvent, event).event, self._stream)

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        with self._binding:
            return CudaGraph(self._binding, LaunchableGraph(self.handle, work))

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        with self._binding:
            self._binding.wait_for_stream(self._stream)  # without the interpreter's lock
