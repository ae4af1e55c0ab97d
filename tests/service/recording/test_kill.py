"""A service that is killed while it records leaves every frame that is older than a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.bench.recording import kill_once
from qpi_live.camera.files.writers.layer_names import Format


@pytest.mark.slow
def test_killed_service_leaves_every_frame_whole_that_is_older_than_a_second(tmp_path: Path) -> None:
    for after_s, kind in ((1.3, Format.TIFF), (2.1, Format.TIFF), (1.77, Format.ZARR)):
        left = kill_once(tmp_path, 128, 200, "goldstein", after_s, kind)
        assert (left.missing, left.torn) == (0, 0)
        # A zarr says how many frames it has every 0.4 s; repair finds those that came since.
        assert left.repaired >= left.frames > 50
        assert kind is Format.ZARR or left.repaired == left.frames
