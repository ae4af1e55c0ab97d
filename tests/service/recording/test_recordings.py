"""Recording through the real line onto a real disk: every frame is in the file, or counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import tifffile
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.files.writers.repair import check
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import StatedOptics
from qpi_live.models.engine import PhaseFrame
from qpi_live.models.errors import InferenceError
from qpi_live.service.recording.shelf import Shelf

from tests.camera.files.recorded.recordings import frame_of, manifest_of, record
from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.service.conftest import Bench
from tests.service.stations import PATIENCE_S, until

RECORDINGS = "/api/v1/recordings"
SHAPE = (96, 128)
LIST = "interferogram.frames.jsonl"


@pytest.fixture
def make(make_bench: Callable[..., Bench], tmp_path: Path) -> Callable[..., Bench]:
    """A running station that records into the test's folder."""

    def made(**options: object) -> Bench:
        return make_bench(**{"recordings": tmp_path / "kept", "recordings_free_mb": 0, **options})

    return made


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def begin(bench: Bench, **wanted: object) -> str:
    answer = bench.client.post(RECORDINGS, json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["name"])


def ended(bench: Bench, name: str) -> dict[str, object]:
    """How a recording ended, once it has."""
    assert bench.station.recordings._recorder(name).wait(PATIENCE_S)
    return dict(bench.client.get(f"{RECORDINGS}/{name}").json()["running"])


def send_one(bench: Bench) -> None:
    """A frame through the line, whether or not there is a phase of it."""
    before = bench.station.pipeline.account.snapshot()
    bench.camera.send()
    until(
        lambda: (
            bench.station.pipeline.account.snapshot().in_flight == 0
            and bench.station.pipeline.account.snapshot().captured > before.captured
        )
    )


class SlowEngine(FakeEngine):
    """Needs as long as ten frames take."""

    def retrieve(self, frame: Frame) -> PhaseFrame:
        sleep(0.02)
        return super().retrieve(frame)


def pages(folder: Path, layer: str = "interferogram") -> np.ndarray:
    with tifffile.TiffFile(folder / f"{layer}.ome.tif") as tiff:
        assert tiff.series[0].shape[0] == len(tiff.pages)
        return np.asarray(tiff.series[0].asarray())


def test_recording_of_n_frames_has_the_next_n_whatever_the_queue_drops(bench: Bench, tmp_path: Path) -> None:
    bench.frames(3)
    name = begin(bench, name="run 1", frames=40)
    bench.camera.send(60)
    status = ended(bench, name)
    assert (status["state"], status["frames"], status["lost"]) == ("done", 40, {})
    assert (pages(tmp_path / "kept" / "run 1") == np.stack([fringes(SHAPE, n) for n in range(3, 43)])).all()
    manifest = Manifest.read(tmp_path / "kept" / "run 1")
    assert manifest.account["interferogram"]["delivered"] == 40
    assert manifest.camera["vendor"] == "tests"
    (sound,) = check(tmp_path / "kept" / "run 1")
    assert (sound.frames, sound.torn) == (40, 0)


def test_recording_that_is_stopped_has_every_frame_until_then(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench)
    bench.frames(12)
    answer = bench.client.post(f"{RECORDINGS}/{name}/stop").json()
    assert (answer["running"]["state"], answer["kept"]["frames"]) == ("stopped", 12)
    assert len(pages(tmp_path / "kept" / name)) == 12


def test_stop_that_comes_late_or_twice_leaves_the_recording(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="late", frames=3)
    bench.frames(3)
    ended(bench, name)
    for _ in range(2):
        answer = bench.client.post(f"{RECORDINGS}/{name}/stop")
        assert (answer.status_code, answer.json()["kept"]["frames"]) == (200, 3)
        assert answer.json()["running"]["state"] == "done"
    assert len(pages(tmp_path / "kept" / name)) == 3
    assert bench.client.post(f"{RECORDINGS}/nobody/stop").status_code == 404


