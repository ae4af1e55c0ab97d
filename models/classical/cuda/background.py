"""Taking the background off a phase map on a GPU.

A polynomial is fitted there. What a network or a person says of the ground is heard on the host, to which only means
over blocks come down for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.aberration import Aberration, Background, ground_blocks
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.cuda.ground_fit import CudaGroundFit
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_row

_TILE_COLUMNS = 256  # tile_columns in background.cu


class CudaBlockMeans:
    """Means over blocks of float32 maps on a device.

    Attributes:
        means, lit: on the device, (H // block height, W // block width) float32 and uint8: the means over what is not
            masked, and whether that is at least half of the block.
        means_here, lit_here: the same on the host, once they have come down; (…) float32 and bool.

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
        grid = ((tiles, rows, 1), (_TILE_COLUMNS, 1, 1))
        self._set = KernelSet(device, ("background.cu",), {"block_means": grid, "lit_block_means": grid})
        self._sizes = tuple(np.int32(size) for size in (*block_px, columns, shape[1]))
        self.means_here = device.page_locked((rows, columns), np.dtype(np.float32))
        self.lit_here = device.page_locked((rows, columns), np.dtype(np.bool_))
        self.means, self.lit = self._set.allocate(self.means_here.nbytes), self._set.allocate(self.lit_here.nbytes)

    def enqueue(self, stream: Stream, values: DeviceMemory, mask: DeviceMemory | None = None) -> None:
        """Take the means of `values`, (H, W) float32, outside of `mask`, (H, W) uint8; None: everywhere."""
        if mask is None:
            stream.fill(self.lit, 1)
            self._set.launch(stream, "block_means", values, self.means, *self._sizes)
        else:
            self._set.launch(stream, "lit_block_means", values, mask, self.means, self.lit, *self._sizes)

    def fetch(self, stream: Stream, *, with_lit: bool = False) -> None:
        """Let the means come down, and which are lit."""
        stream.download(self.means, self.means_here)
        if with_lit:
            stream.download(self.lit, self.lit_here)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()


class CudaBackground:
    """Takes a `Background` off phase maps of its shape on a device.

    Args:
        device: where.
        background: what to find.
        stream: on which tables go up; they are there when this returns.

    Raises:
        DeviceOutOfMemory: there is no memory for the block means.
    """

    def __init__(self, device: Device, background: Background, stream: Stream) -> None:
        self._background = background
        self._fit: CudaGroundFit | None = None
        self._means = CudaBlockMeans(device, background.shape, background.block_px)
        self._set = KernelSet(device, ("background.cu",), {"subtract_polynomial": each_row(background.shape[0])})
        self._coefficients_here = device.page_locked((background.order + 1,) * 2, np.dtype(np.float64))
        try:
            self._coefficients = self._set.allocate(self._coefficients_here.nbytes)
            if isinstance(background, BackgroundFit):
                self._fit = CudaGroundFit(device, background, stream)
        except BaseException:
            self.free()
            raise

    @property
    def is_fitted_here(self) -> bool:
        """Whether the device finds it, unless a person says what is ground; else the host does."""
        return self._fit is not None

    def enqueue(self, stream: Stream, phase: DeviceMemory, mask: DeviceMemory | None = None) -> None:
        """Find the background of `phase`, (H, W) float32 in rad, and take it off in place.

        To be called where `is_fitted_here`.

        Args:
            stream: where.
            phase: finite.
            mask: (H, W) uint8 on the device, not 0 where the phase says nothing; None: it does everywhere.
        """
        if self._fit is None:
            raise ValueError("expected a background that is fitted on the device, got one for the host: take remove")
        self._means.enqueue(stream, phase, mask)
        self._fit.enqueue(stream, self._means.means, self._means.lit)
        self._subtract(stream, self._fit.coefficients, phase)

    def enqueue_found(self, stream: Stream) -> None:
        """Fetch what `enqueue` took off, for `found`."""
        if self._fit is not None:
            self._fit.enqueue_found(stream)

    @property
    def found(self) -> Aberration:
        """What `enqueue` took off; valid once the work of `enqueue_found` is done."""
        if self._fit is None:
            raise ValueError("expected a background that is fitted on the device, got one for the host: take remove")
        return self._fit.found

    def remove(
        self,
        stream: Stream,
        phase: DeviceMemory,
        mask: DeviceMemory | None = None,
        ground: NDArray[np.bool_] | None = None,
    ) -> Aberration:
        """Find the background on the host, for which its block means come down, and enqueue taking it off in place.

        Args:
            stream: where.
            phase: see `enqueue`.
            mask: likewise.
            ground: (H, W) bool on the host, see `Background.remove`.
        """
        self._means.enqueue(stream, phase, mask)
        self._means.fetch(stream, with_lit=mask is not None)
        stream.synchronize()
        means, lit = self._means.means_here, None if mask is None else self._means.lit_here
        aberration = self._background.fit(means, lit, ground_blocks(ground, self._background.block_px, lit))
        self._coefficients_here[:] = aberration.coefficients
        stream.upload(self._coefficients_here, self._coefficients)
        self._subtract(stream, self._coefficients, phase)
        return aberration

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._means.free()
        self._set.free()
        if self._fit is not None:
            self._fit.free()

    def _subtract(self, stream: Stream, coefficients: DeviceMemory, phase: DeviceMemory) -> None:
        terms, height, width = (np.int32(value) for value in (self._background.order + 1, *self._background.shape))
        self._set.launch(stream, "subtract_polynomial", coefficients, terms, phase, height, width)
