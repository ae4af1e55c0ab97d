"""The protocol of a library that compiles and runs networks. None is imported here.

`models.artifacts.tensorrt_library` has the real ones; tests run the same line on ONNX Runtime and a device on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from qpi_live.camera.device import DeviceMemory, Stream
from qpi_live.models.artifacts.sizes import Shape, Sizes

Capability = tuple[int, int]
"""A GPU's compute capability, (major, minor)."""

Progress = Callable[[float, str], None]
"""Called with the share that is done, 0 … 1, and with what is being done."""


class Execution(Protocol):
    """A compiled network that was loaded onto the device, ready to run. One thread at a time."""

    @property
    def keeps_graphs(self) -> bool:
        """Whether it replays graphs of its own, so that its inferences must not be captured."""

    def bind(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> None:
        """Take (H, W) frames from `grey`, as the network's bytes, and put float32 phases in rad into `phase`.

        Raises:
            DeviceError: it does not take this size.
        """

    def enqueue(self, stream: Stream) -> None:
        """Enqueue one inference; may be captured once it has run outside of a capture.

        Raises:
            DeviceError: it cannot be enqueued; the text has the library's words.
        """


class CompilerLibrary(Protocol):
    """A library that compiles networks for a GPU and runs them."""

    @property
    def name(self) -> str:
        """What its package is called."""

    @property
    def version(self) -> str:
        """Its version; compiled networks hold for exactly one."""

    @property
    def builds_for_other_gpus(self) -> bool:
        """Whether it needs no GPU to build, but the names of the compute capabilities."""

    def supports(self, capability: Capability) -> bool:
        """Whether it builds for GPUs of this compute capability."""

    def build(self, network: bytes, sizes: Sizes, capabilities: Sequence[Capability], on_progress: Progress) -> bytes:
        """Compile what `models.export.tensorrt_graph` prepared, for all of these compute capabilities.

        Raises:
            EngineUnavailable: the network cannot be built; the text has the library's words.
        """

    def load(self, compiled: bytes) -> Execution:
        """Put a compiled network onto the device that is current in this thread. It is code: load none but your own.

        Raises:
            EngineUnavailable: the library refuses it; the text has the library's words.
            DeviceError: the device cannot take it.
        """
