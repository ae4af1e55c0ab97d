"""The device finds and takes off what the host does."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.models.classical.aberration import Aberration, MeansOver, block_means
from qpi_live.models.classical.background import BackgroundFit, FittedFirst
from qpi_live.models.classical.cuda.background import CudaBackground

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.fringes import bump

Phase = NDArray[np.float32]


def curved(shape: tuple[int, int], seed: int = 0) -> Phase:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    noise = np.random.default_rng(seed).normal(0, 0.05, shape)
    return (bump(shape) + 9 * x**2 - 6 * x * y + 4 * y**3 - 30 + noise).astype(np.float32)


def stepped(shape: tuple[int, int]) -> Phase:
    """An etched target: two levels of ground, a tilt and noise."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    noise = np.random.default_rng(3).normal(0, 0.02, shape)
    return (2.5 * (x > 0.2) + 3 * y - 2 * x + x**2 + noise).astype(np.float32)


def crowded(shape: tuple[int, int]) -> Phase:
    """Cells over two thirds of the frame, on one side."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    cells = 3 * np.abs(np.sin(9 * x + 2 * y) * np.cos(8 * y)) * (x < 0.3)
    return (cells + 2 * x * y + y**2 + np.random.default_rng(5).normal(0, 0.03, shape)).astype(np.float32)


@contextmanager
def on_device(device: Device, phase: Phase, mask: NDArray[np.bool_] | None = None) -> Iterator[tuple]:
    stream, memory = device.stream(), device.allocate(phase.nbytes)
    masked = None if mask is None else device.allocate(mask.nbytes)
    stream.upload(phase, memory)
    if mask is not None and masked is not None:
        stream.upload(mask, masked)
    try:
        yield stream, memory, masked
    finally:
        memory.free()
        if masked is not None:
            masked.free()


class Noted(FittedFirst):
    """Takes the polynomial and notes how much of the frame lies near it."""

    awaits_fit = True
    near_share = np.nan

    def _found(self, means_rad: Phase, lit: NDArray[np.bool_] | None) -> Aberration:
        return self.polynomial.fit(means_rad, lit)

    def found_beside(
        self, fitted: Aberration, near_share: float, means_over: MeansOver, ground: NDArray[np.bool_] | None = None
    ) -> Aberration:
        self.near_share = near_share
        return fitted


def levelled_there(
    device: Device, phase: Phase, order: int, mask: NDArray[np.bool_] | None = None
) -> tuple[Phase, Aberration, float]:
    after, noted = np.empty_like(phase), Noted(BackgroundFit(phase.shape, order))
    with on_device(device, phase, mask) as (stream, memory, masked):
        background = CudaBackground(device, noted, stream)
        background.enqueue(stream, memory, masked)
        background.enqueue_found(stream)
        stream.download(memory, after)
        stream.synchronize()
        found, _ = background.settle(stream, memory, masked)
        background.free()
    return after, found, noted.near_share


def assert_levels_as_the_host(
    device: Device, phase: Phase, order: int, mask: NDArray[np.bool_] | None = None
) -> Aberration:
    """The device's background is the host's, as exactly as the host's own is known: to what 0.1 mrad of noise changes.

    A round more, or a block that begins to count as ground, changes a robust fit by up to its last step.
    """
    after, found, near_share = levelled_there(device, phase, order, mask)
    assert near_share == pytest.approx(near_share_here(phase, order, found, mask), abs=5e-3)
    taken, expected = levelled_here(phase, order, mask)
    lit = slice(None) if mask is None or mask.all() else ~mask
    orders, own_rad = {expected.order}, 0.0
    for seed in range(6):
        moved = phase + np.random.default_rng(seed).normal(0, 1e-4, phase.shape).astype(np.float32)
        others_taken, other = levelled_here(moved, order, mask)
        orders.add(other.order)
        own_rad = max(own_rad, float(np.abs(others_taken - taken)[lit].max()))
    assert found.order in orders
    assert np.abs(phase - after - taken)[lit].max() < 1e-3 + 1.5 * own_rad
    if len(orders) == 1:
        assert found.is_bent == expected.is_bent
        assert found.spread_rad == pytest.approx(expected.spread_rad, rel=3e-2, abs=2e-4)
    assert found.coefficients.shape == expected.coefficients.shape
    return found


def near_share_here(phase: Phase, order: int, found: Aberration, mask: NDArray[np.bool_] | None) -> float:
    fit = BackgroundFit(phase.shape, order)
    return fit.near_share(*block_means(phase, fit.block_px, mask), found)


def levelled_here(phase: Phase, order: int, mask: NDArray[np.bool_] | None) -> tuple[Phase, Aberration]:
    after = phase.copy()
    found = BackgroundFit(phase.shape, order).remove(after, mask)
    return phase - after, found


@pytest.mark.parametrize("order", [0, 1, 4, 6])
@pytest.mark.parametrize("shape", [(256, 320), (200, 210), (64, 64), (513, 1030), (2000, 64), (65, 1999)])
def test_removal_equals_the_hosts(device: Device, shape: tuple[int, int], order: int) -> None:
    assert_levels_as_the_host(device, curved(shape), order)


@pytest.mark.parametrize("make", [stepped, crowded])
def test_ground_on_two_levels_and_between_cells_is_found_as_on_the_host(device: Device, make) -> None:
    phase = make((512, 600))
    for order in (1, 4):
        assert_levels_as_the_host(device, phase, order)


def test_bent_ground_is_said_where_only_a_tilt_may_go(device: Device) -> None:
    _, x = np.mgrid[-1:1:256j, -1:1:256j]
    bent = (2 * x**2 + np.random.default_rng(0).normal(0, 0.02, (256, 256))).astype(np.float32)
    assert assert_levels_as_the_host(device, bent, 1).is_bent
    assert not assert_levels_as_the_host(device, (bent - 2 * x**2).astype(np.float32), 1).is_bent


@pytest.mark.parametrize("radius_px", [0, 12, 30, 90, 128])
def test_masked_pixels_do_not_count(device: Device, radius_px: int) -> None:
    """From nothing lit to a round field: fewer blocks support lower orders."""
    phase, (y, x) = curved((256, 256)), np.mgrid[:256, :256]
    mask = np.hypot(y - 128, x - 128) >= radius_px
    phase[mask] = np.random.default_rng(1).uniform(-90, 90, int(mask.sum())).astype(np.float32)
    found = assert_levels_as_the_host(device, phase, 4, mask)
    assert (found.order == 0) == (radius_px < 60)


def test_more_blocks_than_one_block_of_threads_sorts_in_its_own_memory_are_fitted_too(device: Device) -> None:
    assert_levels_as_the_host(device, curved((1200, 1920)), 4)


def test_every_order_of_threads_gives_the_very_same_polynomial() -> None:
    needs_compiler()
    phase = crowded((200, 300))
    devices = (HostDevice(), HostDevice("backward"), HostDevice("scattered"), HostDevice(threads=3, lazy=True))
    first, *others = (levelled_there(device, phase, 4)[1] for device in devices)
    for other in others:
        assert np.array_equal(first.coefficients, other.coefficients)


def test_background_that_the_host_finds_comes_off_as_there(device: Device) -> None:
    """As for a network's background, or where a person says what is ground."""
    phase = curved((256, 320))
    ground, mask = np.zeros(phase.shape, np.bool_), np.zeros(phase.shape, np.bool_)
    ground[:60, :200], mask[:, 300:] = True, True
    after = np.empty_like(phase)
    with on_device(device, phase, mask) as (stream, memory, masked):
        background = CudaBackground(device, BackgroundFit(phase.shape), stream)
        aberration = background.remove(stream, memory, masked, ground)
        stream.download(memory, after)
        stream.synchronize()
        background.free()
    here = phase.copy()
    expected = BackgroundFit(phase.shape).remove(here, mask, ground)
    assert np.allclose(aberration.coefficients, expected.coefficients, atol=1e-5)
    assert np.abs(after - here).max() < 1e-4
