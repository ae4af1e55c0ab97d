"""Which frames a maximum rate lets through."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.service.viewing.rate_limit import RateLimit


def admitted(times_s: np.ndarray, max_fps: float) -> int:
    limit = RateLimit()
    return sum(limit.admits(100 + float(time_s), max_fps) for time_s in times_s)


@pytest.mark.parametrize(("camera_fps", "max_fps"), [(20, 5), (20, 10), (20, 15), (30, 20), (100, 7), (20, 20)])
def test_rate_limit_of_a_jittery_camera_holds_the_rate(camera_fps: float, max_fps: float) -> None:
    jitter_s = np.random.default_rng(1).normal(0, 0.002, 60 * camera_fps)
    times_s = np.arange(60 * camera_fps) / camera_fps + jitter_s
    assert admitted(times_s, max_fps) == pytest.approx(60 * max_fps, rel=0.03)


def test_rate_limit_above_the_cameras_rate_lets_every_frame_through() -> None:
    assert admitted(np.arange(100) / 20, 30) == 100
    assert admitted(np.arange(100) / 20, 0) == 100


def test_rate_limit_after_a_pause_makes_up_for_nothing() -> None:
    limit = RateLimit()
    assert limit.admits(0.0, 1)
    assert limit.admits(60.0, 1)
    assert not limit.admits(60.1, 1)


def test_rate_limit_that_is_raised_takes_effect_within_two_periods() -> None:
    limit = RateLimit()
    assert limit.admits(1000.0, 0.001)
    assert not limit.admits(1000.2, 0.001)
    assert not limit.admits(1000.3, 10)
    assert limit.admits(1000.45, 10)
