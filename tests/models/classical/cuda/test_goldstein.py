"""The device unwraps as the host does: the same residues, the same cuts, the same field."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.cuda.goldstein import CudaUnwrapper
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts, find_residues, place_cuts
from qpi_live.models.classical.unwrapping.goldstein import Unwrapped, integrate, unwrap

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.phase_maps import MAPS, cells, enclosed, noise, vortex, wrap

TWO_PI = 2 * np.pi
NO_RESIDUES = np.empty((0, 3), np.int32)


@dataclass
class Answer:
    """What the device made of a map."""

    unwrapped: Unwrapped
    cuts: BranchCuts
    residues: int


def unwrapped_by(
    device: Device,
    wrapped: NDArray[np.float32],
    cuts: BranchCuts | None = None,
    amplitude: NDArray[np.float32] | None = None,
) -> Answer:
    """The device's answer, with given cuts or those of least cost."""
    stream = device.stream()
    unwrapper = CudaUnwrapper(device, wrapped.shape)
    stream.upload(wrapped, unwrapper.wrapped)
    stream.upload(np.ones_like(wrapped) if amplitude is None else amplitude, unwrapper.amplitude)
    unwrapper.enqueue(stream)
    unwrapper.enqueue_counts(stream)
    stream.synchronize()
    residues = unwrapper.counts.residues
    if cuts is not None:
        unwrapper.take_cuts(stream, cuts.right, cuts.down)
        unwrapper.enqueue_integration(stream)
        unwrapper.enqueue_counts(stream)
    elif residues:
        unwrapper.cut(stream)
    stream.synchronize()
    mask = None
    if unwrapper.counts.regions > 1:
        unwrapper.join_regions(stream)
        mask = np.empty(wrapped.shape, np.bool_)
        stream.download(unwrapper.disputed, mask)
    phase, right, down = np.empty_like(wrapped), np.zeros(wrapped.shape, np.uint8), np.zeros(wrapped.shape, np.uint8)
    stream.download(unwrapper.phase, phase)
    if cuts is not None or residues:
        stream.download(unwrapper.right, right)
        stream.download(unwrapper.down, down)
    stream.synchronize()
    bright_links = unwrapper.counts.bright_links
    unwrapper.free()
    return Answer(Unwrapped(phase, NO_RESIDUES, mask, bright_links), BranchCuts(right, down), residues)


def assert_same_field(unwrapped: Unwrapped, expected: Unwrapped) -> None:
    """Equal up to one multiple of 2π for the whole frame, with the same pixels disputed."""
    turns = (unwrapped.phase_rad.astype(np.float64) - expected.phase_rad) / TWO_PI
    assert np.ptp(turns) < 1e-4
    assert abs(turns[0, 0] - round(turns[0, 0])) < 1e-4
    assert (unwrapped.disputed_mask is None) == (expected.disputed_mask is None)
    if expected.disputed_mask is not None:
        assert np.array_equal(unwrapped.disputed_mask, expected.disputed_mask)


def crosses_an_open_link(phase_rad: NDArray[np.float32], cuts: BranchCuts) -> bool:
    jump_right = np.abs(np.diff(phase_rad, axis=1)) > np.pi + 1e-3
    jump_down = np.abs(np.diff(phase_rad, axis=0)) > np.pi + 1e-3
    return bool((jump_right & (cuts.right[:, :-1] == 0)).any() or (jump_down & (cuts.down[:-1] == 0)).any())


