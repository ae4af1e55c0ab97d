"""The cores that a process may use, which may be fewer than the machine has."""

from __future__ import annotations

import os

import pytest
from qpi_live.camera.cores import available_cores
from qpi_live.service.opening import _share
from qpi_live.service.settings import load_settings


def test_cores_are_at_least_one_and_no_more_than_the_machine_s() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("bound_to", "each"), [({0}, 1), (set(range(12)), 6)])
def test_cores_that_a_process_is_bound_to_are_shared_by_its_cameras(
    monkeypatch: pytest.MonkeyPatch, bound_to: set[int], each: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: bound_to, raising=False)
    assert available_cores() == len(bound_to)
    settings = load_settings({"camera": ["simulated", "replay:"]})
    assert _share(settings, "replay:", lines=2).threads == each
