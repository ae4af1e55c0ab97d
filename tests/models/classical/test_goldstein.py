"""Unwrapping, tested by what it must keep: rewrapping, exactness without residues, and never crossing a cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.branch_cuts import find_residues, place_cuts
from qpi_live.models.classical.goldstein import integrate, unwrap
from skimage.restoration import unwrap_phase

from tests.models.phase_maps import MAPS, cells, enclosed, vortex, wrap

TWO_PI = 2 * np.pi


@pytest.mark.parametrize("name", MAPS)
def test_unwrap_any_map_rewraps_to_the_wrapped_phase(name: str) -> None:
    wrapped = MAPS[name]()
    turns = (unwrap(wrapped).phase_rad.astype(np.float64) - wrapped) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_unwrap_without_residues_equals_the_true_phase_up_to_one_multiple(threads: int) -> None:
    result = unwrap(wrap(cells()), RowBands(cells().shape[0], threads))
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
    cuts = place_cuts(result.residues, wrapped.shape)
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
    cuts = place_cuts(residues, wrapped.shape)
    y, x = residues[:, 0], residues[:, 1]
    blocked = cuts.right[y, x] + cuts.right[y + 1, x] + cuts.down[y, x] + cuts.down[y, x + 1]
    assert (blocked > 0).all()


def test_cuts_of_a_dipole_join_its_residues_only() -> None:
    wrapped = wrap(vortex(60.5, 50.5, 1) + vortex(60.5, 58.5, -1))
    result = unwrap(wrapped)
    assert result.residues[:, :2].tolist() == [[60, 50], [60, 58]]
    assert result.residues[:, 2].sum() == 0
    cuts = place_cuts(result.residues, wrapped.shape)
    assert cuts.right.sum() == 0
    assert np.flatnonzero(cuts.down[60]).tolist() == list(range(51, 59))


def test_cuts_of_a_lone_residue_lead_to_the_nearest_border() -> None:
    wrapped = wrap(vortex(20.5, 64.5, 1))
    residues = find_residues(wrapped, RowBands(128))
    cuts = place_cuts(residues, wrapped.shape)
    assert residues[:, :2].tolist() == [[20, 64]]
    assert np.flatnonzero(cuts.right[:, 64]).tolist() == list(range(21))
    assert cuts.down.sum() == 0


def test_island_that_cuts_enclose_is_marked_and_gets_the_multiple_its_border_supports() -> None:
    wrapped, inside = enclosed(0)
    cuts = place_cuts(np.empty((0, 3), np.int32), wrapped.shape)
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
    cuts = place_cuts(np.empty((0, 3), np.int32), wrapped.shape)
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
    cuts = place_cuts(result.residues, wrapped.shape)
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
        (np.zeros((2, 40_000), np.float32), "at most 32000 columns"),
    ],
)
def test_unwrap_of_what_is_no_phase_map_says_what_was_expected(wrapped: NDArray[np.float32], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        unwrap(wrapped)
