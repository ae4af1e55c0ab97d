"""The device takes off what the host takes off."""

import numpy as np
import pytest
from qpi_live.camera.device import Device
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.cuda.background import CudaBackground

from tests.models.fringes import bump


@pytest.mark.parametrize("order", [0, 1, 4, 6])
@pytest.mark.parametrize("shape", [(256, 320), (200, 210), (64, 64), (513, 1030), (2000, 64)])
def test_removal_equals_the_hosts(device: Device, shape: tuple[int, int], order: int) -> None:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    noise = np.random.default_rng(0).normal(0, 0.05, shape)
    before = (bump(shape) + 9 * x**2 - 6 * x * y + 4 * y**3 - 30 + noise).astype(np.float32)
    stream = device.stream()
    background = CudaBackground(device, BackgroundFit(shape, order))
    phase, after = device.allocate(before.nbytes), np.empty_like(before)
    stream.upload(before, phase)
    background.enqueue_means(stream, phase)
    stream.synchronize()
    background.enqueue_removal(stream, phase)
    stream.download(phase, after)
    stream.synchronize()
    phase.free()
    background.free()
    expected = before.copy()
    BackgroundFit(shape, order).remove(expected)
    assert np.abs(after - expected).max() < 1e-4
