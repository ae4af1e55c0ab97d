"""The device retrieves what the host retrieves, for every carrier direction, parity of size and depth."""

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.cuda.takeda import CudaRetriever
from qpi_live.models.classical.takeda import TakedaRetriever, WrappedField

from tests.models.fringes import SHAPE, bump, interferogram

CARRIERS = [
    (0.21, 0.26),
    (0.26, 0.21),
    (0.0, 0.25),
    (0.0, -0.25),
    (0.25, 0.0),
    (-0.2, 0.15),
    (0.2, -0.24),
    (0.45, -0.35),
    (-0.3, -0.4),
]


def retrieved(device: Device, plan: TakedaRetriever, pixels: Pixels) -> WrappedField:
    stream = device.stream()
    retriever = CudaRetriever(device, plan, stream)
    grey = device.allocate(pixels.nbytes)
    wrapped, amplitude = device.allocate(4 * pixels.size), device.allocate(4 * pixels.size)
    stream.upload(pixels, grey)
    retriever.enqueue_grey(stream, grey, pixels.dtype)
    retriever.enqueue(stream, wrapped, amplitude)
    retriever.enqueue_peak(stream)
    phase_rad, amplitude_here = np.empty(plan.shape, np.float32), np.empty(plan.shape, np.float32)
    stream.download(wrapped, phase_rad)
    stream.download(amplitude, amplitude_here)
    stream.synchronize()
    result = WrappedField(phase_rad, amplitude_here, retriever.peak)
    for piece in (retriever, grey, wrapped, amplitude):
        piece.free()
    return result


def largest_difference_rad(plan: TakedaRetriever, pixels: Pixels, wrapped: NDArray[np.float32]) -> float:
    """Weighted by the field's amplitude, since rounding turns the phase of a weak field further."""
    difference = np.abs(np.angle(np.exp(1j * (wrapped.astype(np.float64) - plan.wrapped_phase(pixels)))))
    amplitude = np.abs(plan.field(pixels))
    return float((difference * amplitude / np.median(amplitude)).max())


@pytest.mark.parametrize("shape", [(256, 320), (255, 320), (256, 319), (253, 317)])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_wrapped_phase_equals_the_hosts(device: Device, carrier: tuple[float, float], shape: tuple[int, int]) -> None:
    pixels = interferogram(bump(shape), carrier)
    plan = TakedaRetriever(shape, Carrier(*carrier))
    field = retrieved(device, plan, pixels)
    wrapped = field.phase_rad
    assert np.abs(wrapped).max() <= np.float32(np.pi) + 1e-5
    assert largest_difference_rad(plan, pixels, wrapped) < 1e-5
    expected = plan.wrapped_field(pixels)
    assert np.allclose(field.amplitude, expected.amplitude, rtol=1e-3, atol=1e-2)
    assert (field.peak.fy, field.peak.fx) == (expected.peak.fy, expected.peak.fx)
    assert field.peak.strength == pytest.approx(expected.peak.strength, rel=1e-3)


@pytest.mark.parametrize("bit_depth", [10, 12, 16])
def test_wrapped_phase_of_deeper_pixels_equals_the_hosts(device: Device, bit_depth: int) -> None:
    pixels = interferogram(bump(), bit_depth=bit_depth)
    assert pixels.dtype == np.uint16
    plan = TakedaRetriever(SHAPE, Carrier(0.21, 0.26))
    assert largest_difference_rad(plan, pixels, retrieved(device, plan, pixels).phase_rad) < 1e-5


def test_wrapped_phase_with_a_calibration_frame_equals_the_hosts(device: Device) -> None:
    y, x = np.mgrid[-1:1:256j, -1:1:320j]
    aberration = 9 * (x**2 + y**2) + 4 * x * y + 3 * x**3
    plan = TakedaRetriever(SHAPE, Carrier(0.21, 0.26))
    plan.use_calibration(interferogram(aberration, seed=1))
    pixels = interferogram(bump() + aberration, seed=2)
    assert largest_difference_rad(plan, pixels, retrieved(device, plan, pixels).phase_rad) < 1e-5
