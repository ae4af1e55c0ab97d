"""The comparison on people's holograms runs as its users run it, on a folder of small ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.test_benches import last_line, run
from tests.models.fringes import bump, interferogram

SMALL = ("--size", "96", "--residues", "0,20", "--repeats", "1")


@pytest.fixture
def holograms(tmp_path: Path) -> Path:
    """One hologram without residues, one with a fold in its phase, a truth and a letter."""
    folder = tmp_path / "holograms"
    folder.mkdir()
    y, x = np.mgrid[:256, :320]
    fold = np.where(x < 160, 0.0, 4.0) * np.exp(-((y - 128) ** 2) / 2 / 20**2)
    Image.fromarray(interferogram(bump())).save(folder / "bump.png")
    Image.fromarray(interferogram(fold)).save(folder / "fold.png")
    np.save(folder / "bump_truth.npy", bump())
    (folder / "README.md").write_text("small holograms")
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(folder / "black.png")
    return folder


def test_holograms_without_peers_reports_every_file_and_the_cost_of_residues(holograms: Path) -> None:
    document = last_line(run("bench/holograms.py", "--holograms", str(holograms), "--no-peers", *SMALL))
    assert document["holograms"].keys() == {"bump.png", "fold.png"}
    assert document["left_out"].keys() == {"black.png"}
    bump_row = document["holograms"]["bump.png"]
    assert (bump_row["residues"], bump_row["disputed_pixels"]) == (0, 0)
    assert bump_row["unwrappers"].keys() == {"goldstein"}
    assert bump_row["unwrappers"]["goldstein"]["bright_jumps"] == 0
    assert 0 < bump_row["unwrappers"]["goldstein"]["min_ms"] <= bump_row["unwrappers"]["goldstein"]["median_ms"]
    assert document["residues"]["0"]["residues"] == 0
    assert abs(document["residues"]["20"]["residues"] - 20) < 10


def test_holograms_with_peers_compares_them_and_draws_them(holograms: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the peers are not installed: pip install 'qpi-live[peers]'")
    pytest.importorskip("qpretrieve", reason="the peers are not installed: pip install 'qpi-live[peers]'")
    pictures = tmp_path / "pictures"
    asked = ["--cases", str(holograms), "--pictures", str(pictures), "--residues", "", "--repeats", "1"]
    document = last_line(run("bench/holograms.py", *asked))
    for row in document["holograms"].values():
        assert "scikit-image" in row["unwrappers"]
        jumps = {name: one["bright_jumps"] for name, one in row["unwrappers"].items()}
        assert jumps["goldstein"] <= jumps["scikit-image"]
    assert {path.name for path in pictures.iterdir()} == {"bump.png", "fold.png"}


def test_holograms_in_no_folder_is_refused_with_one_sentence() -> None:
    process = run("bench/holograms.py", "--holograms", "/no/such/folder", "--no-peers")
    assert process.returncode == 2
    assert "expected a folder of holograms" in " ".join(process.stderr.split())
