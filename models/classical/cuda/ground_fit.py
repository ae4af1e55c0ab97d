"""Fitting a `BackgroundFit` on a GPU, to the same block means as on the host, by kernels."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.device import Device, DeviceMemory, KernelArgument, Stream
from qpi_live.models.classical.aberration import Aberration
from qpi_live.models.classical.background import NEAR_RAD, BackgroundFit
from qpi_live.models.classical.cuda.kernel_set import KernelSet
from qpi_live.models.classical.polynomial import legendre_at, powers_of_legendre

_BLOCK = (256, 1, 1)  # block_threads in block.cuh
_POWERS, _TERMS, _PAIRS, _PARTS = 7, 28, 28, 2  # most_… in least_squares.cuh
_GROUND = np.dtype(
    [
        ("coefficients", "<f8", _POWERS**2),
        ("spread_rad", "<f8"),
        ("near_share", "<f8"),
        ("order", "<i4"),
        ("is_bent", "<i4"),
    ]
)  # Ground in ground_fit.cu
_TRIALS_BYTES = 8 * (2 * _POWERS * _TERMS + _POWERS) + 16  # Trials there


class CudaGroundFit:
    """Fits the polynomial of a `BackgroundFit` to block means that lie on a device.

    Attributes:
        coefficients: on the device, (order + 1, order + 1) float64 of y^i x^j, as in `Aberration`.

    Args:
        device: where.
        fit: what to fit.
        stream: on which tables go up; they are there when this returns.

    Raises:
        DeviceOutOfMemory: there is no memory for it, some 200 bytes a block.
    """

    def __init__(self, device: Device, fit: BackgroundFit, stream: Stream) -> None:
        tables = [np.ascontiguousarray(legendre_at(at, fit.tried), np.float32) for at in fit.at]
        rows, columns = (len(at) for at in fit.at)
        one = (1, 1, 1), _BLOCK
        orders = (fit.tried + 1, 1, 1), _BLOCK
        self._set = KernelSet(device, ("ground_fit.cu",), {"lay_ground": one, "try_orders": orders, "fit_ground": one})
        self._order = fit.order
        each = _working_floats(rows, columns)
        self._sizes = tuple(np.int32(size) for size in (rows, columns, fit.tried + 1, fit.order))
        self._each = np.int32(each)
        allocate = self._set.allocate
        self._memory = allocate(4 * each * (fit.tried + 1))
        self._level_means = allocate(4 * rows * columns)
        self._trials = allocate(_TRIALS_BYTES)
        self.coefficients = allocate(_GROUND.itemsize)
        self._ground_here = device.page_locked((1,), _GROUND)
        legendre = powers_of_legendre(fit.order)
        self._at_y, self._at_x = (allocate(table.nbytes) for table in tables)
        self._legendre = allocate(legendre.nbytes)
        stream.upload(tables[0], self._at_y)
        stream.upload(tables[1], self._at_x)
        stream.upload(legendre, self._legendre)
        stream.synchronize()

    def enqueue(self, stream: Stream, means: DeviceMemory, lit: DeviceMemory) -> None:
        """Fit to `means`, (rows, columns) float32 in rad, of the blocks where `lit`, likewise uint8, is not 0."""
        launch, trials = self._set.launch, self._trials
        shared: tuple[KernelArgument, ...] = (lit, self._at_y, self._at_x, *self._sizes)
        memory: tuple[KernelArgument, ...] = (self._memory, self._each)
        launch(stream, "lay_ground", means, *shared, *memory, self._level_means, trials)
        launch(stream, "try_orders", self._level_means, *shared, *memory, trials)
        last: tuple[KernelArgument, ...] = (self._legendre, np.float32(NEAR_RAD), *memory, trials, self.coefficients)
        launch(stream, "fit_ground", means, self._level_means, *shared, *last)

    def enqueue_found(self, stream: Stream) -> None:
        """Fetch what was found, for `found`."""
        stream.download(self.coefficients, self._ground_here)

    @property
    def found(self) -> Aberration:
        """What was fitted; valid once the work of `enqueue_found` is done."""
        found, side = self._ground_here[0], self._order + 1
        coefficients = found["coefficients"][: side**2].reshape(side, side).copy()
        return Aberration(coefficients, int(found["order"]), float(found["spread_rad"]), is_bent=bool(found["is_bent"]))

    @property
    def near_share(self) -> float:
        """What `BackgroundFit.near_share` says of `found`; valid when that is."""
        return float(self._ground_here[0]["near_share"])

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()


def _working_floats(rows: int, columns: int) -> int:
    """What `share_of_memory` in ground_fit.cu takes."""
    blocks = rows * columns
    padded = 1 << (blocks - 1).bit_length()
    return 4 * blocks + padded + (_PAIRS + _POWERS) * rows + _PARTS * _POWERS * (rows + columns)
