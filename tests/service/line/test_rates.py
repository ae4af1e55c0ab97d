"""Frames per second: honest at the start, and after the camera stopped."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from qpi_live.camera.account import FrameAccount
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.rates import Rates


@pytest.fixture
def account() -> FrameAccount:
    return FrameAccount()


@pytest.fixture
def rates(account: FrameAccount) -> Rates:
    return Rates(account, LatencyBook(CollectorRegistry()))


def frames(account: FrameAccount, number: int, delivered: bool = True) -> None:
    for _ in range(number):
        account.captured()
        if delivered:
            account.delivered()


def test_rates_before_the_second_look_are_zero(rates: Rates) -> None:
    assert (rates.captured_hz, rates.delivered_hz) == (0, 0)
    rates.tick(0.0)
    assert (rates.captured_hz, rates.delivered_hz) == (0, 0)


def test_rates_of_two_frames_at_the_start_are_two_a_second_at_most(rates: Rates, account: FrameAccount) -> None:
    rates.tick(10.0)
    frames(account, 2)
    rates.tick(10.1)
    assert (rates.captured_hz, rates.delivered_hz) == (2, 2)


def test_rates_of_a_steady_camera_are_its_own(rates: Rates, account: FrameAccount) -> None:
    for tick in range(60):
        rates.tick(tick / 10)
        frames(account, 5)
    assert rates.captured_hz == pytest.approx(50)
    assert rates.delivered_hz == pytest.approx(50)


def test_rates_after_a_stop_fall_to_zero_within_two_seconds(rates: Rates, account: FrameAccount) -> None:
    for tick in range(30):
        rates.tick(tick / 10)
        frames(account, 3)
    for tick in range(30, 52):
        rates.tick(tick / 10)
    assert (rates.captured_hz, rates.delivered_hz) == (0, 0)


def test_rates_while_a_backlog_is_worked_off_never_deliver_more_than_comes_in(
    rates: Rates, account: FrameAccount
) -> None:
    frames(account, 100, delivered=False)
    for tick in range(30):
        rates.tick(tick / 10)
        frames(account, 1, delivered=False)
        for _ in range(4):
            account.delivered()
    assert rates.delivered_hz <= rates.captured_hz