def test_delete_of_a_recording_that_is_made_is_refused_and_it_goes_on(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(2)
    refused = bench.client.delete(f"{RECORDINGS}/{name}")
    assert refused.status_code == 409
    assert "stop it first (POST /recordings/NAME/stop)" in refused.json()["detail"]
    bench.frames(2)
    assert bench.client.post(f"{RECORDINGS}/{name}/stop").json()["kept"]["frames"] == 4


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


@pytest.mark.parametrize("layers", [["interferogram"], ["phase"], ["interferogram", "phase"]])
def test_megabytes_are_those_of_the_layers_that_are_recorded(bench: Bench, tmp_path: Path, layers: list[str]) -> None:
    frame_bytes = SHAPE[0] * SHAPE[1] * sum({"interferogram": 1, "phase": 4}[layer] for layer in layers)
    name = begin(bench, layers=layers, megabytes=6 * frame_bytes / 1e6)
    bench.frames(9)
    status = ended(bench, name)
    assert (status["state"], status["frames"], status["bytes"]) == ("done", 6, 6 * frame_bytes)


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


def test_time_lapse_takes_one_frame_an_interval_and_counts_the_others(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, every_s=3600, frames=2)
    bench.frames(6)
    bench.client.post(f"{RECORDINGS}/{name}/stop")
    status = ended(bench, name)
    assert (status["frames"], status["lost"], status["left_out"]) == (1, {}, {"between intervals": 5})


def test_two_recordings_at_once_have_the_same_frames(bench: Bench, tmp_path: Path) -> None:
    names = [begin(bench, name=name, frames=20) for name in ("a", "b")]
    bench.camera.send(30)
    for name in names:
        ended(bench, name)
    assert (pages(tmp_path / "kept" / "a") == pages(tmp_path / "kept" / "b")).all()


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


def test_disk_that_is_too_slow_loses_frames_counted_and_holds_nobody(
    make: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    disk = Event()
    real = RecordedLayer.append

    def slow(*arguments: object, **named: object) -> None:
        disk.wait(PATIENCE_S)
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordedLayer, "append", slow)
    bench = make(recordings_memory_mb=1)
    name = begin(bench)
    bench.frames(120)  # each is published: neither camera nor engine wait
    status = bench.client.get(f"{RECORDINGS}/{name}").json()["running"]
    assert "the disk is too slow" in status["sentence"]
    disk.set()
    status = bench.client.post(f"{RECORDINGS}/{name}/stop").json()["running"]
    assert status["frames"] + status["lost"]["tap full"] == 120
    assert status["account"]["in_flight"] == 0
    kept = pages(tmp_path / "kept" / name)
    assert (kept == np.stack([fringes(SHAPE, n) for n in range(len(kept))])).all()  # without a hole up to there


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "qpi", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk_ends_the_recording_with_a_sentence_and_every_frame_before_it(
    make: Callable[..., Bench], small_disk: Path
) -> None:
    bench = make(recordings=small_disk)
    name = begin(bench, name="full")
    bench.frames(400)  # 4.9 MB; the line goes on
    status = ended(bench, name)
    assert status["state"] == "stopped"
    assert "disk is full" in str(status["sentence"])
    folder = small_disk / "full"
    kept = pages(folder)
    assert len(kept) == status["frames"] > 200
    assert (kept == np.stack([fringes(SHAPE, n) for n in range(len(kept))])).all()
    (sound,) = check(folder)
    assert (sound.frames, sound.torn) == (status["frames"], 0)
    assert Manifest.read(folder).state == "stopped"
    bench.assert_exact()


def test_page_that_finds_the_disk_full_leaves_those_before_it_whole(small_disk: Path) -> None:
    manifest = manifest_of(small_disk / "run")
    layer = RecordedLayer(small_disk / "run", "interferogram", manifest, None)
    (small_disk / "another program's").write_bytes(bytes(3_500_000))

    def fill() -> None:
        for number in range(400):
            layer.append(frame_of(number), frame_of(number).pixels)

    with pytest.raises(OSError, match="No space left"):
        fill()
    with pytest.raises(OSError, match="No space left"):
        layer.close()
    assert (pages(small_disk / "run") == np.stack([fringes(SHAPE, n) for n in range(layer.frames)])).all()
    (sound,) = check(small_disk / "run")
    assert (sound.frames, sound.torn) == (layer.frames, 0)


def test_disk_is_left_as_free_as_the_settings_say(make: Callable[..., Bench], small_disk: Path) -> None:
    bench = make(recordings=small_disk, recordings_free_mb=2)
    name = begin(bench)
    bench.frames(250)
    status = ended(bench, name)
    assert "Stopped before the disk is full" in str(status["sentence"])
    assert shutil.disk_usage(small_disk).free >= 2_000_000 - 100_000  # the last words
    assert bench.client.get(RECORDINGS).json()["free_bytes"] < 500_000
    refused = bench.client.post(RECORDINGS, json={})
    assert refused.status_code == 507
    assert "are kept free" in refused.json()["detail"]


def test_folder_that_is_gone_ends_the_recording_with_a_sentence_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench)
    bench.frames(3)
    shutil.rmtree(tmp_path / "kept" / name)
    until(lambda: bench.client.get(f"{RECORDINGS}/{name}").json()["running"]["state"] == "failed")
    status = bench.client.get(f"{RECORDINGS}/{name}").json()["running"]
    assert "The folder is gone" in status["sentence"]
    assert bench.frames(2)
    bench.assert_exact()


