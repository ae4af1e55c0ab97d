"""Folders of pairs: what is written is what is read, and half a set is none."""

from pathlib import Path

import numpy as np
import pytest
from qpi_live.models.training.pairs import DataError, PairSet, PairWriter

SPLITS = {"train": 3, "validation": 1, "test": 2}


def write(folder: Path, bit_depth: int = 8, count: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    pairs = []
    with PairWriter(folder, SPLITS, (64, 96), bit_depth, {"kind": "test"}) as writer:
        for number in range(count):
            pixels = rng.integers(0, 2**bit_depth, (64, 96)).astype(np.uint8 if bit_depth <= 8 else np.uint16)
            phase_rad = rng.uniform(-1, 14, (64, 96)).astype(np.float32)
            writer.add(pixels, phase_rad, f"condition {number}")
            pairs.append((pixels, phase_rad))
    return pairs


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_pair_set_written_and_read_keeps_splits_pixels_and_phase(tmp_path: Path, bit_depth: int) -> None:
    pairs = write(tmp_path / "set", bit_depth)
    read = {split: PairSet(tmp_path / "set", split) for split in SPLITS}
    assert {split: len(pair_set) for split, pair_set in read.items()} == SPLITS
    test = read["test"]
    np.testing.assert_array_equal(test.pixels(0), pairs[4][0])
    np.testing.assert_allclose(test.phase_rad(1), pairs[5][1], atol=4e-3)  # half precision at 8 … 16 rad
    assert test.conditions == ["condition 4", "condition 5"]
    assert test.numbers == [4, 5]


def test_pair_set_whole_is_scaled_to_zero_to_one_and_the_phase_cut(tmp_path: Path) -> None:
    pixels, phase_rad = write(tmp_path / "set")[0]
    whole = PairSet(tmp_path / "set", "train").whole(0)
    np.testing.assert_allclose(whole.interferogram, pixels / 255, rtol=1e-6)
    np.testing.assert_allclose(whole.phase, np.clip(phase_rad / 12, 0, 1), atol=4e-4)
    assert whole.phase.min() == 0
    assert whole.phase.max() == 1


def test_pair_set_crop_is_the_same_piece_of_both_and_depends_on_the_generator_alone(tmp_path: Path) -> None:
    write(tmp_path / "set")
    pair_set = PairSet(tmp_path / "set", "train")
    crop, again = (pair_set.crop(1, 32, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(crop.interferogram, again.interferogram)
    whole = pair_set.whole(1)
    places = [
        (y, x)
        for y in range(64 - 31)
        for x in range(96 - 31)
        if np.array_equal(whole.interferogram[y : y + 32, x : x + 32], crop.interferogram)
    ]
    assert len(places) == 1
    (y, x) = places[0]
    np.testing.assert_array_equal(whole.phase[y : y + 32, x : x + 32], crop.phase)


def test_pair_set_epoch_order_visits_each_pair_once_and_changes_with_the_epoch(tmp_path: Path) -> None:
    write(tmp_path / "set")
    pair_set = PairSet(tmp_path / "set", "train")
    orders = [tuple(pair_set.epoch_order(0, epoch)) for epoch in range(8)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(set(orders)) > 1
    assert tuple(pair_set.epoch_order(0, 3)) == orders[3]


def test_pair_writer_that_stops_early_leaves_no_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 6 pairs, got 5"):
        write(tmp_path / "set", count=5)
    with pytest.raises(DataError, match="expected a folder of pairs"):
        PairSet(tmp_path / "set", "train")


def test_pair_writer_onto_a_finished_set_refuses_and_leaves_it(tmp_path: Path) -> None:
    pairs = write(tmp_path / "set")
    with pytest.raises(DataError, match="name another"):
        write(tmp_path / "set")
    np.testing.assert_array_equal(PairSet(tmp_path / "set", "train").pixels(0), pairs[0][0])


def test_pair_set_unknown_split_or_foreign_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "set")
    with pytest.raises(DataError, match="split among train, validation, test"):
        PairSet(tmp_path / "set", "holdout")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"format": "something else"}')
    with pytest.raises(DataError, match=r"expected a folder of pairs .* says 'something else'"):
        PairSet(tmp_path / "other", "train")


@pytest.mark.parametrize(
    ("pixels", "phase_rad"),
    [
        (np.full((64, 96), 256, np.uint16), np.zeros((64, 96), np.float32)),
        (np.full((64, 96), 4.5), np.zeros((64, 96), np.float32)),
        (np.full((64, 96), -1, np.int16), np.zeros((64, 96), np.float32)),
        (np.zeros((64, 96), np.uint8), np.full((64, 96), np.nan, np.float32)),
        (np.zeros((64, 96), np.uint8), np.full((64, 96), 1e6, np.float32)),
    ],
)
def test_pair_writer_refuses_what_the_files_would_not_give_back(
    tmp_path: Path, pixels: np.ndarray, phase_rad: np.ndarray
) -> None:
    writer = PairWriter(tmp_path / "set", SPLITS, (64, 96), 8, {})
    with pytest.raises(DataError, match="expected"):
        writer.add(pixels, phase_rad, "real")
