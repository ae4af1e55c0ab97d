"""Latencies are kept for as long as they are told, and no longer."""

from prometheus_client import CollectorRegistry
from qpi_live.service.line.latency import LatencyBook


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
