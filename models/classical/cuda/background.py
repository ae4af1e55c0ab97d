"""Taking the background off a phase map on a GPU; its fit, to a few thousand block means, stays on the host."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_row

_TILE_COLUMNS = 256  # tile_columns in background.cu


class CudaBackground:
    """Takes the background of `fit` off phase maps of its shape on a device.

    Args:
        device: where.
        fit: what to fit.

    Raises:
        DeviceOutOfMemory: there is no memory for the block means.
    """

    def __init__(self, device: Device, fit: BackgroundFit) -> None:
        self._fit = fit
        block, (height, width) = fit.block_px, fit.shape
        rows, columns = height // block, width // block
        tiles = -(-columns // (_TILE_COLUMNS // block))
        grids = {"block_means": ((tiles, rows, 1), (_TILE_COLUMNS, 1, 1)), "subtract_polynomial": each_row(height)}
        self._set = KernelSet(device, ("background.cu",), grids)
        self._means_here = device.page_locked((rows, columns), np.dtype(np.float32))
        self._coefficients_here = device.page_locked((fit.order + 1, fit.order + 1), np.dtype(np.float64))
        self._means = self._set.allocate(self._means_here.nbytes)
        self._coefficients = self._set.allocate(self._coefficients_here.nbytes)

    def enqueue_means(self, stream: Stream, phase: DeviceMemory) -> None:
        """Fetch the block means of `phase`, (H, W) float32 in rad, for `enqueue_removal`."""
        block, columns = np.int32(self._fit.block_px), np.int32(self._means_here.shape[1])
        self._set.launch(stream, "block_means", phase, self._means, block, columns, np.int32(self._fit.shape[1]))
        stream.download(self._means, self._means_here)

    def enqueue_removal(self, stream: Stream, phase: DeviceMemory) -> None:
        """Fit the means, which must have come down, and take the background off `phase` in place."""
        self._coefficients_here[:] = self._fit.fit(self._means_here)
        stream.upload(self._coefficients_here, self._coefficients)
        terms, height, width = (np.int32(value) for value in (self._fit.order + 1, *self._fit.shape))
        self._set.launch(stream, "subtract_polynomial", self._coefficients, terms, phase, height, width)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
