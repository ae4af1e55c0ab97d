"""Taking the background off a phase map on a GPU; its fit, to a few thousand block means, stays on the host."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_row

_TILE_COLUMNS = 256  # tile_columns in background.cu


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
        (block_y, block_x), (height, width) = background.block_px, background.shape
        rows, columns = height // block_y, width // block_x
        tiles = -(-columns // (_TILE_COLUMNS // block_x))
        grids = {"block_means": ((tiles, rows, 1), (_TILE_COLUMNS, 1, 1)), "subtract_polynomial": each_row(height)}
        self._set = KernelSet(device, ("background.cu",), grids)
        self._means_here = device.page_locked((rows, columns), np.dtype(np.float32))
        self._coefficients_here = device.page_locked((background.order + 1,) * 2, np.dtype(np.float64))
        self._means = self._set.allocate(self._means_here.nbytes)
        self._coefficients = self._set.allocate(self._coefficients_here.nbytes)

    def enqueue_means(self, stream: Stream, phase: DeviceMemory) -> None:
        """Fetch the block means of `phase`, (H, W) float32 in rad, for `enqueue_removal`."""
        sizes = (*self._background.block_px, self._means_here.shape[1], self._background.shape[1])
        self._set.launch(stream, "block_means", phase, self._means, *(np.int32(size) for size in sizes))
        stream.download(self._means, self._means_here)

    def enqueue_removal(self, stream: Stream, phase: DeviceMemory) -> Aberration:
        """Fit the means, which must have come down, and take the background off `phase` in place."""
        aberration = self._background.fit(self._means_here)
        self._coefficients_here[:] = aberration.coefficients
        stream.upload(self._coefficients_here, self._coefficients)
        terms, height, width = (np.int32(value) for value in (self._background.order + 1, *self._background.shape))
        self._set.launch(stream, "subtract_polynomial", self._coefficients, terms, phase, height, width)
        return aberration

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
