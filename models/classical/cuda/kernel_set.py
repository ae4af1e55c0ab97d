"""Kernels with the grids they are launched on, and the device memory they work in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from qpi_live.camera.device import Device, DeviceError, DeviceMemory, Dim3, Kernel, KernelArgument, Stream

PIXEL_BLOCK = (256, 1, 1)  # a thread for each pixel
ROW_BLOCK = (128, 1, 1)  # row_threads in phase.cuh: a block for each row
Launch = tuple[Dim3, Dim3]  # grid and block


class KernelSet:
    """The kernels of some `.cu` files of this folder, each on its own grid, and memory that is freed together.

    Args:
        device: where.
        sources: names of the files.
        grids: for each kernel's name, the grid and the block it is launched with.

    Raises:
        DeviceError: a source does not compile.
    """

    def __init__(self, device: Device, sources: Iterable[str], grids: Mapping[str, Launch]) -> None:
        self._device = device
        self._grids = grids
        self._kernels: dict[str, Kernel] = {}
        for source in sources:
            self._kernels |= device.kernels(Path(__file__).parent / source)
        self._held: list[DeviceMemory] = []

    def launch(self, stream: Stream, name: str, *arguments: KernelArgument) -> None:
        """Enqueue the kernel called `name`."""
        stream.launch(self._kernels[name], *self._grids[name], *arguments)

    def allocate(self, nbytes: int) -> DeviceMemory:
        """Memory that `free` gives back; the contents are undefined.

        Raises:
            DeviceOutOfMemory: there is not so much. What was allocated before is given back.
        """
        try:
            memory = self._device.allocate(nbytes)
        except DeviceError:
            self.free()
            raise
        self._held.append(memory)
        return memory

    def free(self) -> None:
        """Give all memory back. Doing it twice is harmless."""
        while self._held:
            self._held.pop().free()


def each_pixel(shape: tuple[int, int]) -> Launch:
    """A thread for each pixel of (H, W), numbered through."""
    return (-(-shape[0] * shape[1] // PIXEL_BLOCK[0]), 1, 1), PIXEL_BLOCK


def each_pixel_by_row(shape: tuple[int, int]) -> Launch:
    """A thread for each pixel of (H, W); the grid's y is the row."""
    return (-(-shape[1] // PIXEL_BLOCK[0]), shape[0], 1), PIXEL_BLOCK


def each_row(rows: int) -> Launch:
    """A block for each row."""
    return (rows, 1, 1), ROW_BLOCK
