"""Every frame that is missing counts once, for one reason."""

import numpy as np
import pytest
from qpi_live.camera.genicam.frame_ids import DUPLICATE, GAP, INCOMPLETE, LATE, UNDERRUN, FrameIds


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


@pytest.mark.parametrize(
    ("device_ids", "used", "losses"),
    [
        ([*range(600), *range(30)], 630, {}),  # below 1024, where a late frame could be meant
        ([500, 501, 300, 301], 4, {}),
        ([500, 501, 502, 1, 2], 5, {}),
        ([*range(600), 5, 6, 7], 602, {DUPLICATE: 1}),  # the first of them might have been a frame sent twice
        ([0, 1, 2, 2, 3, 4], 5, {DUPLICATE: 1}),
        ([0, 1, 2, 3, 2, 4], 5, {DUPLICATE: 1}),
        ([0, 1, 3, 1, 2, 4], 4, {DUPLICATE: 1, LATE: 1}),
        ([0, 1, 2, *[2] * 40], 40, {DUPLICATE: 3}),  # a driver that stops counting goes on showing frames
        ([0, *range(2, 100), 1, *range(100, 200)], 199, {GAP: 1}),  # later than anybody waits for: missing, once
        ([2**32 - 2, 2**32 - 1, 0, 1], 4, {}),
        ([2**32 - 2, 2**32 - 1, 1], 3, {GAP: 1}),
        ([2**64 - 2, 2**64 - 1, 0, 2], 4, {GAP: 1}),
        ([2**63 - 1, 2**63, 2**63 + 2], 3, {GAP: 1}),
    ],
)
def test_frame_ids_that_step_back_count_every_frame_once(
    device_ids: list[int], used: int, losses: dict[str, int]
) -> None:
    followed, lost = _followed(device_ids)
    assert (sum(followed), lost) == (used, losses)


@pytest.mark.parametrize("jump", [1_000_000, 2**40, 2**63, 2**64 - 20])
def test_frame_ids_that_jump_further_than_the_camera_can_expose_are_no_gap(jump: int) -> None:
    now_s = [0.0]
    ids = FrameIds(highest_rate_hz=100.0, clock=lambda: now_s[0])
    for device_id in (*range(10), jump, jump + 1, jump + 4):
        now_s[0] += 0.01
        assert ids.arrived(device_id)
    ids.settle()
    assert ids.losses == {GAP: 2}


def test_frame_ids_after_a_long_stall_count_what_the_camera_exposed_meanwhile() -> None:
    now_s = [0.0]
    ids = FrameIds(highest_rate_hz=100.0, clock=lambda: now_s[0])
    for device_id in range(100):
        now_s[0] += 0.01
        ids.arrived(device_id)
    now_s[0] += 60.0
    for device_id in (*range(100, 164), 6100):  # those that the driver had room for come at once
        ids.arrived(device_id)
    ids.settle()
    assert ids.losses == {GAP: 6100 - 164}


def test_frame_ids_count_underruns_of_a_driver_that_gives_them_no_id_while_it_streams() -> None:
    ids = FrameIds()
    for device_id in range(200):
        ids.arrived(device_id)
        if device_id == 20:
            ids.underruns(3)
    assert ids.losses == {UNDERRUN: 3}
    for device_id in (*range(201, 400),):
        ids.arrived(device_id)
    assert ids.losses == {UNDERRUN: 3, GAP: 1}  # which they do not explain


def test_frame_ids_of_an_incomplete_buffer_that_comes_late_count_once() -> None:
    ids = FrameIds()
    ids.arrived(0)
    ids.arrived(2)
    ids.incomplete()  # 1
    for device_id in range(3, 200):
        ids.arrived(device_id)
    ids.settle()
    assert ids.losses == {INCOMPLETE: 1}


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