@pytest.mark.parametrize("name", MAPS)
def test_field_and_cuts_equal_the_hosts(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    expected = unwrap(wrapped)
    answer = unwrapped_by(device, wrapped)
    cuts = place_cuts(expected.residues, wrapped)
    assert answer.residues == len(expected.residues)
    assert answer.unwrapped.bright_cut_links == expected.bright_cut_links
    assert np.array_equal(answer.cuts.right, cuts.right)
    assert np.array_equal(answer.cuts.down, cuts.down)
    assert_same_field(answer.unwrapped, expected)


def test_field_follows_the_amplitude_as_the_hosts_does(device: Device) -> None:
    """With the shade on one side the cut goes there, with the shade on the other it goes the other way."""
    wrapped = wrap(vortex(64.5, 64.5, 1))
    for columns in (slice(0, 64), slice(65, 128)):
        amplitude = np.ones_like(wrapped)
        amplitude[60:70, columns] = 0.02
        answer = unwrapped_by(device, wrapped, amplitude=amplitude)
        assert answer.cuts.down.any(axis=0)[columns].all()
        assert_same_field(answer.unwrapped, unwrap(wrapped, amplitude))


@pytest.mark.parametrize("name", MAPS)
def test_field_with_its_own_cuts_rewraps_and_never_crosses_an_open_link(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    answer = unwrapped_by(device, wrapped)
    turns = (answer.unwrapped.phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-4
    assert not crosses_an_open_link(answer.unwrapped.phase_rad, answer.cuts)


def test_field_without_residues_equals_the_true_phase_up_to_one_multiple(device: Device) -> None:
    difference = unwrapped_by(device, wrap(cells())).unwrapped.phase_rad - cells()
    assert np.ptp(difference) < 1e-4
    assert abs(difference.mean() / TWO_PI - round(difference.mean() / TWO_PI)) < 1e-4


def test_border_pixels_are_unwrapped_like_any_other(device: Device) -> None:
    y, x = np.mgrid[:100, :110]
    true = 0.3 * y - 0.25 * x
    difference = unwrapped_by(device, wrap(true)).unwrapped.phase_rad - true
    assert np.ptp(difference) < 1e-4


def test_island_that_cuts_enclose_is_marked_and_gets_the_multiple_its_border_supports(device: Device) -> None:
    wrapped, inside = enclosed(0)
    cuts = place_cuts(NO_RESIDUES, wrapped)
    cuts.right[:, :-1][inside[:, 1:] != inside[:, :-1]] = 1
    cuts.down[:-1][inside[1:] != inside[:-1]] = 1
    answer = unwrapped_by(device, wrapped, cuts)
    assert answer.unwrapped.disputed_mask is not None
    assert (answer.unwrapped.disputed_mask == inside).all()
    assert_same_field(answer.unwrapped, integrate(wrapped, NO_RESIDUES, cuts, RowBands(96)))


def test_islands_in_a_random_maze_equal_the_hosts(device: Device) -> None:
    """Half of all links blocked at random: thousands of regions, joined in the same order by the same rule."""
    rng = np.random.default_rng(7)
    wrapped = wrap(0.02 * np.arange(150)[:, None] * np.arange(170)[None, :] / 10)
    cuts = BranchCuts(*((rng.random(wrapped.shape) < 0.55).astype(np.uint8) for _ in range(2)))
    cuts.right[:, -1], cuts.down[-1] = 0, 0
    expected = integrate(wrapped, NO_RESIDUES, cuts, RowBands(150))
    assert expected.disputed_pixels > 5000
    assert_same_field(unwrapped_by(device, wrapped, cuts).unwrapped, expected)


def test_every_order_of_threads_and_blocks_gives_the_very_same_answer() -> None:
    needs_compiler()
    wrapped = noise(1, (150, 161))
    answers = [
        unwrapped_by(device, wrapped)
        for device in (HostDevice(), HostDevice("backward"), HostDevice("scattered"), HostDevice(threads=3, lazy=True))
    ]
    for answer in answers[1:]:
        assert np.array_equal(answer.unwrapped.phase_rad, answers[0].unwrapped.phase_rad)
        assert np.array_equal(answer.cuts.right, answers[0].cuts.right)
        assert np.array_equal(answer.cuts.down, answers[0].cuts.down)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), height=st.integers(2, 40), width=st.integers(2, 40), sigma_rad=st.floats(0, 3))
def test_random_maps_of_any_shape_keep_every_promise(seed: int, height: int, width: int, sigma_rad: float) -> None:
    needs_compiler()
    wrapped = wrap(np.random.default_rng(seed).normal(0, sigma_rad, (height, width)))
    answer = unwrapped_by(HostDevice(), wrapped)
    residues = find_residues(wrapped, RowBands(height))
    assert answer.residues == len(residues)
    assert not crosses_an_open_link(answer.unwrapped.phase_rad, answer.cuts)
    cuts = answer.cuts if len(residues) else None
    assert_same_field(answer.unwrapped, integrate(wrapped, residues, cuts, RowBands(height)))
