"""A frame rate on a clock that the test turns by hand."""

import pytest
from qpi_live.camera.errors import CameraTimeout
from qpi_live.camera.pace import Pace


class HandTurnedClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> HandTurnedClock:
    return HandTurnedClock()


def _wait_and_note(pace: Pace, clock: HandTurnedClock) -> float:
    pace.wait(10.0)
    return clock.now_s


def test_pace_sends_the_first_frame_at_once_and_keeps_the_period(clock: HandTurnedClock) -> None:
    pace = Pace(4.0, clock, clock.sleep)
    assert [_wait_and_note(pace, clock) for _ in range(4)] == [100.0, 100.25, 100.5, 100.75]


def test_pace_of_a_reader_that_is_a_little_late_keeps_the_mean_rate(clock: HandTurnedClock) -> None:
    pace = Pace(4.0, clock, clock.sleep)
    pace.wait(1.0)
    clock.now_s += 0.35
    assert [_wait_and_note(pace, clock) for _ in range(2)] == [100.35, 100.5]


def test_pace_of_a_reader_that_is_late_by_several_short_periods_keeps_the_mean_rate(clock: HandTurnedClock) -> None:
    pace = Pace(500.0, clock, clock.sleep)
    pace.wait(1.0)
    clock.now_s += 0.03
    for _ in range(100):
        pace.wait(1.0)
    assert clock.now_s == pytest.approx(100.2)


def test_pace_of_a_reader_that_stalled_sends_no_burst(clock: HandTurnedClock) -> None:
    pace = Pace(4.0, clock, clock.sleep)
    pace.wait(1.0)
    clock.now_s += 60
    assert [_wait_and_note(pace, clock) for _ in range(3)] == [160.0, 160.25, 160.5]


def test_pace_times_out_after_the_time_allowed_and_keeps_the_due_time(clock: HandTurnedClock) -> None:
    pace = Pace(0.5, clock, clock.sleep)
    pace.wait(0.0)
    with pytest.raises(CameraTimeout):
        pace.wait(1.5)
    assert clock.now_s == 101.5
    assert _wait_and_note(pace, clock) == 102.0


def test_pace_zero_never_waits(clock: HandTurnedClock) -> None:
    pace = Pace(0.0, clock, clock.sleep)
    for _ in range(5):
        pace.wait(0.0)
    assert clock.now_s == 100.0
