"""The benches of recording and archives run as their users run them, and end with the JSON line that they document."""

from __future__ import annotations

from tests.bench.test_benches import last_line, run


def test_recording_bench_loses_nothing_and_reports_the_disk_beside_it() -> None:
    document = last_line(run("bench/recording.py", "--size", "128", "--fps", "30", "--seconds", "2"))
    assert document["disk_fps"] > 0
    assert document["writer_fps"] > 0
    assert document["line"]["lost"] == {}
    assert document["line"]["recorded_fps"] > 0


def test_archive_bench_reports_the_engine_beside_it_and_a_petabyte() -> None:
    document = last_line(run("bench/archive.py", "--size", "128", "--frames", "16"))
    assert document["frames"] == 16
    assert document["engine_fps"] > 0
    assert document["petabyte_hours_on_1000_cores"] > 0
