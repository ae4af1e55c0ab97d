"""The compiled steps of segmentation, against the plain way of doing the same."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.models.analysis.segmentation import _fill_and_clean, segment
from qpi_live.models.analysis.shape_sums import sum_shapes
from scipy.ndimage import gaussian_filter, label

from tests.models.analysis.discs import caps


@pytest.mark.parametrize("seed", range(12))
def test_fill_and_clean_takes_away_specks_and_fills_holes_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=rng.integers(3, 90, 2)), rng.uniform(0, 3))
    before = field > np.quantile(field, rng.uniform(0.1, 0.9))
    least = int(rng.integers(1, 60))
    expected = before.copy()
    for kind in (True, False):
        parts, count = label(before == kind)
        for part in range(1, count + 1):
            rows, columns = np.nonzero(parts == part)
            touches = rows.min() == 0 or columns.min() == 0
            touches |= rows.max() == before.shape[0] - 1 or columns.max() == before.shape[1] - 1
            if len(rows) < least and (kind or not touches):
                expected[parts == part] = not kind
    cleaned = before.copy()
    _fill_and_clean(cleaned, least)
    assert np.array_equal(cleaned, expected)


@pytest.mark.parametrize("width", [7, 32, 33, 64, 197])
def test_shape_sums_are_those_of_numpy_whatever_the_width(width: int) -> None:
    rng = np.random.default_rng(width)
    field = gaussian_filter(rng.normal(size=(60, width)), 3)
    labels = np.digitize(field, np.quantile(field, [0.5, 0.7, 0.9])).astype(np.uint16)
    phase = rng.normal(size=labels.shape).astype(np.float32)
    sums = sum_shapes(labels, phase, 3, 0.0, threads=2)
    rows, columns = np.indices(labels.shape)
    padded = np.pad(labels, 1)
    for one in range(1, 4):
        inside = labels == one
        expected = [inside.sum(), rows[inside].sum(), columns[inside].sum()]
        assert sums.moments[one - 1, :3] == pytest.approx(expected)
        assert sums.moments[one - 1, 6] == pytest.approx(phase[inside].sum(), abs=1e-2)
        mine = padded == one
        pairs = [
            mine[:, 1:] != mine[:, :-1],
            mine[1:] != mine[:-1],
            mine[1:, 1:] != mine[:-1, :-1],
            mine[1:, :-1] != mine[:-1, 1:],
        ]
        assert sums.crossings[one - 1].tolist() == [np.count_nonzero(pair) for pair in pairs]


def test_segment_is_the_same_whatever_the_number_of_threads() -> None:
    phase = caps((301, 317), [(80, 90, 40, 3), (170, 220, 50, 4)]) + np.random.default_rng(0).normal(
        0, 0.05, (301, 317)
    )
    mask = np.zeros(phase.shape, np.bool_)
    mask[100:140, 200:317] = True
    for left_out in (None, mask):
        found = [segment(phase.astype(np.float32), left_out, threads=threads).labels for threads in (1, 2, 5)]
        assert np.array_equal(found[0], found[1])
        assert np.array_equal(found[0], found[2])
