"""What a binding of NVIDIA's driver does for a CUDA device, call by call: two adapters implement it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from qpi_live.camera.device import Array, DeviceError, DeviceIdentity, DeviceLost, DeviceOutOfMemory, Dim3
from qpi_live.camera.gpu.cuda_driver import reset_first_device

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no other library's work on the default stream holds ours up
NO_GPU = (
    "expected an NVIDIA GPU that works, got: {}; `nvidia-smi` must list it "
    "(after a fault of the GPU, start the program again)"
)


class Binding(ABC):
    """The calls of the driver, for the first device, whose primary context is current within a `with`.

    Other libraries of this process share that context. CUDA's errors come out of the `with` translated. All calls but
    `release` are made within it.

    Attributes:
        is_lost: whether everything in the context is gone.
        errors: what the binding's calls raise.
    """

    errors: tuple[type[Exception], ...] = (DeviceError,)

    def __init__(self) -> None:
        self.is_lost = False

    def __enter__(self) -> None:
        if self.is_lost:
            raise DeviceLost("expected the GPU, which was lost; it is opened again with the next frame")
        try:
            self._push()
        except self.errors as error:
            self.is_lost = True
            raise DeviceLost(f"expected the GPU's context, got: {error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        translated = self._translated(error) if isinstance(error, self.errors) else None
        try:
            self._pop()
        except self.errors as failure:
            translated = translated or self._translated(failure)
        if translated is not None and translated is not error:
            raise translated from error

    def release(self) -> None:
        """Let go of the context; what still refers to it is dead from now on, and harmless."""
        was_lost, self.is_lost = self.is_lost, True
        try:
            self._let_go()
            if was_lost:
                reset_first_device()
        except self.errors:  # the driver has given up on it already
            pass

    def _translated(self, error: Exception) -> DeviceError:
        if self._is_out_of_memory(error):
            return DeviceOutOfMemory(f"expected free GPU memory, got: {error}; close what else uses the GPU")
        if isinstance(error, DeviceLost):
            return error
        try:
            self.check()
        except self.errors:
            self.is_lost = True
            return DeviceLost(f"expected the GPU to go on, got: {error}; everything on it is gone")
        return (
            error if isinstance(error, DeviceError) else DeviceError(f"expected the GPU to do its work, got: {error}")
        )

    def _is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, DeviceOutOfMemory)

    @abstractmethod
    def _push(self) -> None:
        """Make the context current."""

    @abstractmethod
    def _pop(self) -> None:
        """Make current what was before."""

    @abstractmethod
    def _let_go(self) -> None:
        """Give the context back."""

    @abstractmethod
    def check(self) -> None:
        """Ask the driver for something; after a fault every call fails, and goes on failing."""

    @abstractmethod
    def identity(self) -> DeviceIdentity:
        """Which GPU this is."""

    @abstractmethod
    def allocate(self, nbytes: int) -> Any:
        """Device memory, as something that `int` makes its address of."""

    @abstractmethod
    def free(self, allocation: Any) -> None:
        """Give it back."""

    @abstractmethod
    def load(self, cubin: bytes, names: Sequence[str]) -> Mapping[str, Any]:
        """The functions of these names in a module's machine code, which is kept until `unload`."""

    @abstractmethod
    def unload(self, unused_events: deque[Any]) -> None:
        """Give back what was loaded, and events."""

    @abstractmethod
    def make_stream(self) -> list[Any]:
        """A list with nothing but a new stream, so that `end_stream` can drop its last reference."""

    @abstractmethod
    def handle_of(self, stream: list[Any]) -> int:
        """The driver's handle."""

    @abstractmethod
    def end_stream(self, stream: list[Any]) -> None:
        """Give it back and empty the list."""

    @abstractmethod
    def upload(self, source: Array, address: int, stream: list[Any]) -> None:
        """Enqueue a copy to the device."""

    @abstractmethod
    def download(self, address: int, target: Array, stream: list[Any]) -> None:
        """Enqueue a copy from it."""

    @abstractmethod
    def fill(self, address: int, byte: int, nbytes: int, stream: list[Any]) -> None:
        """Enqueue the setting of bytes."""

    @abstractmethod
    def launch(self, function: Any, grid: Dim3, block: Dim3, values: Sequence[np.generic], stream: list[Any]) -> None:
        """Enqueue a kernel."""

    @abstractmethod
    def wait_for_stream(self, stream: list[Any]) -> None:
        """Wait, without the interpreter's lock."""

    @abstractmethod
    def make_event(self) -> Any:
        """A new event."""

    @abstractmethod
    def record(self, event: Any, stream: list[Any]) -> None:
        """Put it behind all work so far."""

    @abstractmethod
    def hold_for(self, event: Any, stream: list[Any]) -> None:
        """Let the stream's further work wait for it."""

    @abstractmethod
    def has_passed(self, event: Any) -> bool:
        """Whether the device has."""

    @abstractmethod
    def wait_for_event(self, event: Any) -> None:
        """Wait, without the interpreter's lock."""

    @abstractmethod
    def ms_between(self, earlier: Any, later: Any) -> float:
        """Device time in ms."""
