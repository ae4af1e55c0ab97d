"""Pairs from real frames and from folders: what is trusted, what is left out, and why."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.training.label import label, read_pairs, why_untrustworthy, write_split
from qpi_live.models.training.pairs import DataError, PairSet

from tests.models.fringes import bump, frame, interferogram


@pytest.fixture
def engine() -> ClassicalEngine:
    return ClassicalEngine(EngineOptions(threads=1))


def test_label_keeps_good_frames_and_counts_the_others_by_reason(tmp_path: Path, engine: ClassicalEngine) -> None:
    good = [frame(interferogram(bump()), sequence=n) for n in range(4)]
    blank = frame(np.full(good[0].shape, 80, np.uint8))
    white = good[0].pixels.copy()
    white[:40] = 255
    done = label([*good, blank, frame(white)], engine, tmp_path / "set", {"recording": "bench"})
    assert done.written == 4
    assert done.left_out["saturated"] == 1
    assert sum(done.left_out.values()) == 2
    pair_set = PairSet(tmp_path / "set", "train")
    np.testing.assert_array_equal(pair_set.pixels(0), good[0].pixels)
    assert np.sqrt(np.mean((pair_set.phase_rad(0) - bump())[16:-16, 16:-16] ** 2)) < 0.15


def test_label_of_frames_without_fringes_writes_nothing_and_says_why(tmp_path: Path, engine: ClassicalEngine) -> None:
    blank = [frame(np.full((256, 256), 80, np.uint8)) for _ in range(3)]
    with pytest.raises(DataError, match=r"got 0 \(3 uniform\)"):
        label(blank, engine, tmp_path / "set", {})
    assert not (tmp_path / "set").exists()


def test_label_of_a_cell_full_of_residues_is_not_trusted(engine: ClassicalEngine) -> None:
    noisy = interferogram(bump())
    rng = np.random.default_rng(0)
    inside = bump() > 2
    noisy[inside] = rng.integers(60, 120, int(inside.sum()))
    assert why_untrustworthy(engine.retrieve(frame(noisy))) in ("residues inside cells", "disputed regions")
    assert why_untrustworthy(engine.retrieve(frame(interferogram(bump())))) is None


def write_folders(folder: Path, names: list[str]) -> tuple[Path, Path]:
    grey, true = folder / "grey", folder / "true"
    grey.mkdir()
    true.mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(grey / f"{name}.tif", interferogram(bump()))
        np.save(true / f"{name}.npy", bump() + number)
    return grey, true


def test_read_pairs_matches_files_by_name_and_splits_them_in_the_papers_proportions(tmp_path: Path) -> None:
    grey, true = write_folders(tmp_path, [f"cell{n}" for n in range(20)])
    found, bit_depth = read_pairs(grey, true)
    assert (len(found), bit_depth) == (20, 8)
    write_split(found, tmp_path / "set", bit_depth, {"kind": "gathered"})
    assert [len(PairSet(tmp_path / "set", split)) for split in ("train", "validation", "test")] == [14, 3, 3]


def test_read_pairs_file_without_partner_is_named(tmp_path: Path) -> None:
    grey, true = write_folders(tmp_path, ["a", "b"])
    (true / "b.npy").unlink()
    with pytest.raises(DataError, match="'b' and 0 more without a partner"):
        read_pairs(grey, true)


@pytest.mark.parametrize(
    "phase", [np.zeros((4, 4), np.float32), np.zeros((256, 256), int), np.full((256, 256), np.nan)]
)
def test_read_pairs_phase_that_does_not_fit_is_refused(tmp_path: Path, phase: np.ndarray) -> None:
    grey, true = write_folders(tmp_path, ["a"])
    np.save(true / "a.npy", phase)
    with pytest.raises(DataError, match="expected a"):
        read_pairs(grey, true)


def test_read_pairs_pickled_phase_is_refused(tmp_path: Path) -> None:
    grey, true = write_folders(tmp_path, ["a"])
    np.save(true / "a.npy", np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="expected a phase in rad"):
        read_pairs(grey, true)


def test_label_of_frames_of_growing_depth_keeps_every_grey_value(tmp_path: Path, engine: ClassicalEngine) -> None:
    eight = interferogram(bump())
    deep = eight.astype(np.uint16) * 4
    frames = [frame(deep, 10), frame(eight, 8), frame(deep, 10), frame(eight, 8)]
    label(frames, engine, tmp_path / "set", {})
    sets = [PairSet(tmp_path / "set", split) for split in ("train", "validation", "test")]
    assert {pair_set.bit_depth for pair_set in sets} == {10}
    written = [pair_set.pixels(number) for pair_set in sets for number in range(len(pair_set))]
    for pixels, labelled in zip(written, frames, strict=True):
        np.testing.assert_array_equal(pixels, labelled.pixels)


def test_write_split_gives_each_split_one_stretch_so_that_no_frame_has_its_neighbour_in_another(
    tmp_path: Path,
) -> None:
    shape = (16, 16)
    pairs = [(np.full(shape, number, np.uint8), np.zeros(shape, np.float32)) for number in range(40)]
    write_split(pairs, tmp_path / "set", 8, {})
    order = {
        split: [int(pair_set.pixels(number)[0, 0]) for number in range(len(pair_set))]
        for split in ("train", "validation", "test")
        for pair_set in [PairSet(tmp_path / "set", split)]
    }
    assert [*order["train"], *order["validation"], *order["test"]] == list(range(40))


def test_read_pairs_leaves_hidden_files_out_and_goes_in_natural_order(tmp_path: Path) -> None:
    grey, true = write_folders(tmp_path, [f"cell{number}" for number in (2, 10, 1)])
    (grey / "._cell1.tif").write_bytes(b"a Mac's")
    found, _ = read_pairs(grey, true)
    assert [round(float(phase_rad.min() - bump().min())) for _, phase_rad in found] == [2, 0, 1]
