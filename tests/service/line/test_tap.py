"""The tap before the queue: every frame, for one reader, whatever the engine and the reader do."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic_ns, time_ns

import pytest
from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.frame import Frame
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.service.line.tap import Tap, Taps

from tests.fakes import FakeEngine, fringes
from tests.service.stations import PATIENCE_S, Bench, until

SHAPE = (64, 80)


def frame(number: int) -> Frame:
    return Frame(fringes(SHAPE, number), 8, number, time_ns(), monotonic_ns())


class SlowEngine(FakeEngine):
    """Keeps its first frame until it is released, so that the queue drops what comes meanwhile."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.release = Event()

    def retrieve(self, given: Frame) -> PhaseFrame:
        assert self.release.wait(PATIENCE_S)
        return super().retrieve(given)


def test_tap_gets_every_frame_in_order_while_the_queue_drops(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(SlowEngine())
    tap = bench.station.pipeline.taps.open()
    bench.camera.lose("camera gap", 3)
    bench.camera.send(40)
    taken = []
    while len(taken) < 40:
        got = tap.take(PATIENCE_S)
        assert got is not None
        taken.append(got.sequence)
        tap.account.delivered()
    assert taken == list(range(40))
    assert tap.account.snapshot() == AccountSnapshot(43, 40, 0, {"camera gap": 3})
    until(lambda: bench.station.pipeline.account.snapshot().dropped.get("queue full", 0) > 30)
    bench.engine.release.set()
    bench.assert_exact()


def test_tap_whose_reader_sleeps_drops_the_newest_and_holds_nobody(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    room = 5
    tap = bench.station.pipeline.taps.open(most_bytes=room * 96 * 128)
    assert len(bench.frames(20)) == 20
    account = tap.account.snapshot()
    assert (account.captured, account.in_flight, account.dropped) == (20, room, {"tap full": 15})
    assert account.is_exact
    assert [taken.sequence for taken in iter(lambda: tap.take(0), None)] == list(range(room))


def test_tap_takes_one_frame_however_large() -> None:
    tap = Tap(most_bytes=1)
    tap.offer(frame(0))
    tap.offer(frame(1))
    assert tap.account.snapshot() == AccountSnapshot(2, 0, 1, {"tap full": 1})
    assert tap.take(0) is not None
    tap.account.delivered()
    tap.offer(frame(2))
    assert tap.account.snapshot() == AccountSnapshot(3, 1, 1, {"tap full": 1})


def test_tap_that_is_closed_gives_what_waits_and_takes_nothing_more() -> None:
    taps = Taps()
    tap = taps.open()
    taps.offer(frame(0))
    taps.close(tap)
    taps.offer(frame(1))
    tap.offer(frame(2))
    assert (tap.is_closed, tap.account.snapshot().captured) == (True, 1)
    taken = tap.take(0)
    assert taken is not None
    tap.account.failed("disk full")
    assert tap.take(PATIENCE_S) is None  # at once
    assert tap.account.snapshot() == AccountSnapshot(1, 0, 0, {}, {"disk full": 1})


def test_tap_whose_waiting_frames_are_given_up_counts_them() -> None:
    tap = Tap(1 << 20)
    tap.offer(frame(0))
    tap.offer(frame(1))
    tap.close()
    tap.drop_waiting()
    assert tap.account.snapshot() == AccountSnapshot(2, 0, 0, {"tap closed": 2})


def test_tap_of_a_camera_that_is_lost_and_comes_back_goes_on_in_another_epoch(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qpi_live.service.line import pipeline

    monkeypatch.setattr(pipeline, "_FIRST_RETRY_S", 0.01)
    bench = make_bench()
    tap = bench.station.pipeline.taps.open()
    bench.frames(2)
    bench.camera.fail(CameraLost("expected a frame, the camera is gone."))
    bench.frames(2)
    taken = list(iter(lambda: tap.take(0), None))
    assert [(one.sequence, one.epoch) for one in taken] == [(0, 1), (1, 1), (2, 2), (3, 2)]


def test_taps_under_load_are_exact_at_every_look() -> None:
    taps, sent = Taps(), 2000
    fast, slow = taps.open(), taps.open(most_bytes=3 * SHAPE[0] * SHAPE[1])
    one = frame(0)

    def read(tap: Tap) -> None:
        while tap.take(PATIENCE_S) is not None:
            tap.account.delivered()

    readers = [Thread(target=read, args=(tap,)) for tap in (fast, slow)]
    for reader in readers:
        reader.start()
    for _ in range(sent):
        taps.offer(one)
        assert fast.account.snapshot().is_exact
        assert slow.account.snapshot().is_exact
    taps.close_all()
    for reader in readers:
        reader.join(PATIENCE_S)
    assert fast.account.snapshot() == AccountSnapshot(sent, sent, 0)
    ended = slow.account.snapshot()
    assert ended.delivered + ended.dropped.get("tap full", 0) == sent
