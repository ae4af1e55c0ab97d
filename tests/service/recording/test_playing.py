"""Recordings looked at again: the same frames, through the real engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from threading import current_thread

import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.wire import unpack

from tests.fakes import FakeCamera, fringes
from tests.service.stations import Bench, until

RECORDINGS = "/api/v1/recordings"


@pytest.fixture
def played(make_bench: Callable[..., Bench], tmp_path: Path) -> Bench:
    """A station of the real engine, with a recording of six frames."""
    bench = make_bench(
        open_engine("goldstein", EngineOptions(threads=1)),
        FakeCamera((128, 160)),
        recordings=tmp_path / "kept",
        recordings_free_mb=0,
    )
    bench.frames(1)
    bench.client.post(RECORDINGS, json={"name": "run", "frames": 6})
    bench.frames(6)
    assert bench.station.recordings._recorder("run").wait(30)
    return bench


def test_played_frame_is_the_recorded_one(played: Bench) -> None:
    for number in range(6):
        answer = played.client.get(f"{RECORDINGS}/run/frames/{number}", params={"layer": "interferogram"})
        assert (np.load(BytesIO(answer.content)) == fringes((128, 160), number + 1)).all()


def test_played_phase_is_what_the_live_engine_made(played: Bench) -> None:
    (live,) = played.frames(1, shown=fringes((128, 160), 3))
    answer = played.client.get(f"{RECORDINGS}/run/frames/2", params={"format": "qpif", "engine": "goldstein"})
    assert answer.status_code == 200, answer.text
    message = unpack(answer.content)
    assert np.abs(message.payload - live.phase.phase_rad).max() < 1e-3
    assert (message.header.sequence, message.header.camera) == (2, "recording:run")
    assert message.header.wavelength_m == pytest.approx(532e-9)


def test_frame_or_recording_that_is_not_there_is_404(played: Bench) -> None:
    assert played.client.get(f"{RECORDINGS}/run/frames/6").status_code == 404
    assert played.client.get(f"{RECORDINGS}/other/frames/0").status_code == 404
    assert played.client.get(f"{RECORDINGS}/other/thumbnail").status_code == 404
    assert played.client.get(f"{RECORDINGS}/run/frames/0", params={"engine": "/etc/passwd"}).status_code == 422


def test_thumbnail_is_a_small_picture_with_contrast(played: Bench) -> None:
    answer = played.client.get(f"{RECORDINGS}/run/thumbnail")
    picture = np.asarray(Image.open(BytesIO(answer.content)))
    assert max(picture.shape) <= 96
    assert np.ptp(picture) > 200


def test_played_phase_has_the_calibration_that_was_in_force(played: Bench, tmp_path: Path) -> None:
    empty = fringes((128, 160), 3)
    tifffile.imwrite(tmp_path / "kept" / "run" / "calibration.tif", empty)
    asked = {"format": "npy", "engine": "goldstein"}
    answer = played.client.get(f"{RECORDINGS}/run/frames/2", params=asked)  # the very same interferogram
    assert answer.status_code == 200, answer.text
    assert np.abs(np.load(BytesIO(answer.content))).max() < 0.05
    other = played.client.get(f"{RECORDINGS}/run/frames/5", params=asked)
    assert np.abs(np.load(BytesIO(other.content))).max() > 0.5


def test_played_frame_is_packed_beside_the_event_loop(played: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, real = [], np.save

    def noted(*arguments: object, **named: object) -> None:
        threads.append(current_thread().name)
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "save", noted)
    for layer in ("interferogram", "phase"):
        params = {"layer": layer, "engine": "goldstein"}
        assert played.client.get(f"{RECORDINGS}/run/frames/1", params=params).status_code == 200
    assert len(threads) == 2
    assert all("AnyIO worker" in name for name in threads)


def test_player_shows_the_recording_that_has_the_name_now_whoever_put_it_there(played: Bench, tmp_path: Path) -> None:
    def shown() -> np.ndarray:
        answer = played.client.get(f"{RECORDINGS}/run/frames/0?layer=interferogram")
        return np.load(BytesIO(answer.content))

    old = shown()
    shutil.rmtree(tmp_path / "kept" / "run")  # by hand, or by another camera's line
    played.frames(3)
    played.client.post(RECORDINGS, json={"name": "run", "frames": 2})
    new = played.frames(2)
    assert played.station.recordings._recorder("run").wait(30)
    assert np.array_equal(shown(), new[0].frame.pixels)
    assert not np.array_equal(shown(), old)
    assert played.client.get(f"{RECORDINGS}/run/frames/2?layer=interferogram").status_code == 404


def test_player_shows_the_frames_that_a_recording_has_got_meanwhile(played: Bench) -> None:
    played.client.post(RECORDINGS, json={"name": "grows"})
    played.frames(2)
    until(lambda: played.station.recordings.status("grows").frames == 2)
    assert played.client.get(f"{RECORDINGS}/grows/frames/1?layer=interferogram").status_code == 200
    sent = played.frames(3)
    played.client.post(f"{RECORDINGS}/grows/stop")
    answer = played.client.get(f"{RECORDINGS}/grows/frames/4?layer=interferogram")
    assert np.array_equal(np.load(BytesIO(answer.content)), sent[-1].frame.pixels)


@pytest.mark.parametrize("name", ["Müller", "顕微鏡 1"])
def test_played_frame_of_a_recording_of_any_letters_says_where_it_is_from(played: Bench, name: str) -> None:
    played.client.post(RECORDINGS, json={"name": name, "frames": 2})
    played.frames(2)
    assert played.station.recordings._recorder(name).wait(30)
    for layer in ("interferogram", "phase"):
        answer = played.client.get(f"{RECORDINGS}/{name}/frames/1?layer={layer}")
        assert answer.status_code == 200
        assert json.loads(answer.headers["QPI-Frame"])["camera"] == f"recording:{name}"
    for file in played.client.get(f"{RECORDINGS}/{name}").json()["kept"]["files"]:
        assert played.client.get(f"{RECORDINGS}/{name}/files/{file}").status_code == 200
