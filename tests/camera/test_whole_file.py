from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.camera.whole_file import whole_file


def test_whole_file_written_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")
    with whole_file(path) as written:
        written.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.json"]


def test_whole_file_after_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")
    with pytest.raises(TypeError), whole_file(path) as written:
        written.write_text(2)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.json"]


def test_whole_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), whole_file(tmp_path / "nowhere" / "kept.json"):
        pytest.fail("there is nothing to write to")
