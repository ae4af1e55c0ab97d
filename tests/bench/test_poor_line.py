"""Clients behind a line that loses packets or is unplugged: the newest frame when it is back, and nobody delayed."""

from __future__ import annotations

import pytest
from qpi_live.bench.stream import poor
from qpi_live.bench.stream.lossy_line import NoLine

pytestmark = pytest.mark.slow


def test_client_behind_a_poor_line_gets_new_frames_again_and_delays_nobody() -> None:
    try:
        lossy, out, back = poor.measure("goldstein", 128, 10, loss=0.03, seconds=2, unplugged_s=3, for_good=False)
    except NoLine as lacking:
        pytest.skip(str(lacking))
    assert lossy["far_fps"] > 0
    assert out["far_fps"] < 1  # what was on its way
    assert back["far_fps"] > 0
    assert back["far_age_p50_ms"] < 2000  # not the frames of the time without a cable
    assert min(row["near_fps"] for row in (lossy, out, back)) > 0
