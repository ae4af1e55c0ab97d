"""Nobody's frame is ever written over, and nobody's slot is ever forgotten."""

import gc
import os
from collections.abc import Iterator

import numpy as np
import pytest
from qpi_live.camera.capture.slots import MOST_SLOTS, SlotLayout, Slots, attach_slots, create_slots
from qpi_live.camera.frame import Frame

LAYOUT = SlotLayout((30, 50), "uint16", 4)


@pytest.fixture
def pair() -> Iterator[tuple[Slots, Slots]]:
    """The same slots as the filler and the lender see them."""
    lender, token = create_slots(LAYOUT)
    filler = attach_slots(LAYOUT, os.dup(token) if isinstance(token, int) else token)  # type: ignore[arg-type]
    yield filler, lender
    if isinstance(token, int):
        os.close(token)


def _fill(filler: Slots, value: int) -> int:
    slot = filler.take()
    assert slot is not None
    filler.pixels(slot)[...] = value
    return slot


def test_slots_show_in_one_process_what_the_other_wrote(pair: tuple[Slots, Slots]) -> None:
    filler, lender = pair
    pixels = lender.lend(_fill(filler, 41_000))
    assert pixels.shape == LAYOUT.shape
    assert (pixels == 41_000).all()


def test_slots_are_page_aligned_and_apart(pair: tuple[Slots, Slots]) -> None:
    _, lender = pair
    addresses = [lender.pixels(slot).ctypes.data for slot in range(LAYOUT.count)]
    assert all(address % 4096 == 0 for address in addresses)
    assert set(np.diff(addresses)) == {LAYOUT.stride}
    assert lender.pinnable.ctypes.data == addresses[0]
    assert lender.pinnable.size == LAYOUT.count * LAYOUT.stride


def test_slots_that_are_lent_are_not_taken_until_the_last_view_is_gone(pair: tuple[Slots, Slots]) -> None:
    filler, lender = pair
    frame = Frame(lender.lend(_fill(filler, 7)), 12, 0, 0, 0)
    view = frame.pixels[5:, ::2]
    others = [_fill(filler, 9) for _ in range(LAYOUT.count - 1)]
    assert filler.take() is None
    del frame
    gc.collect()
    assert filler.take() is None
    assert (view == 7).all()
    del view
    gc.collect()
    assert filler.take() not in (None, *others)


def test_slots_copied_out_are_free_at_once(pair: tuple[Slots, Slots]) -> None:
    filler, lender = pair
    slot = _fill(filler, 3)
    copy = lender.copy_out(slot)
    assert lender.free == LAYOUT.count
    _fill(filler, 4)
    assert (copy == 3).all()


def test_slots_outlive_their_makers_as_long_as_a_frame_is_held() -> None:
    slots, token = create_slots(LAYOUT)
    pixels = slots.lend(_fill(slots, 5))
    del slots
    if isinstance(token, int):
        os.close(token)
    gc.collect()
    assert (pixels == 5).all()


def test_slots_carry_the_fillers_counters_and_heartbeat(pair: tuple[Slots, Slots]) -> None:
    filler, lender = pair
    filler.losses = [1, 2, 3]
    filler.heartbeat_ns = 2**40
    assert lender.losses[:4] == [1, 2, 3, 0]
    assert lender.heartbeat_ns == 2**40


@pytest.mark.parametrize(("side", "count"), [(64, MOST_SLOTS), (4096, 16), (20_000, 8)])
def test_slot_layout_of_any_frame_stays_within_bounds(side: int, count: int) -> None:
    assert SlotLayout.of_frames((side, side), np.dtype(np.uint8)).count == count
