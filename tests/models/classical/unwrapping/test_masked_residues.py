"""What a mask leaves of the residues to balance."""

import numpy as np
import pytest
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.unwrapping.branch_cuts import find_residues
from qpi_live.models.classical.unwrapping.masked_residues import residues_outside
from scipy.ndimage import gaussian_filter, label


@pytest.mark.parametrize("seed", range(6))
def test_residues_outside_of_masked_islands_are_those_that_labels_leave(seed: int) -> None:
    """Against scipy's labels of the whole frame: the same residues, the same border."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(3, 90)), int(rng.integers(3, 90)))
    mask = gaussian_filter(rng.normal(size=shape), 0.1 + 0.7 * seed) > rng.choice([-0.1, 0.0, 0.1])
    residues = find_residues(rng.uniform(-np.pi, np.pi, shape).astype(np.float32), RowBands(shape[0]))
    rest, border = residues_outside(residues, mask)
    left = {(y, x): charge for y, x, charge in rest.tolist()}

    inside = mask[:-1, :-1] & mask[:-1, 1:] & mask[1:, :-1] & mask[1:, 1:]
    island, count = label(inside)
    at_border = (
        np.isin(island, np.unique(np.concatenate((island[0], island[-1], island[:, 0], island[:, -1])))) & inside
    )
    sums = np.zeros(count + 1, int)
    for y, x, charge in residues.tolist():
        if not inside[y, x]:
            assert left.pop((y, x)) == charge
        elif not at_border[y, x]:
            sums[island[y, x]] += charge
    for (y, x), charge in left.items():
        assert sums[island[y, x]] == charge
        sums[island[y, x]] = 0
    assert not sums.any()
    is_border = np.zeros_like(inside)
    for y, first, end in border.tolist():
        is_border[y, first:end] = True
    assert (is_border == at_border).all()
