"""A `CompilerLibrary` that runs the network on ONNX Runtime and a host device, so that all but the vendor is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from qpi_live.camera.device import DeviceError, DeviceIdentity, DeviceMemory, Stream
from qpi_live.models.artifacts.compiler import Capability, Progress
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.artifacts.sizes import Shape, Sizes
from qpi_live.models.errors import EngineUnavailable

from tests.cuda_host.device import HostDevice
from tests.cuda_host.memory import HostMemory
from tests.cuda_host.streams import HostStream

_MAGIC = b"onnx on the host:"


def host_gpu(name: str = "Host GPU", capability: Capability = (8, 9), lazy: bool = False) -> HostDevice:
    """A host device that passes for a GPU."""
    device = HostDevice(lazy=lazy)
    device.identity = DeviceIdentity(name, capability, device.identity.memory_bytes, "g++")
    return device


class OnnxLibrary:
    """`CompilerLibrary`; what it builds holds the network itself.

    Args:
        version: an engine says which one built it.
        error_rad: added to every phase with alternating sign, as a careless compiler would.
        captures: whether inferences can be recorded.
    """

    name = "onnx_on_host"
    builds_for_other_gpus = False

    def __init__(self, version: str = "1.0", error_rad: float = 0.0, captures: bool = True) -> None:
        self.version = version
        self.error_rad = error_rad
        self.captures = captures
        self.loads = 0
        self.enqueued = 0
        self.on_run: Callable[[], None] = lambda: None  # called within each inference

    def supports(self, capability: Capability) -> bool:
        return True

    def build(self, network: bytes, sizes: Sizes, capabilities: Sequence[Capability], on_progress: Progress) -> bytes:
        on_progress(1.0, "copying")
        return _MAGIC + network

    def load(self, engine: bytes) -> OnnxExecution:
        if not engine.startswith(_MAGIC):
            raise EngineUnavailable("expected an engine of this library, got something else")
        self.loads += 1
        return OnnxExecution(engine.removeprefix(_MAGIC), self)


class OnnxExecution:
    """`Execution` on a host stream."""

    keeps_graphs = False

    def __init__(self, network: bytes, library: OnnxLibrary) -> None:
        self._session = open_session(network)
        self._library = library
        self._bound: Callable[[], None] | None = None

    def bind(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> None:
        assert isinstance(grey, HostMemory)
        assert isinstance(phase, HostMemory)
        (taken,) = self._session.get_inputs()
        error_rad = self._library.error_rad * np.where(np.arange(shape[1]) % 2, 1, -1).astype(np.float32)

        def run() -> None:
            pixels = grey.view(np.uint8, (*shape, 2) if len(taken.shape) == 3 else shape)
            self._library.on_run()
            (phase_rad,) = self._session.run(None, {taken.name: pixels})
            np.copyto(phase.view(np.float32, shape), phase_rad + error_rad)

        self._bound = run

    def enqueue(self, stream: Stream) -> None:
        assert isinstance(stream, HostStream)
        if self._bound is None:
            raise DeviceError("expected memory to be bound before the first inference")
        if stream._recording is not None and not self._library.captures:
            raise DeviceError("expected an inference that can be recorded")
        self._library.enqueued += 1
        stream.enqueue(self._bound)
