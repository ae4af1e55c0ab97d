"""The device unwraps as the host does: the same residues, cuts no longer than its, the same field for the same cuts."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.branch_cuts import BranchCuts, find_residues, place_cuts
from qpi_live.models.classical.cuda.goldstein import CudaUnwrapper
from qpi_live.models.classical.goldstein import Unwrapped, integrate, unwrap

from tests.cuda_host import HostDevice, needs_compiler
from tests.models.phase_maps import MAPS, cells, enclosed, noise, noisy, speckle, vortex, wrap

TWO_PI = 2 * np.pi
NOISY = {"mild": noisy(0.8), "strong": noisy(1.0), "speckle": speckle(), "pure": noise(3, (300, 310))}
NO_RESIDUES = np.empty((0, 3), np.int32)


@dataclass
class Answer:
    """What the device made of a map."""

    unwrapped: Unwrapped
    cuts: BranchCuts


def unwrapped_by(device: Device, wrapped: NDArray[np.float32], cuts: BranchCuts | None = None) -> Answer:
    """The device's answer, with given cuts or its own."""
    stream = device.stream()
    unwrapper = CudaUnwrapper(device, wrapped.shape)
    stream.upload(wrapped, unwrapper.wrapped)
    if cuts is None:
        unwrapper.enqueue(stream)
    else:
        unwrapper.take_cuts(stream, cuts)
        unwrapper.enqueue_integration(stream)
    unwrapper.enqueue_counts(stream)
    stream.synchronize()
    mask = None
    if unwrapper.counts.regions > 1:
        unwrapper.join_regions(stream)
        mask = np.empty(wrapped.shape, np.bool_)
        stream.download(unwrapper.disputed, mask)
    phase, right, down = np.empty_like(wrapped), np.empty(wrapped.shape, np.uint8), np.empty(wrapped.shape, np.uint8)
    for source, target in ((unwrapper.phase, phase), (unwrapper.right, right), (unwrapper.down, down)):
        stream.download(source, target)
    residues = unwrapper.residues(stream)
    unwrapper.free()
    return Answer(Unwrapped(phase, residues, mask), BranchCuts(right, down))


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
def test_residues_equal_the_hosts_in_their_order(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    found = unwrapped_by(device, wrapped).unwrapped.residues
    assert np.array_equal(found, find_residues(wrapped, RowBands(wrapped.shape[0])))


@pytest.mark.parametrize("name", MAPS)
def test_field_with_the_hosts_cuts_equals_the_hosts_field(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    expected = unwrap(wrapped)
    cuts = place_cuts(expected.residues, wrapped.shape)
    assert_same_field(unwrapped_by(device, wrapped, cuts).unwrapped, expected)


@pytest.mark.parametrize("name", MAPS)
def test_field_with_its_own_cuts_rewraps_and_never_crosses_an_open_link(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    answer = unwrapped_by(device, wrapped)
    turns = (answer.unwrapped.phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-4
    assert not crosses_an_open_link(answer.unwrapped.phase_rad, answer.cuts)


@pytest.mark.parametrize("name", MAPS)
def test_field_equals_the_hosts_integration_over_the_devices_cuts(device: Device, name: str) -> None:
    wrapped = MAPS[name]()
    answer = unwrapped_by(device, wrapped)
    residues = answer.unwrapped.residues
    cuts = answer.cuts if len(residues) else None
    assert_same_field(answer.unwrapped, integrate(wrapped, residues, cuts, RowBands(wrapped.shape[0])))


@pytest.mark.parametrize("wrapped", NOISY.values(), ids=NOISY)
def test_cuts_block_no_more_links_than_the_hosts(device: Device, wrapped: NDArray[np.float32]) -> None:
    answer = unwrapped_by(device, wrapped)
    hosts = place_cuts(answer.unwrapped.residues, wrapped.shape)
    blocked = int(answer.cuts.right.sum()) + int(answer.cuts.down.sum())
    assert blocked <= 1.02 * (int(hosts.right.sum()) + int(hosts.down.sum()))


@pytest.mark.parametrize("sigma_rad", [0.8, 1.0])
def test_field_of_a_known_phase_in_noise_is_no_more_often_wrong_than_the_hosts(
    device: Device, sigma_rad: float
) -> None:
    noise_rad = np.random.default_rng(5).normal(0, sigma_rad, cells().shape)
    wrapped, true = wrap(cells() + noise_rad), cells() + noise_rad

    def wrong_share(phase_rad: NDArray[np.float32]) -> float:
        turns = np.rint((phase_rad - true) / TWO_PI)
        return float(np.mean(turns != np.median(turns)))

    assert wrong_share(unwrapped_by(device, wrapped).unwrapped.phase_rad) < 1.1 * wrong_share(unwrap(wrapped).phase_rad)


def test_field_without_residues_equals_the_true_phase_up_to_one_multiple(device: Device) -> None:
    difference = unwrapped_by(device, wrap(cells())).unwrapped.phase_rad - cells()
    assert np.ptp(difference) < 1e-4
    assert abs(difference.mean() / TWO_PI - round(difference.mean() / TWO_PI)) < 1e-4


def test_cuts_of_a_dipole_join_its_residues_only(device: Device) -> None:
    answer = unwrapped_by(device, wrap(vortex(60.5, 50.5, 1) + vortex(60.5, 58.5, -1)))
    assert answer.cuts.right.sum() == 0
    assert np.flatnonzero(answer.cuts.down[60]).tolist() == list(range(51, 59))
    assert answer.cuts.down.sum() == 8


@pytest.mark.parametrize(
    ("y", "x"), [(20.5, 64.5), (64.5, 20.5), (107.5, 64.5), (64.5, 107.5), (0.5, 64.5), (126.5, 2.5)]
)
def test_cuts_of_a_lone_residue_equal_the_hosts_to_the_nearest_border(device: Device, y: float, x: float) -> None:
    wrapped = wrap(vortex(y, x, 1))
    answer = unwrapped_by(device, wrapped)
    expected = place_cuts(answer.unwrapped.residues, wrapped.shape)
    assert len(answer.unwrapped.residues) == 1
    assert np.array_equal(answer.cuts.right, expected.right)
    assert np.array_equal(answer.cuts.down, expected.down)


def test_cuts_of_residues_further_apart_than_the_near_search_join_the_closest(device: Device) -> None:
    """+ at 40, − at 60, + at 90 on one row: the first two are closest, and the third is left to the border."""
    wrapped = wrap(vortex(64.5, 40.5, 1) + vortex(64.5, 60.5, -1) + vortex(64.5, 90.5, 1))
    answer = unwrapped_by(device, wrapped)
    assert np.flatnonzero(answer.cuts.down[64]).tolist() == [*range(41, 61), *range(91, 128)]


@pytest.mark.parametrize(("to_border", "apart"), [(2, 2), (2, 3), (6, 6), (6, 7), (20, 20), (20, 21)])
def test_cuts_prefer_a_partner_to_the_border_where_both_are_as_near(device: Device, to_border: int, apart: int) -> None:
    y = to_border - 0.5
    wrapped = wrap(vortex(y, 60.5, 1) + vortex(y, 60.5 + apart, -1))
    answer = unwrapped_by(device, wrapped)
    assert answer.unwrapped.residues[:, 0].tolist() == [to_border - 1] * 2
    expected = place_cuts(answer.unwrapped.residues, wrapped.shape)
    assert answer.cuts.right.any() == (apart > to_border)
    assert np.array_equal(answer.cuts.right, expected.right)
    assert np.array_equal(answer.cuts.down, expected.down)


def test_border_pixels_are_unwrapped_like_any_other(device: Device) -> None:
    y, x = np.mgrid[:100, :110]
    true = 0.3 * y - 0.25 * x
    difference = unwrapped_by(device, wrap(true)).unwrapped.phase_rad - true
    assert np.ptp(difference) < 1e-4


def test_island_that_cuts_enclose_is_marked_and_gets_the_multiple_its_border_supports(device: Device) -> None:
    wrapped, inside = enclosed(0)
    cuts = place_cuts(NO_RESIDUES, wrapped.shape)
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
    assert np.array_equal(answer.unwrapped.residues, residues)
    assert not crosses_an_open_link(answer.unwrapped.phase_rad, answer.cuts)
    cuts = answer.cuts if len(residues) else None
    assert_same_field(answer.unwrapped, integrate(wrapped, residues, cuts, RowBands(height)))
