"""Disks that are slow, full or gone: what was recorded before stands, and the line goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.files.repair import check
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer

from tests.camera.files.recorded.recordings import frame_of, manifest_of
from tests.fakes import fringes
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended, pages
from tests.service.stations import PATIENCE_S, Bench, until


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


def test_folder_that_cannot_be_made_is_said(make: Callable[..., Bench], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = make(recordings=tmp_path / "file" / "below").client.post(RECORDINGS, json={})
    assert answer.status_code == 507
    assert "expected a folder that can be written to" in answer.json()["detail"]
