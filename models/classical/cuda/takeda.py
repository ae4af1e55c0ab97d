"""Takeda's Fourier-transform method on a GPU: what `models.classical.takeda` does, by kernels and cuFFT."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_pixel
from qpi_live.models.classical.takeda import TakedaRetriever


class CudaRetriever:
    """Wrapped phase on a device, by the pass band and the reference of a `TakedaRetriever`.

    The transform is the whole one in both axes: on a GPU that is cheaper than saying which lines may be left out.

    Args:
        device: where.
        plan: what to do; what it subtracts now is subtracted from then on.
        stream: on which the filter and the reference go up; they are there when this returns.

    Raises:
        DeviceOutOfMemory: there are no 21 bytes a pixel.
    """

    def __init__(self, device: Device, plan: TakedaRetriever, stream: Stream) -> None:
        height, width = plan.shape
        pixels = height * width
        grid = each_pixel(plan.shape)
        names = ("grey8_to_real", "grey16_to_real", "pass_band", "wrapped_field")
        self._set = KernelSet(device, ("takeda.cu",), dict.fromkeys(names, grid))
        self._transform = device.field_transform(plan.shape)
        self._pixels = np.int32(pixels)
        self._band = tuple(
            np.int32(value) for value in (height, width, plan.axis, plan.first_line, plan.filter.shape[plan.axis])
        )
        self._real, self._field = self._set.allocate(4 * pixels), self._set.allocate(8 * pixels)
        self._half_spectrum = self._set.allocate(8 * height * (width // 2 + 1))
        self._filter, self._reference = self._set.allocate(plan.filter.nbytes), self._set.allocate(4 * pixels)
        stream.upload(np.ascontiguousarray(plan.filter), self._filter)
        stream.upload(plan.reference_rad, self._reference)
        stream.synchronize()

    def enqueue_grey(self, stream: Stream, grey: DeviceMemory, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> None:
        """Take in an interferogram of `dtype` that lies on the device."""
        self._set.launch(stream, f"grey{8 * dtype.itemsize}_to_real", grey, self._real, self._pixels)

    def enqueue(self, stream: Stream, wrapped: DeviceMemory, amplitude: DeviceMemory) -> None:
        """From what was taken in to wrapped phase and amplitude, (H, W) float32 each, as in `WrappedField`."""
        self._transform.forward(stream, self._real, self._half_spectrum)
        self._set.launch(stream, "pass_band", self._half_spectrum, self._filter, self._field, *self._band)
        self._transform.inverse(stream, self._field, self._field)
        self._set.launch(stream, "wrapped_field", self._field, self._reference, wrapped, amplitude, self._pixels)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
