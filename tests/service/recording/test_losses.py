"""Frames that are not in a recording are counted by reason, and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.optics import StatedOptics

from tests.fakes import FakeCamera, fringes
from tests.service.recording.recording_now import LIST, RECORDINGS, begin, ended
from tests.service.stations import Bench, until


def test_frames_lost_before_the_service_are_said(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(2)
    bench.camera.lose("camera gap", 3)
    bench.frames(2)
    status = bench.client.post(f"{RECORDINGS}/{name}/stop").json()["running"]
    assert status["lost"] == {"camera gap": 3}
    assert "3 (camera gap)" in status["sentence"]


def test_frames_of_another_size_are_left_out_and_counted(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, frames=4)
    bench.frames(2)
    bench.frames(3, shown=fringes((64, 64), 0))
    bench.frames(2)
    status = ended(bench, name)
    assert (status["frames"], status["lost"]) == (4, {"another size": 3})


def test_frames_of_another_camera_are_left_out_and_counted(make: Callable[..., Bench], tmp_path: Path) -> None:
    other = FakeCamera(source="other")
    bench = make(others=(other,))
    name = begin(bench, layers=["interferogram", "phase"])
    bench.frames(3)
    bench.station.switch_camera("other")
    bench.camera.send()  # the one whose reading the switch waits for
    other.send(4)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["account"]["captured"] >= 7)
    status = bench.client.post(f"{RECORDINGS}/{name}/stop").json()["running"]
    assert status["lost"] == {"another camera or format": 4}
    sources = {json.loads(line)["source"] for line in (tmp_path / "kept" / name / LIST).read_text().splitlines()}
    assert sources == {"fake"}
    assert Manifest.read(tmp_path / "kept" / name).camera["source"] == "fake"


def test_frames_of_another_depth_or_optics_are_left_out_and_counted(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(2)
    bench.station.cameras.state_optics("fake", StatedOptics(magnification=40.0))
    bench.frames(3)
    status = bench.client.post(f"{RECORDINGS}/{name}/stop").json()["running"]
    assert (status["frames"], status["lost"]) == (2, {"another camera or format": 3})


def test_recording_whose_first_frame_is_of_a_camera_chosen_since_says_that_camera(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    other = FakeCamera(source="other")
    bench = make(others=(other,))
    name = begin(bench, frames=3)
    bench.station.switch_camera("other")
    other.send(3)
    assert ended(bench, name)["frames"] == 3
    assert Manifest.read(tmp_path / "kept" / name).camera["source"] == "other"
