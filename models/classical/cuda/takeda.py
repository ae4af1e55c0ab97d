"""Takeda's Fourier-transform method on a GPU: what `models.classical.takeda` does, by kernels and cuFFT."""

from __future__ import annotations

import numpy as np
from qpi_live.camera.device import Device, DeviceMemory, Stream
from qpi_live.models.classical.band_peak import BandPeak
from qpi_live.models.classical.cuda.kernel_set import KernelSet, each_pixel
from qpi_live.models.classical.takeda import TakedaRetriever

_STRONGEST = np.dtype([("place", "<u4"), ("power", "<f4")])  # band_peak's 64 bits, the low ones first


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
        names = ("grey8_to_real", "grey16_to_real", "pass_band", "band_peak", "wrapped_field")
        self._view = plan.view
        beside = self._view.beside
        grids = dict.fromkeys(names, grid) | {"power_beside": each_pixel((1, beside.size))}
        self._set = KernelSet(device, ("takeda.cu",), grids)
        self._transform = device.field_transform(plan.shape)
        self._pixels = np.int32(pixels)
        self._band = tuple(
            np.int32(value) for value in (height, width, plan.axis, plan.first_line, plan.filter.shape[plan.axis])
        )
        self._real, self._field = self._set.allocate(4 * pixels), self._set.allocate(8 * pixels)
        self._half_spectrum = self._set.allocate(8 * height * (width // 2 + 1))
        self._filter, self._reference = self._set.allocate(plan.filter.nbytes), self._set.allocate(4 * pixels)
        self._beside, self._power = self._set.allocate(beside.nbytes), self._set.allocate(4 * beside.size)
        self._strongest = self._set.allocate(_STRONGEST.itemsize)
        self._strongest_here = device.page_locked((1,), _STRONGEST)
        self._power_here = device.page_locked(beside.shape, np.dtype(np.float32))
        stream.upload(np.ascontiguousarray(plan.filter), self._filter)
        stream.upload(beside, self._beside)
        stream.upload(plan.reference_rad, self._reference)
        stream.synchronize()

    def enqueue_grey(self, stream: Stream, grey: DeviceMemory, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> None:
        """Take in an interferogram of `dtype` that lies on the device."""
        self._set.launch(stream, f"grey{8 * dtype.itemsize}_to_real", grey, self._real, self._pixels)

    def enqueue(self, stream: Stream, wrapped: DeviceMemory, amplitude: DeviceMemory) -> None:
        """From what was taken in to wrapped phase and amplitude, (H, W) float32 each, as in `WrappedField`."""
        self._transform.forward(stream, self._real, self._half_spectrum)
        launch, half_spectrum, strongest = self._set.launch, self._half_spectrum, self._strongest
        height, width, axis, _, lines = self._band
        beside = (self._beside, self._power, np.int32(self._power_here.size))
        launch(stream, "power_beside", half_spectrum, *beside, *self._band, strongest)
        launch(stream, "pass_band", half_spectrum, self._filter, self._field, *self._band)
        launch(stream, "band_peak", self._field, strongest, height, width, axis, lines)
        self._transform.inverse(stream, self._field, self._field)
        launch(stream, "wrapped_field", self._field, self._reference, wrapped, amplitude, self._pixels)

    def enqueue_peak(self, stream: Stream) -> None:
        """Fetch what was seen of the pass band, for `peak`."""
        stream.download(self._strongest, self._strongest_here)
        stream.download(self._power, self._power_here)

    @property
    def peak(self) -> BandPeak:
        """The strongest point of the pass band; valid once the work of `enqueue_peak` is done."""
        found = self._strongest_here[0]
        return self._view.peak(int(found["place"]), float(found["power"]), self._power_here)

    def free(self) -> None:
        """Give the device's memory back. Doing it twice is harmless."""
        self._set.free()
