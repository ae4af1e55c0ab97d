"""Unwrapping, tested by what it must keep: rewrapping, exactness without residues, and never crossing a cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.unwrapping import cut_pairing
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts, find_residues, place_cuts
from qpi_live.models.classical.unwrapping.goldstein import integrate, unwrap
from scipy.ndimage import gaussian_filter
from skimage.restoration import unwrap_phase

from tests.models.classical.unwrapping.exact_cuts import cost_of, least_cost
from tests.models.phase_maps import MAPS, cells, enclosed, noise, vortex, wrap

TWO_PI = 2 * np.pi


def crosses_an_open_link(phase_rad: NDArray[np.float32], cuts: BranchCuts) -> bool:
    jump_right = np.abs(np.diff(phase_rad, axis=1)) > np.pi + 1e-3
    jump_down = np.abs(np.diff(phase_rad, axis=0)) > np.pi + 1e-3
    return bool((jump_right & (cuts.right[:, :-1] == 0)).any() or (jump_down & (cuts.down[:-1] == 0)).any())


@pytest.mark.parametrize("name", MAPS)
def test_unwrap_any_map_rewraps_to_the_wrapped_phase(name: str) -> None:
    wrapped = MAPS[name]()
    turns = (unwrap(wrapped).phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_unwrap_without_residues_equals_the_true_phase_up_to_one_multiple(threads: int) -> None:
    result = unwrap(wrap(cells()), bands=RowBands(cells().shape[0], threads))
    difference = result.phase_rad - cells()
    assert len(result.residues) == 0
    assert result.disputed_mask is None
    assert np.ptp(difference) < 1e-4
    assert abs(difference.mean() / TWO_PI - round(difference.mean() / TWO_PI)) < 1e-4


def test_unwrap_without_residues_equals_scikit_image_up_to_one_multiple() -> None:
    wrapped = wrap(cells() * 0.9 + 0.02 * np.random.default_rng(3).normal(size=cells().shape))
    difference = unwrap(wrapped).phase_rad - unwrap_phase(wrapped)
    assert np.ptp(difference) < 1e-4


@pytest.mark.parametrize("name", MAPS)
def test_unwrap_never_crosses_an_open_link_with_a_jump(name: str) -> None:
    wrapped = MAPS[name]()
    result = unwrap(wrapped)
    cuts = place_cuts(result.residues, wrapped)
    jump_right = np.abs(np.diff(result.phase_rad, axis=1)) > np.pi + 1e-3
    jump_down = np.abs(np.diff(result.phase_rad, axis=0)) > np.pi + 1e-3
    assert not (jump_right & (cuts.right[:, :-1] == 0)).any()
    assert not (jump_down & (cuts.down[:-1] == 0)).any()


@pytest.mark.parametrize("name", MAPS)
def test_residues_equal_those_counted_loop_by_loop(name: str) -> None:
    wrapped = MAPS[name]().astype(np.float64)
    corners = [wrapped[:-1, :-1], wrapped[:-1, 1:], wrapped[1:, 1:], wrapped[1:, :-1]]
    steps = [corners[(i + 1) % 4] - corners[i] for i in range(4)]
    circulation = sum(step - TWO_PI * np.rint(step / TWO_PI) for step in steps)
    # The loop's sum of wrapped steps is −2π times the turns that were taken out of it.
    charge = -np.rint(circulation / TWO_PI).astype(int)
    y, x = np.nonzero(charge)
    found = find_residues(wrapped.astype(np.float32), RowBands(wrapped.shape[0], 3))
    assert found.tolist() == np.stack([y, x, charge[y, x]], axis=1).tolist()


@pytest.mark.parametrize("name", MAPS)
def test_cuts_leave_no_loop_with_a_residue(name: str) -> None:
    """Every residue's corner touches a cut: a loop of four open links around it would gain a turn."""
    wrapped = MAPS[name]()
    residues = find_residues(wrapped, RowBands(wrapped.shape[0]))
    cuts = place_cuts(residues, wrapped)
    y, x = residues[:, 0], residues[:, 1]
    blocked = cuts.right[y, x] + cuts.right[y + 1, x] + cuts.down[y, x] + cuts.down[y, x + 1]
    assert (blocked > 0).all()


def test_cuts_of_a_dipole_join_its_residues_only() -> None:
    wrapped = wrap(vortex(60.5, 50.5, 1) + vortex(60.5, 58.5, -1))
    result = unwrap(wrapped)
    assert result.residues[:, :2].tolist() == [[60, 50], [60, 58]]
    assert result.residues[:, 2].sum() == 0
    cuts = place_cuts(result.residues, wrapped)
    assert cuts.right.sum() == 0
    assert np.flatnonzero(cuts.down[60]).tolist() == list(range(51, 59))


