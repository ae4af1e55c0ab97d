"""The frame account: exact at every instant, and it notices what is forgotten or counted twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from qpi_live.camera.account import AccountSnapshot, FrameAccount

ENDS = ("delivered", "dropped", "failed")


def _end(account: FrameAccount, how: str) -> None:
    if how == "delivered":
        account.delivered()
    else:
        getattr(account, how)("a reason")


@given(st.lists(st.sampled_from(("captured", "lost", *ENDS))))
def test_account_of_any_history_is_exact_while_nothing_ends_that_did_not_come(history: list[str]) -> None:
    account = FrameAccount()
    for step in history:
        if step == "captured":
            account.captured()
        elif step == "lost":
            account.never_arrived("gap", 3)
        elif account.snapshot().in_flight:
            _end(account, step)
        assert account.snapshot().is_exact


def test_account_keeps_reasons_apart_and_frames_that_never_arrived_out_of_flight() -> None:
    account = FrameAccount()
    for _ in range(4):
        account.captured()
    account.dropped("superseded")
    account.failed("no carrier")
    account.never_arrived("gap", 2)
    account.delivered()
    assert account.snapshot() == AccountSnapshot(6, 1, 1, {"superseded": 1, "gap": 2}, {"no carrier": 1})


def test_account_that_ends_a_frame_twice_is_not_exact() -> None:
    account = FrameAccount()
    account.captured()
    account.delivered()
    account.dropped("superseded")
    assert not account.snapshot().is_exact


def test_snapshot_that_forgot_a_frame_is_not_exact() -> None:
    assert not AccountSnapshot(captured=3, delivered=1, in_flight=1).is_exact


def test_snapshot_is_not_changed_by_what_happens_later() -> None:
    account = FrameAccount()
    account.captured()
    account.dropped("superseded")
    before = account.snapshot()
    account.captured()
    account.dropped("superseded")
    assert before.dropped == {"superseded": 1}


def test_account_is_exact_whenever_another_thread_looks() -> None:
    account = FrameAccount()

    def work(how: str) -> None:
        for _ in range(2000):
            account.captured()
            _end(account, how)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, how) for how in ENDS]
        while not all(one.done() for one in running):
            assert account.snapshot().is_exact
    assert account.snapshot().captured == 6000
    assert account.snapshot().in_flight == 0
