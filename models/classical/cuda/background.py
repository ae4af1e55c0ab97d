"""Taking the background off a phase map on a GPU.

A polynomial is fitted there, and how much of the frame lies near it is counted. What a network or a person says of the
ground is heard on the host, to which only means over blocks come down for it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.classical.background import BackgroundFit, FittedFirst
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
        self._means: dict[tuple[int, int], CudaBlockMeans] = {}
        self._set = KernelSet(device, ("background.cu",), {"subtract_polynomial": each_row(background.shape[0])})
        self._coefficients_here = device.page_locked((background.order + 1,) * 2, np.dtype(np.float64))
        polynomial = background.polynomial if isinstance(background, FittedFirst) else background
        try:
            for block_px in background.blocks_px:
                self._means[block_px] = CudaBlockMeans(device, background.shape, block_px)
            self._coefficients = self._set.allocate(self._coefficients_here.nbytes)
            if isinstance(polynomial, BackgroundFit):
                self._fit = CudaGroundFit(device, polynomial, stream)
        except BaseException:
            self.free()
            raise

    @property
    def can_be_fitted_here(self) -> bool:
        """Whether the device finds it in some frames."""
        return self._fit is not None

    @property
    def is_fitted_here(self) -> bool:
        """Whether the device finds that of the next frame, unless a person says what is ground; else the host does."""
        background = self._background
        return self._fit is not None and (not isinstance(background, FittedFirst) or background.awaits_fit)

    def enqueue(self, stream: Stream, phase: DeviceMemory, mask: DeviceMemory | None = None) -> None:
        """Find the polynomial under `phase`, (H, W) float32 in rad, and take it off in place.

        To be called where `can_be_fitted_here`, and followed by `settle`.

        Args:
            stream: where.
            phase: finite.
            mask: (H, W) uint8 on the device, not 0 where the phase says nothing; None: it does everywhere.
        """
        fit, means = self._fitted, self._means[self._background.block_px]
        means.enqueue(stream, phase, mask)
        fit.enqueue(stream, means.means, means.lit)
        self._subtract(stream, fit.coefficients, phase)

    def enqueue_found(self, stream: Stream) -> None:
        """Fetch what `enqueue` took off, for `settle`."""
        self._fitted.enqueue_found(stream)

    def settle(self, stream: Stream, phase: DeviceMemory, mask: DeviceMemory | None = None) -> tuple[Aberration, bool]:
        """What is to be taken off in the end, once the work of `enqueue_found` is done.

        Where the background does not take the polynomial as it is, its block means come down, and it is found on the
        host; taking that off in the polynomial's place is enqueued.

        Args:
            stream: where.
            phase: what `enqueue` was given.
            mask: likewise.

        Returns:
            The background, and whether the phase has been touched again.
        """
        fitted, background = self._fitted.found, self._background
        if not isinstance(background, FittedFirst):
            return fitted, False
        is_back = False

        def means_over(block_px: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
            nonlocal is_back
            if not is_back:
                self._take_off(stream, -fitted.coefficients, phase)
                is_back = True
            return self._means_over(stream, phase, mask, block_px)

        aberration = background.found_beside(fitted, self._fitted.near_share, means_over)
        if is_back:
            self._take_off(stream, aberration.coefficients, phase)
        return aberration, is_back

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
        aberration = self._background.found_in(partial(self._means_over, stream, phase, mask), ground)
        self._take_off(stream, aberration.coefficients, phase)
        return aberration

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        for means in self._means.values():
            means.free()
        self._set.free()
        if self._fit is not None:
            self._fit.free()

    @property
    def _fitted(self) -> CudaGroundFit:
        if self._fit is None:
            raise ValueError("expected a background that is fitted on the device, got one for the host: take remove")
        return self._fit

    def _means_over(
        self, stream: Stream, phase: DeviceMemory, mask: DeviceMemory | None, block_px: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """`MeansOver` of a phase on the device."""
        means = self._means[block_px]
        means.enqueue(stream, phase, mask)
        means.fetch(stream, with_lit=mask is not None)
        stream.synchronize()
        return means.means_here, None if mask is None else means.lit_here

    def _take_off(self, stream: Stream, coefficients: NDArray[np.float64], phase: DeviceMemory) -> None:
        """To be called when the last call's work is done: it goes up from the same place."""
        self._coefficients_here[:] = coefficients
        stream.upload(self._coefficients_here, self._coefficients)
        self._subtract(stream, self._coefficients, phase)

    def _subtract(self, stream: Stream, coefficients: DeviceMemory, phase: DeviceMemory) -> None:
        terms, height, width = (np.int32(value) for value in (self._background.order + 1, *self._background.shape))
        self._set.launch(stream, "subtract_polynomial", coefficients, terms, phase, height, width)
