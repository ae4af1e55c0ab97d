"""Phases that go with recorded interferograms, or are recorded alone: each is written or counted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.frame import Frame
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.tap import Taps
from qpi_live.service.recording.phases import RecordedPhases
from qpi_live.service.recording.recorded_files import RecordedFiles
from qpi_live.service.recording.wanted import Wanted

from tests.camera.files.recorded.recordings import frame_of, manifest_of
from tests.fakes import FakeEngine
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended, pages, send_one
from tests.service.stations import Bench, until


class SlowEngine(FakeEngine):
    """Needs as long as ten frames take."""

    def retrieve(self, frame: Frame) -> PhaseFrame:
        sleep(0.02)
        return super().retrieve(frame)


def test_recording_with_phase_pairs_each_phase_with_its_interferogram(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, layers=["interferogram", "phase"], frames=10)
    bench.frames(10)
    ended(bench, name)
    folder = tmp_path / "kept" / name
    assert (pages(folder, "phase") == pages(folder).astype(np.float32) / np.float32(10)).all()
    listed = [
        [json.loads(line) for line in (folder / f"{layer}.frames.jsonl").read_text().splitlines()]
        for layer in ("interferogram", "phase")
    ]
    assert [line["sequence"] for line in listed[0]] == [line["sequence"] for line in listed[1]]
    assert {line["made_by"]["engine"] for line in listed[1]} == {"fake"}


def test_recording_says_which_frames_have_no_phase(make: Callable[..., Bench], tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.failures = {2: InferenceError("dark", "no light"), 5: InferenceError("dark", "no light")}
    bench = make(engine=engine)
    name = begin(bench, layers=["interferogram", "phase"], frames=8)
    for _ in range(8):
        send_one(bench)
    status = ended(bench, name)
    assert status["frames"] == 8
    assert "2 frames have no phase: 2 (engine failed: dark)." in str(status["sentence"])
    assert (status["lost"], status["phase_lost"]) == ({}, {"engine failed: dark": 2})
    assert len(pages(tmp_path / "kept" / name, "phase")) == 6
    account = Manifest.read(tmp_path / "kept" / name).account["phase"]
    assert (account["captured"], account["delivered"], account["failed"]) == (8, 6, {"engine failed: dark": 2})


def test_one_frame_without_phase_is_said_in_the_singular_at_once(make: Callable[..., Bench]) -> None:
    engine = FakeEngine()
    engine.failures = {1: InferenceError("dark", "no light")}
    bench = make(engine=engine)
    name = begin(bench, layers=["interferogram", "phase"])
    for _ in range(3):
        send_one(bench)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["phase_lost"] != {})
    status = bench.client.get(f"{RECORDINGS}/{name}").json()["running"]
    assert status["sentence"] == "1 frame has no phase: 1 (engine failed: dark)."


def test_phases_that_a_slow_engine_skips_are_counted_as_the_recording_goes(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    engine = SlowEngine()
    bench = make(engine=engine)
    bench.frames(1)
    name = begin(bench, layers=["interferogram", "phase"], frames=60)
    for _ in range(60):
        bench.camera.send()
        sleep(0.002)
    status = ended(bench, name)
    account = Manifest.read(tmp_path / "kept" / name).account["phase"]
    skipped = account["dropped"]["engine skipped the frame"]
    assert skipped > 0
    assert status["phase_lost"] == {"engine skipped the frame": skipped}
    others = sum(account["dropped"].values()) + sum(account["failed"].values())
    assert account["captured"] == account["delivered"] + others
    assert account["delivered"] + skipped == 60
    assert bench.station.recordings._recorder(name)._phases.awaited == deque()  # type: ignore[union-attr]


def test_phase_alone_is_recorded_as_the_engine_makes_it(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, layers=["phase"], frames=5)
    live = bench.frames(5)
    ended(bench, name)
    assert (pages(tmp_path / "kept" / name, "phase") == np.stack([one.phase.phase_rad for one in live])).all()


@pytest.mark.parametrize("layers", [["interferogram"], ["phase"], ["interferogram", "phase"]])
def test_megabytes_are_those_of_the_layers_that_are_recorded(bench: Bench, tmp_path: Path, layers: list[str]) -> None:
    frame_bytes = SHAPE[0] * SHAPE[1] * sum({"interferogram": 1, "phase": 4}[layer] for layer in layers)
    name = begin(bench, layers=layers, megabytes=6 * frame_bytes / 1e6)
    bench.frames(9)
    status = ended(bench, name)
    assert (status["state"], status["frames"], status["bytes"]) == ("done", 6, 6 * frame_bytes)


def test_phases_past_the_last_recorded_frame_are_counted_each_when_the_recording_ends(
    bench: Bench, tmp_path: Path
) -> None:
    manifest, wanted = manifest_of(tmp_path / "run"), Wanted(layers=["interferogram", "phase"])
    files = RecordedFiles(tmp_path / "run", wanted, manifest, bench.station.pipeline, 0)
    taps: Taps[LiveFrame] = Taps()
    phases = RecordedPhases(taps, 1 << 20, files)

    def make_phase(number: int) -> None:
        phase = FakeEngine().retrieve(frame_of(number))
        taps.offer(LiveFrame.timed(phase, bench.camera.identity, taken_ns=0))

    phases.decide(frame_of(0), is_recorded=True)
    make_phase(1)  # of a frame that came after the last one; that of the last one was skipped
    phases.write()
    make_phase(2)
    phases.finish(patience_s=1)
    account = phases.account
    assert (account.captured, account.in_flight) == (3, 0)
    assert account.dropped == {"engine skipped the frame": 1, "frame not recorded": 2}
