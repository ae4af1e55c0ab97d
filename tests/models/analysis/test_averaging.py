"""Averages of frames, their fluctuation, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.models.analysis.averaging import Average, difference


def test_average_mean_and_deviation_are_those_of_the_frames() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(1, 0.2, (10, 40, 50)).astype(np.float32)
    average = Average(10)
    for frame in frames:
        average.add(frame, level=False)
    assert average.mean_rad == pytest.approx(frames.mean(axis=0), abs=1e-5)
    assert average.deviation_rad == pytest.approx(frames.std(axis=0), abs=1e-4)


def test_average_level_that_wanders_does_not_count_as_fluctuation() -> None:
    rng = np.random.default_rng(0)
    average = Average(50)
    for _ in range(50):
        average.add(rng.normal(rng.normal(0, 2), 0.1, (64, 64)).astype(np.float32))
    assert average.deviation_rad.mean() == pytest.approx(0.1, rel=0.1)


def test_average_follows_once_it_is_full() -> None:
    average = Average(4)
    for value in [0.0] * 4 + [1.0] * 60:
        average.add(np.full((8, 8), value, np.float32), level=False)
    assert average.mean_rad == pytest.approx(1.0, abs=0.01)
    average.add(np.zeros((9, 9), np.float32))
    assert (average.frames, average.mean_rad.shape) == (1, (9, 9))


def test_average_nothing_and_difference_of_unequal_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        _ = Average().mean_rad
    with pytest.raises(ValueError, match="shape"):
        difference(np.zeros((3, 3), np.float32), np.zeros((3, 4), np.float32))
    assert difference(np.ones((3, 3), np.float32), np.zeros((3, 3), np.float32)).max() == 0


def test_average_masked_pixels_do_not_go_in() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(1, 0.2, (12, 40, 50)).astype(np.float32)
    masks = rng.random(frames.shape) < 0.3
    masks[:, :5] = True
    average = Average(12)
    for frame, mask in zip(frames, masks, strict=True):
        average.add(np.where(mask, np.float32(50), frame), mask, level=False)
    seen = np.ma.masked_array(frames, masks)
    shown = ~masks.all(axis=0)
    assert average.unseen is not None
    assert (average.unseen == ~shown).all()
    assert average.mean_rad[shown] == pytest.approx(seen.mean(axis=0)[shown].data, abs=1e-5)
    assert average.deviation_rad[shown] == pytest.approx(seen.std(axis=0)[shown].data, abs=1e-4)
    assert (average.mean_rad[~shown] == 0).all()


def test_average_level_is_not_taken_where_a_frame_is_masked() -> None:
    average, mask = Average(2), np.zeros((40, 40), np.bool_)
    mask[:30] = True
    average.add(np.zeros((40, 40), np.float32))
    average.add(np.where(mask, np.float32(9), np.float32(2)), mask)
    assert np.abs(average.mean_rad).max() < 1e-6


def test_difference_is_levelled_outside_of_the_mask_and_zero_within() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[:8] = True
    phase = np.where(mask, np.float32(7), np.float32(3))
    phase[9, 9] = 4
    change = difference(phase, np.ones((10, 10), np.float32), mask=mask)
    assert change[9, 9] == 1
    assert np.count_nonzero(change) == 1
    with pytest.raises(ValueError, match="mask of the phase's shape"):
        difference(phase, phase, mask=mask[:3])
    with pytest.raises(ValueError, match="mask of the phase's shape"):
        Average().add(phase, mask[:3])
