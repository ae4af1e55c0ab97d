"""Latencies are kept for as long as they are told, and no longer."""

from time import time_ns

import pytest
from prometheus_client import CollectorRegistry
from qpi_live.service.line.latency import LatencyBook

from tests import fakes
from tests.service.stations import Bench


def test_latency_book_of_some_frames_gives_their_percentiles() -> None:
    book = LatencyBook(CollectorRegistry())
    for took_ms in range(1, 101):
        book.record({"retrieve": float(took_ms)})
    retrieve = book.percentiles()["retrieve"]
    assert (retrieve.frames, retrieve.max) == (100, 100.0)
    assert abs(retrieve.p50 - 50.5) < 0.01
    assert abs(retrieve.p99 - 99.01) < 0.01


def test_latency_book_forgets_what_is_older_than_its_window() -> None:
    book = LatencyBook(CollectorRegistry(), window_s=0.0)
    for _ in range(1000):
        book.record({"retrieve": 1.0})
    assert len(book._samples["retrieve"]) < 1000
    assert "retrieve" not in book.percentiles() or book.percentiles()["retrieve"].frames < 1000


def test_clock_that_is_set_while_frames_flow_changes_no_latency_and_no_state(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for jump_s in (0, -86_400, 30_000_000):
        monkeypatch.setattr(fakes, "time_ns", lambda jump_s=jump_s: time_ns() + jump_s * 10**9)
        for live in bench.frames(4):
            assert 0 <= live.stages_ms["total"] < 60_000
            assert 0 <= live.stages_ms["queue_wait"] < 60_000
    answer = bench.client.get("/api/v1/stats").json()
    assert answer["state"]["name"] == "live"
    assert answer["fps"]["captured"] is None or 0 <= answer["fps"]["captured"] < 1000
    bench.assert_exact()
