"""Recordings on the disk: listed, deleted, brought back, downloaded."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import open_recording
from qpi_live.service.recording.errors import RecordingHasNoRoom
from qpi_live.service.recording.shelf import Shelf

from tests.camera.files.recorded.recordings import record
from tests.fakes import FakeCamera, fringes
from tests.service.recording.recording_now import RECORDINGS, SHAPE, begin, ended, pages
from tests.service.stations import Bench


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


BROKEN = {
    "layers": ([], ["../x"], "interferogram", [1], None, {}),
    "camera": (None, [], {"settings": [1]}, "x"),
    "bit_depth": (0, 64, "x", None, 1e300, [8]),
    "engine": (None, [], {"detail": 5}),
    "started_ns": ("x", None, 1e300, []),
    "ended_ns": ("x", [], {}),
    "optics": ([1], {"colour": 1}, {"wavelength_m": "x"}, {"wavelength_m": -1}),
    "state": (None, 5, []),
    "sentence": (None, {}),
    "version": ("x", None, [], 99),
}


@pytest.mark.parametrize("key", BROKEN)
def test_manifest_that_somebody_has_broken_hides_no_other_recording_and_is_said(
    bench: Bench, tmp_path: Path, key: str
) -> None:
    name = begin(bench, name="good", frames=2)
    bench.frames(2)
    ended(bench, name)
    kept = tmp_path / "kept"
    sound = json.loads((kept / "good" / "recording.json").read_text())
    for number, value in enumerate(BROKEN[key]):
        shutil.copytree(kept / "good", kept / f"bad{number}")
        (kept / f"bad{number}" / "recording.json").write_text(json.dumps(sound | {key: value}))
    answer = bench.client.get(RECORDINGS)
    assert [one["name"] for one in answer.json()["kept"]] == ["good"]
    for number in range(len(BROKEN[key])):
        for path in ("", "/thumbnail", "/frames/0?layer=interferogram"):
            refusal = bench.client.get(f"{RECORDINGS}/bad{number}{path}")
            assert refusal.status_code in (404, 409), (key, BROKEN[key][number], path)
            assert "expected" in refusal.json()["detail"]
        with pytest.raises(ImageFileError, match=r"expected a recording's recording\.json"):
            open_recording(str(kept / f"bad{number}"))


def test_recording_is_found_by_its_name_however_its_letters_are_composed(bench: Bench, tmp_path: Path) -> None:
    name = begin(bench, name="Zellen für Müller")
    bench.frames(2)
    for other in (unicodedata.normalize("NFD", name), f" {name}"):
        url = f"{RECORDINGS}/{quote(other)}"
        assert bench.client.get(url).json()["running"]["state"] == "recording"
        assert bench.client.delete(url).status_code == 409
    assert bench.client.post(f"{RECORDINGS}/{quote(other)}/stop").json()["kept"]["frames"] == 2
    assert bench.client.get(f"{RECORDINGS}/{quote(other)}/thumbnail").status_code == 200
    assert bench.client.delete(f"{RECORDINGS}/{quote(other)}").status_code == 200
    assert not (tmp_path / "kept" / name).exists()


def test_restore_onto_a_folder_that_cannot_be_written_to_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "old", 2)
    shelf = Shelf(tmp_path)
    shelf.delete("old")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(RecordingHasNoRoom, match="old cannot be brought back: Permission denied"):
        shelf.restore("old")
