"""The stream's bench on a real service with small frames: its parts measure what they say."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest
from qpi_live.bench.stream import ages, crowd
from qpi_live.bench.stream.ages import Row
from qpi_live.bench.stream.reader import Reader
from qpi_live.bench.stream.relay import line_of
from qpi_live.bench.stream.service import serving


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("goldstein", 64, 20) as address:
        yield address


@pytest.mark.parametrize(("pause_s", "bytes_per_s"), [(0.0, 0.0), (0.3, 0.0), (0.1, 100e3)])
def test_ages_of_a_program_stay_at_a_frame_period_and_its_way(
    url: str, pause_s: float, bytes_per_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ages, "_ROW_S", 1.5)
    row = ages.measure(url, Row(64, pause_s, bytes_per_s))
    assert row["frames"] >= 3
    assert row["frame_bytes"] == 16384
    assert 0 < row["age_p50_ms"] <= row["age_p99_ms"]
    assert row["age_p50_ms"] < row["allowed_ms"] + 300  # a busy machine; before, ages grew by the pause with each frame
    if bytes_per_s:
        assert row["age_p50_ms"] >= 0.9 * row["transfer_ms"]


def test_crowd_shares_the_frames_evenly(url: str) -> None:
    row = crowd.measure(url, 4, 2.0, 16384)
    assert row["clients"] == 4
    assert row["frames_per_s"] > 4
    assert row["slowest_fps"] <= row["frames_per_s"] / 4 <= row["fastest_fps"]
    assert 0.9 < row["jain"] <= 1
    assert row["plain_sockets_frames_per_s"] > row["frames_per_s"]


def test_line_of_a_set_speed_passes_no_more(url: str) -> None:
    with line_of(url, 200e3) as address:
        reader = Reader(address)
        reader.next_frame()
        started = monotonic()
        read = sum(reader.next_frame() for _ in range(20))
        assert read / (monotonic() - started) < 230e3
        reader.close()