def test_reserve_that_cannot_be_removed_leaves_the_recording_closed(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="run")
    bench.frames(4)
    reserve = tmp_path / "kept" / "run" / ".reserve"
    reserve.unlink()
    reserve.mkdir()  # which `unlink` does not take off
    answer = bench.client.post(f"{RECORDINGS}/{name}/stop").json()
    assert (answer["running"]["state"], answer["kept"]["frames"]) == ("stopped", 4)
    assert Manifest.read(tmp_path / "kept" / "run").ended_ns is not None
    assert len(pages(tmp_path / "kept" / "run")) == 4


def test_manifest_that_cannot_be_written_ends_the_recording_as_failed(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="run")
    bench.frames(4)
    (tmp_path / "kept" / "run" / "recording.json").unlink()
    (tmp_path / "kept" / "run" / "recording.json").mkdir()
    bench.station.recordings.stop(name)
    status = ended(bench, name)
    assert status["state"] == "failed"
    assert "could not be closed" in str(status["sentence"])
    assert len(pages(tmp_path / "kept" / "run")) == 4


def test_name_that_is_taken_is_refused_and_the_recording_of_that_name_stays(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="mine", frames=2)
    bench.frames(2)
    ended(bench, name)
    before = (tmp_path / "kept" / "mine" / "interferogram.ome.tif").read_bytes()
    answer = bench.client.post(RECORDINGS, json={"name": "mine"})
    assert answer.status_code == 409
    assert "expected a new name" in answer.json()["detail"]
    assert (tmp_path / "kept" / "mine" / "interferogram.ome.tif").read_bytes() == before


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/b", ".."])
def test_name_that_leads_elsewhere_is_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    assert bench.client.post(RECORDINGS, json={"name": name}).status_code == 422
    assert not (tmp_path / "kept").exists()


