"""Every frame that is missing counts once, for one reason."""

import numpy as np
import pytest
from qpi_live.camera.genicam.frame_ids import GAP, INCOMPLETE, LATE, UNDERRUN, FrameIds


def _followed(device_ids: list[int]) -> tuple[list[bool], dict[str, int]]:
    ids = FrameIds()
    used = [ids.arrived(device_id) for device_id in device_ids]
    ids.settle()
    return used, dict(ids.losses)


def test_frame_ids_without_gap_lose_nothing() -> None:
    assert _followed([7, 8, 9, 10]) == ([True] * 4, {})


def test_frame_ids_with_gaps_count_every_missing_frame() -> None:
    assert _followed([0, 1, 4, 5, 9]) == ([True] * 5, {GAP: 5})


def test_frame_ids_with_a_gap_longer_than_the_window_count_all_of_it() -> None:
    assert _followed([0, 5000]) == ([True] * 2, {GAP: 4999})


def test_frame_ids_count_a_gap_before_the_stream_ends() -> None:
    ids = FrameIds()
    for device_id in (0, 2, *range(3, 200)):
        ids.arrived(device_id)
    assert ids.losses == {GAP: 1}


@pytest.mark.parametrize(
    ("device_ids", "lost"),
    [
        ([65534, 65535, 1, 2], 0),  # GigE Vision 1.x skips 0
        ([65534, 1, 2], 1),
        ([65533, 3], 4),
        ([0, 65535, 0, 1], 65534),  # a camera that counts from 0 does not skip it
    ],
)
def test_frame_ids_of_16_bits_wrap_without_a_gap(device_ids: list[int], lost: int) -> None:
    used, losses = _followed(device_ids)
    assert all(used)
    assert sum(losses.values()) == lost


def test_frame_ids_that_come_late_across_the_wrap_are_late() -> None:
    assert _followed([65534, 1, 65535, 2]) == ([True, True, False, True], {LATE: 1})


def test_frame_ids_of_a_late_frame_count_it_as_late_and_not_as_missing() -> None:
    assert _followed([0, 2, 1, 3, 5]) == ([True, True, False, True, True], {LATE: 1, GAP: 1})


def test_frame_ids_of_a_counter_that_starts_again_are_no_gap() -> None:
    assert _followed([100_000, 100_001, 0, 1, 3]) == ([True] * 5, {GAP: 1})


@pytest.mark.parametrize(
    "device_ids",
    [
        [40_000, 40_001, 0, 1],  # too far from 65535 for a wrap
        [64_000, 64_001, 1, 2],
        [65_535, 65_536, 1, 2],  # has had an id of more than 16 bits
    ],
)
def test_frame_ids_of_a_wide_counter_that_starts_again_below_16_bits_are_no_gap(device_ids: list[int]) -> None:
    assert _followed(device_ids) == ([True] * 4, {})


def test_frame_ids_once_seen_to_wrap_wrap_across_any_loss() -> None:
    missing = (65_535 - 60_000) + 4999
    assert _followed([65_535, 1, 30_000, 60_000, 5000]) == ([True] * 5, {GAP: 29_998 + 29_999 + missing})


def test_frame_ids_that_never_change_let_every_frame_pass() -> None:
    assert _followed([0, 0, 0, 0]) == ([True] * 4, {})


def test_frame_ids_count_underruns_that_no_gap_shows() -> None:
    ids = FrameIds()
    ids.arrived(0)
    ids.underruns(3)
    ids.arrived(2)
    ids.settle()
    assert ids.losses == {UNDERRUN: 3}


def test_frame_ids_explained_by_incomplete_buffers_and_underruns_count_once() -> None:
    ids = FrameIds()
    ids.arrived(0)
    ids.incomplete()
    ids.underruns(2)
    ids.arrived(6)
    ids.settle()
    assert ids.losses == {INCOMPLETE: 1, UNDERRUN: 2, GAP: 2}


def test_frame_ids_of_any_order_account_for_every_exposed_frame() -> None:
    rng = np.random.default_rng(3)
    ids, exposed, fates = FrameIds(), 20_000, rng.choice(4, 20_000, p=(0.9, 0.05, 0.03, 0.02))
    used, held_back, sent = 0, None, 0
    for device_id in range(exposed):
        fate = fates[device_id] if 0 < device_id < exposed - 1 else 0
        if fate == 1:
            continue
        if fate == 2:
            ids.incomplete()
            continue
        if fate == 3 and held_back is None:
            held_back = device_id
            continue
        used += ids.arrived(1 + device_id % 65535)
        sent += 1
        if held_back is not None:
            assert not ids.arrived(1 + held_back % 65535)
            held_back = None
    ids.settle()
    assert used == sent
    assert used + sum(ids.losses.values()) == exposed
    assert ids.losses[INCOMPLETE] == np.count_nonzero(fates[1:-1] == 2)
