"""A live frame's renderings: each made once, for all who ask."""

from __future__ import annotations

import traceback
from time import monotonic_ns, time_ns

import pytest
from qpi_live.camera.frame import Frame
from qpi_live.service.line.live import LiveFrame

from tests.fakes import FakeCamera, FakeEngine, fringes


@pytest.fixture
def live() -> LiveFrame:
    frame = Frame(fringes((64, 80), 0), 8, 0, time_ns(), monotonic_ns())
    return LiveFrame.timed(FakeEngine().retrieve(frame), FakeCamera().identity, monotonic_ns())


def test_rendering_is_made_once_for_all_who_ask(live: LiveFrame) -> None:
    made: list[int] = []
    assert [live.once("a", lambda: made.append(1) or len(made)) for _ in range(5)] == [1] * 5
    assert made == [1]


def test_rendering_that_fails_fails_for_all_and_its_traceback_does_not_grow(live: LiveFrame) -> None:
    def fail() -> None:
        raise ValueError("cannot be shown")

    lengths = []
    for _ in range(50):
        with pytest.raises(ValueError, match="cannot be shown") as failure:
            live.once("a", fail)
        lengths.append(len(traceback.extract_tb(failure.value.__traceback__)))
    assert max(lengths) <= 3