def test_folder_that_cannot_be_made_is_said(make: Callable[..., Bench], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = make(recordings=tmp_path / "file" / "below").client.post(RECORDINGS, json={})
    assert answer.status_code == 507
    assert "expected a folder that can be written to" in answer.json()["detail"]


def test_recording_ends_with_the_recording_that_it_is_made_of(bench: Bench) -> None:
    name = begin(bench)
    bench.frames(4)
    bench.camera.end()
    status = ended(bench, name)
    assert (status["state"], status["frames"]) == ("done", 4)
    assert "is over" in str(status["sentence"])


def test_calibration_frame_lies_beside_the_recording(bench: Bench, make: Callable[..., Bench], tmp_path: Path) -> None:
    from tests.fakes import TunableFakeEngine

    tuned = make(engine=TunableFakeEngine())
    (live,) = tuned.frames(1)
    tuned.station.tuning.use_calibration(live.frame)
    name = begin(tuned, frames=1)
    tuned.frames(1)
    ended(tuned, name)
    folder = tmp_path / "kept" / name
    assert (tifffile.imread(folder / "calibration.tif") == live.frame.pixels).all()
    assert Manifest.read(folder).calibration_ns == live.frame.captured_ns


def test_deleted_recording_is_gone_and_comes_back(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="gone", frames=2)
    bench.frames(2)
    ended(bench, name)
    assert bench.client.delete(f"{RECORDINGS}/gone").status_code == 200
    assert bench.client.get(RECORDINGS).json()["kept"] == []
    assert bench.client.get(f"{RECORDINGS}/gone").status_code == 404
    assert bench.client.post(f"{RECORDINGS}/gone/restore").json()["kept"]["frames"] == 2
    assert len(pages(tmp_path / "kept" / "gone")) == 2
    assert bench.client.post(f"{RECORDINGS}/gone/restore").status_code == 404


def test_second_deleted_recording_of_a_name_leaves_the_first_to_be_brought_back(bench: Bench, tmp_path: Path) -> None:
    for frames in (2, 3):
        name = begin(bench, name="twice", frames=frames)
        bench.frames(frames)
        ended(bench, name)
        assert bench.client.delete(f"{RECORDINGS}/twice").status_code == 200
    assert bench.client.post(f"{RECORDINGS}/twice/restore").json()["kept"]["frames"] == 3
    assert bench.client.post(f"{RECORDINGS}/twice/restore").status_code == 409
    (tmp_path / "kept" / "twice").rename(tmp_path / "kept" / "renamed")
    assert bench.client.post(f"{RECORDINGS}/twice/restore").json()["kept"]["frames"] == 2


def test_old_recording_that_is_deleted_while_others_look_can_be_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "old", 2)
    os.utime(tmp_path / "old", (1, 1))
    shelf = Shelf(tmp_path)
    real = os.replace

    def replace_and_look(source: Path, target: Path) -> None:
        real(source, target)
        shelf.all()  # a listing at the worst moment, which forgets what was deleted long ago

    monkeypatch.setattr(os, "replace", replace_and_look)
    shelf.delete("old")
    shelf.all()
    shelf.restore("old")
    assert shelf.one("old").frames == 2


def test_files_of_a_recording_can_be_downloaded_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="down", frames=2)
    bench.frames(2)
    ended(bench, name)
    kept = bench.client.get(f"{RECORDINGS}/down").json()["kept"]
    for file in kept["files"]:
        answer = bench.client.get(f"{RECORDINGS}/down/files/{file}")
        assert answer.content == (tmp_path / "kept" / "down" / file).read_bytes()
    (tmp_path / "kept" / "secret").write_text("secret")
    for path in ("..%2Fsecret", "%2e%2e", "nothing"):
        assert bench.client.get(f"{RECORDINGS}/down/files/{path}").status_code == 404


def test_recording_plays_again_as_it_was_recorded(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, frames=3)
    bench.frames(3)
    ended(bench, name)
    played = open_recording(str(tmp_path / "kept" / name))
    assert [bool((played.read(n).pixels == fringes(SHAPE, n)).all()) for n in range(3)] == [True] * 3
    assert played.optics == FakeCamera().identity.optics
    played.close()


def test_service_that_stops_closes_what_it_records(make_station: Callable[..., object], tmp_path: Path) -> None:
    from fastapi.testclient import TestClient
    from qpi_live.service.api.app import build_app

    from tests.service.stations import URL

    camera = FakeCamera()
    station = make_station(camera, FakeEngine(), recordings=tmp_path / "kept", recordings_free_mb=0)
    with TestClient(build_app(station), base_url=URL) as client:  # type: ignore[arg-type]
        client.post(RECORDINGS, json={"name": "last"})
        camera.send(5)
        until(lambda: client.get(f"{RECORDINGS}/last").json()["running"]["frames"] == 5)
    manifest = Manifest.read(tmp_path / "kept" / "last")
    assert (manifest.state, manifest.ended_ns is not None) == ("stopped", True)
    assert len(pages(tmp_path / "kept" / "last")) == 5
