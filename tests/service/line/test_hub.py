"""The hub and its mailboxes: the newest wins, each client alone, and every frame is counted."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic, monotonic_ns, time_ns

import pytest
from qpi_live.camera.frame import Frame
from qpi_live.service.line.hub import Hub, Mailbox
from qpi_live.service.line.live import LiveFrame

from tests.fakes import FakeCamera, FakeEngine, fringes


def live(sequence: int) -> LiveFrame:
    frame = Frame(fringes((64, 80), sequence), 8, sequence, time_ns(), monotonic_ns())
    return LiveFrame.timed(FakeEngine().retrieve(frame), FakeCamera().identity, monotonic_ns())


def test_mailbox_gives_the_newest_and_counts_what_it_replaced() -> None:
    box: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        box.offer(item)
    assert box.take() == 3
    assert box.take() is None
    snapshot = box.account.snapshot()
    assert (snapshot.captured, snapshot.dropped, snapshot.in_flight) == (3, {"superseded": 2}, 1)
    assert snapshot.is_exact


def test_mailbox_that_is_closed_drops_what_nobody_took_and_takes_no_more() -> None:
    box: Mailbox[int] = Mailbox()
    box.offer(1)
    box.close()
    box.offer(2)
    box.close()
    assert box.take() is None
    snapshot = box.account.snapshot()
    assert (snapshot.captured, snapshot.dropped, snapshot.in_flight) == (1, {"unsubscribed": 1}, 0)


def test_mailbox_wakes_its_reader_on_arrival_and_at_the_end() -> None:
    woken: list[str] = []
    box: Mailbox[int] = Mailbox(lambda: woken.append("now"))
    box.offer(1)
    box.offer(2)
    box.close()
    assert woken == ["now"] * 3
    box.offer(3)
    assert woken == ["now"] * 3


def test_mailbox_wait_returns_at_once_with_an_item_or_at_its_end_and_else_after_its_time() -> None:
    box: Mailbox[int] = Mailbox()
    assert box.wait(0.01) is None
    waits, got = Event(), []

    def read() -> None:
        waits.set()
        got.append(box.wait(60.0))
        got.append(box.wait(60.0))

    reader = Thread(target=read)
    began = monotonic()
    reader.start()
    assert waits.wait(10)
    box.offer(7)
    while not got:
        reader.join(0.01)
    box.close()
    reader.join(30)
    assert got == [7, None]
    assert monotonic() - began < 50


def test_hub_gives_each_frame_to_every_subscriber_and_a_slow_one_holds_nobody_up() -> None:
    hub = Hub()
    quick, slow = hub.subscribe("quick"), hub.subscribe("slow")
    for sequence in range(3):
        hub.publish(live(sequence))
        taken = quick.take()
        assert taken is not None
        assert taken.frame.sequence == sequence
        quick.account.delivered()
    last = slow.take()
    assert last is hub.latest
    assert quick.account.snapshot().dropped == {}
    assert slow.account.snapshot().dropped == {"superseded": 2}


def test_hub_gives_the_newest_frame_to_who_comes_later() -> None:
    hub = Hub()
    assert hub.latest is None
    hub.publish(live(5))
    late = hub.subscribe("late").take()
    assert late is not None
    assert late.frame.sequence == 5


def test_hub_subscriber_that_left_gets_nothing_more_and_its_name_is_free() -> None:
    hub = Hub()
    gone = hub.subscribe("one")
    hub.unsubscribe("one")
    hub.unsubscribe("nobody")
    hub.publish(live(0))
    assert gone.take() is None
    assert hub.subscribers() == {}
    assert list({"one": hub.subscribe("one")}) == ["one"]


def test_hub_name_that_is_taken_is_refused_and_changes_nothing() -> None:
    hub = Hub()
    first = hub.subscribe("one")
    with pytest.raises(ValueError, match="expected a subscriber's name that is free, got 'one'"):
        hub.subscribe("one")
    assert hub.subscribers() == {"one": first}
