"""Taking the background off a phase map on a GPU; its fit, to a few thousand block means, stays on the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.aberration import Aberration, Background, ground_blocks
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_row

_TILE_COLUMNS = 256  # tile_columns in background.cu


class CudaBlockMeans:
    """Means over blocks of float32 maps on a device.

    Attributes:
        here: (H // block height, W // block width) float32 on the host: the means, once they have come down.

    Args:
        device: where.
        shape: (H, W) of the maps.
        block_px: (height, width) of a block.

    Raises:
        DeviceOutOfMemory: there is no memory for the means.
    """

    def __init__(self, device: Device, shape: tuple[int, int], block_px: tuple[int, int]) -> None:
        rows, columns = shape[0] // block_px[0], shape[1] // block_px[1]
        tiles = -(-columns // (_TILE_COLUMNS // block_px[1]))
        self._set = KernelSet(device, ("background.cu",), {"block_means": ((tiles, rows, 1), (_TILE_COLUMNS, 1, 1))})
        self._sizes = tuple(np.int32(size) for size in (*block_px, columns, shape[1]))
        self.here = device.page_locked((rows, columns), np.dtype(np.float32))
        self._means = self._set.allocate(self.here.nbytes)

    def enqueue(self, stream: Stream, values: DeviceMemory) -> None:
        """Let the means of `values`, (H, W) float32, come down to `here`."""
        self._set.launch(stream, "block_means", values, self._means, *self._sizes)
        stream.download(self._means, self.here)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()


class CudaBackground:
    """Takes a `Background` off phase maps of its shape on a device.

    Args:
        device: where.
        background: what to fit.

    Raises:
        DeviceOutOfMemory: there is no memory for the block means.
    """

    def __init__(self, device: Device, background: Background) -> None:
        self._background = background
        self._means = CudaBlockMeans(device, background.shape, background.block_px)
        self._set = KernelSet(device, ("background.cu",), {"subtract_polynomial": each_row(background.shape[0])})
        self._coefficients_here = device.page_locked((background.order + 1,) * 2, np.dtype(np.float64))
        self._coefficients = self._set.allocate(self._coefficients_here.nbytes)

    def enqueue_means(self, stream: Stream, phase: DeviceMemory) -> None:
        """Fetch the block means of `phase`, (H, W) float32 in rad, for `enqueue_removal`."""
        self._means.enqueue(stream, phase)

    def enqueue_removal(
        self, stream: Stream, phase: DeviceMemory, ground: NDArray[np.bool_] | None = None
    ) -> Aberration:
        """Fit the means, which must have come down, and take the background off `phase` in place.

        Args:
            stream: where.
            phase: (H, W) float32 in rad.
            ground: (H, W) bool on the host, see `Background.remove`.
        """
        blocks = ground_blocks(ground, self._background.block_px)
        aberration = self._background.fit(self._means.here, None, blocks)
        self._coefficients_here[:] = aberration.coefficients
        stream.upload(self._coefficients_here, self._coefficients)
        terms, height, width = (np.int32(value) for value in (self._background.order + 1, *self._background.shape))
        self._set.launch(stream, "subtract_polynomial", self._coefficients, terms, phase, height, width)
        return aberration

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._means.free()
        self._set.free()