def test_cuts_of_a_lone_residue_lead_to_the_border_on_the_darkest_way() -> None:
    """The top is near, but bright; a dark lane leads down."""
    wrapped = wrap(vortex(20.5, 64.5, 1))
    residues = find_residues(wrapped, RowBands(128))
    amplitude = np.ones(wrapped.shape, np.float32)
    assert residues[:, :2].tolist() == [[20, 64]]
    bright = place_cuts(residues, wrapped, amplitude)
    assert bright.right[:21].any()
    assert not bright.right[21:].any()
    amplitude[21:, 60:70] = 0.01
    dark = place_cuts(residues, wrapped, amplitude)
    assert np.flatnonzero(dark.right.any(axis=1)).tolist() == list(range(21, 128))
    assert dark.bright_links == 0 < bright.bright_links


def speckled(seed: int, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Wrapped phase and amplitude of a bright field with dark, decorrelated spots."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(2, *shape)), (0, 1.2, 1.2))
    field = 1 + 0.3 * rng.random() + 4 * (noise[0] + 1j * noise[1])
    field = field * np.exp(2j * gaussian_filter(rng.normal(size=shape), 12) * 12)
    return np.angle(field).astype(np.float32), np.abs(field).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_cuts_cost_no_more_than_the_exact_assignment(seed: int) -> None:
    wrapped, amplitude = speckled(seed, (90 + 7 * seed, 110 - 5 * seed))
    residues = find_residues(wrapped, RowBands(len(wrapped)))
    assert len(residues) > 40
    cuts = place_cuts(residues, wrapped, amplitude)
    assert cuts.are_cheapest
    # Prices are rounded to 1/63; two cuts that share a link cost it once.
    assert cost_of(cuts, wrapped, amplitude) <= 1.02 * least_cost(residues, wrapped, amplitude)


def test_cuts_of_pure_noise_come_in_bounded_time_and_balance_everything() -> None:
    wrapped = noise(4, (700, 700))
    result = unwrap(wrapped)
    turns = (result.phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert len(result.residues) > 150_000
    assert np.abs(turns - np.rint(turns)).max() < 1e-3


def test_cuts_that_would_take_too_long_lead_to_the_border_and_still_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_pairing, "_MOST_CAPTURES_PER_CORNER", 0)
    monkeypatch.setattr(cut_pairing, "_ROUNDS", ((64, 4),))
    wrapped, amplitude = speckled(3, (120, 90))
    residues = find_residues(wrapped, RowBands(120))
    cuts = place_cuts(residues, wrapped, amplitude)
    assert not cuts.are_cheapest
    result = integrate(wrapped, residues, cuts, RowBands(120))
    assert not crosses_an_open_link(result.phase_rad, cuts)


def test_unwrap_of_two_residues_in_the_shade_of_objects_keeps_the_ground_flat() -> None:
    """A tall object whose rim is dark and too steep: the cut follows the rim, not the bright ground beside it."""
    y, x = np.mgrid[:200, :240]
    inside = np.hypot(y - 100, x - 120) < 50
    amplitude = np.where(np.abs(np.hypot(y - 100, x - 120) - 50) < 3, 0.05, 1.0).astype(np.float32)
    true = inside * np.clip((y - 60) * 0.25, 0, 20.0)
    result = unwrap(wrap(true), amplitude)
    ground = result.phase_rad[~inside & (amplitude == 1)]
    assert len(result.residues) > 0
    assert np.ptp(ground) < 1e-4
    assert result.bright_cut_links == 0


@pytest.mark.parametrize("hidden", ["outside of a disc", "a hole", "a strip", "spots"])
def test_unwrap_leaves_out_what_is_masked(hidden: str) -> None:
    """Noise under the mask changes nothing beside it, nor does it count as residues or as disputed."""
    y, x = np.mgrid[:256, :320]
    mask = {
        "outside of a disc": np.hypot(y - 128, x - 160) > 110,
        "a hole": (abs(y - 100) < 40) & (abs(x - 200) < 60),
        "a strip": y < 30,
        "spots": (y % 40 < 12) & (x % 50 < 20) & (y > 3),
    }[hidden]
    rng = np.random.default_rng(1)
    wrapped = np.where(mask, rng.uniform(-np.pi, np.pi, mask.shape), wrap(cells())).astype(np.float32)
    result = unwrap(wrapped, mask=mask)
    assert np.ptp((result.phase_rad - cells())[~mask]) < 1e-4
    assert result.disputed_pixels == 0
    assert len(result.residues) == 0
    assert result.bright_cut_links == 0
    turns = (result.phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-3


def test_unwrap_of_two_fields_that_a_mask_separates_disputes_the_smaller_one() -> None:
    wrapped = wrap(cells())
    mask = np.zeros(wrapped.shape, np.bool_)
    mask[:, 200:205] = True
    result = unwrap(wrapped, mask=mask)
    assert result.disputed_mask is not None
    assert result.disputed_mask[:, 205:].all()
    assert not result.disputed_mask[:, :205].any()
    assert np.ptp(result.phase_rad - cells()) < 1e-4


def test_unwrap_wholly_masked_or_without_any_light_still_rewraps() -> None:
    wrapped = noise(2, (80, 90))
    for options in ({"mask": np.ones(wrapped.shape, np.bool_)}, {"amplitude": np.zeros(wrapped.shape, np.float32)}):
        turns = (unwrap(wrapped, **options).phase_rad.astype(np.float64) - wrapped) / TWO_PI
        assert np.abs(turns - np.rint(turns)).max() < 1e-4


def test_unwrap_refuses_an_amplitude_or_mask_that_does_not_fit() -> None:
    wrapped = np.zeros((8, 9), np.float32)
    with pytest.raises(ValueError, match=r"expected an amplitude of the phase's shape \(8, 9\) and of float32, got"):
        unwrap(wrapped, np.ones((8, 8), np.float32))
    with pytest.raises(ValueError, match=r"expected a mask of the phase's shape \(8, 9\) and of bool, got"):
        unwrap(wrapped, mask=np.ones((8, 9), np.uint8))  # type: ignore[arg-type]


def test_island_that_cuts_enclose_is_marked_and_gets_the_multiple_its_border_supports() -> None:
    wrapped, inside = enclosed(0)
    cuts = place_cuts(np.empty((0, 3), np.int32), wrapped)
    cuts.right[:, :-1][inside[:, 1:] != inside[:, :-1]] = 1
    cuts.down[:-1][inside[1:] != inside[:-1]] = 1
    result = integrate(wrapped, np.empty((0, 3), np.int32), cuts, RowBands(96))
    assert result.disputed_mask is not None
    assert (result.disputed_mask == inside).all()
    assert result.disputed_pixels == inside.sum()
    step = result.phase_rad[inside].mean() - result.phase_rad[~inside].mean()
    assert abs(step - 0.4) < 0.05


def test_join_prefers_consistent_borders_over_long_divided_ones() -> None:
    """Three stripes: A|B agree along half of their border only, A|C and C|B wholly; B must follow C."""
    wrapped = np.zeros((64, 64), np.float32)
    wrapped[:, 32:] = 2.0
    wrapped[20:44, 32:] = -2.5  # towards A some links see +2.0, others −2.5
    cuts = place_cuts(np.empty((0, 3), np.int32), wrapped)
    cuts.right[:, 31] = 1
    cuts.down[19, 32:] = 1
    cuts.down[43, 32:] = 1
    result = integrate(wrapped, np.empty((0, 3), np.int32), cuts, RowBands(64))
    turns = (result.phase_rad - wrapped) / TWO_PI
    assert np.ptp(turns[:, :32]) < 1e-5
    # From +2.0 to −2.5 the short way is up, by 2π − 4.5.
    assert np.allclose(result.phase_rad[30, 50] - result.phase_rad[5, 50], TWO_PI - 4.5, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    sigma_rad=st.floats(0, 3),
)
def test_unwrap_of_random_maps_keeps_both_promises(seed: int, height: int, width: int, sigma_rad: float) -> None:
    wrapped = wrap(np.random.default_rng(seed).normal(0, sigma_rad, (height, width)))
    result = unwrap(wrapped)
    cuts = place_cuts(result.residues, wrapped)
    turns = (result.phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-4
    assert not ((np.abs(np.diff(result.phase_rad, axis=1)) > np.pi + 1e-3) & (cuts.right[:, :-1] == 0)).any()
    assert not ((np.abs(np.diff(result.phase_rad, axis=0)) > np.pi + 1e-3) & (cuts.down[:-1] == 0)).any()


@pytest.mark.parametrize(
    ("wrapped", "sentence"),
    [
        (np.zeros((8, 8)), "float32"),
        (np.zeros(8, np.float32), "2-D"),
        (np.zeros((1, 8), np.float32), "at least 2 × 2"),
        (np.zeros((2, 70_000), np.float32), "at most 65535 columns"),
    ],
)
def test_unwrap_of_what_is_no_phase_map_says_what_was_expected(wrapped: NDArray[np.float32], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        unwrap(wrapped)


def test_unwrap_of_the_widest_frame_with_the_steepest_ramp_loses_no_turn() -> None:
    true = np.tile(3.14 * np.arange(65_535), (2, 1))
    unwrapped = unwrap(np.angle(np.exp(1j * true)).astype(np.float32)).phase_rad
    assert np.abs(unwrapped - unwrapped[0, 0] - true).max() < 0.1
