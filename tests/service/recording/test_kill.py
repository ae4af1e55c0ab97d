"""A service that is killed while it records leaves every frame that is older than a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.bench.recording import kill_once


@pytest.mark.slow
def test_killed_service_leaves_every_frame_whole_that_is_older_than_a_second(tmp_path: Path) -> None:
    for after_s in (1.3, 2.1, 1.77):
        left = kill_once(tmp_path, 128, 200, "goldstein", after_s)
        assert (left.missing, left.torn) == (0, 0)
        assert left.repaired == left.frames > 50
