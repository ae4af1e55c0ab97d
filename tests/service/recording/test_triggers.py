"""Recordings that begin with the seconds before a trigger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer

from tests.fakes import fringes
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended, pages
from tests.service.stations import Bench, until


def test_trigger_begins_with_the_seconds_before_it(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, before_trigger_s=600, frames=5)
    bench.frames(7)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["account"]["in_flight"] == 7)
    assert bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["state"] == "waiting"
    bench.client.post(f"{RECORDINGS}/{name}/trigger")
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["frames"] == 7)
    bench.frames(9)
    status = ended(bench, name)
    assert status["frames"] == 12
    assert (pages(tmp_path / "kept" / name) == np.stack([fringes(SHAPE, n) for n in range(12)])).all()
    assert bench.client.post(f"{RECORDINGS}/{name}/trigger").status_code == 409


def test_frames_that_fall_out_before_the_trigger_are_counted(make: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make(recordings_memory_mb=1)  # 81 frames of 96 × 128
    name = begin(bench, before_trigger_s=600)
    bench.frames(100)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["account"]["captured"] == 100)
    bench.client.post(f"{RECORDINGS}/{name}/trigger")
    status = ended(bench, name)
    assert status["frames"] == 81
    assert status["lost"] == {"no memory before the trigger": 19}
    assert (pages(tmp_path / "kept" / name)[0] == fringes(SHAPE, 19)).all()


def test_seconds_after_a_trigger_count_from_it_however_long_the_held_frames_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RecordedLayer.append

    def slow(*arguments: object, **named: object) -> None:
        sleep(0.1)
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordedLayer, "append", slow)
    name = begin(bench, before_trigger_s=600, seconds=0.4)
    bench.frames(20)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["account"]["in_flight"] == 20)
    bench.client.post(f"{RECORDINGS}/{name}/trigger")
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["frames"] >= 6)  # the time is over
    bench.frames(3)
    status = ended(bench, name)
    assert (status["state"], status["frames"]) == ("done", 20)
