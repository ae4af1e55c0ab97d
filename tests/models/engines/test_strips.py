"""Very long frames, such as line scans, are inverted, refused and bounded like others of as many pixels."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.models.classical import refusal
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.errors import EngineUnavailable, InferenceError

from tests.models.fringes import bump, frame, interferogram

LONG, SHORT = 36_672, 64


@pytest.mark.parametrize("shape", [(LONG, SHORT), (SHORT, LONG)])
def test_engine_gives_the_phase_of_a_very_long_frame(shape: tuple[int, int]) -> None:
    engine = open_engine("goldstein", EngineOptions(threads=1))
    engine.warm_up(shape, 8)
    true = bump(shape, 4.0)
    made = engine.retrieve(frame(interferogram(true)))
    y, x = int(0.55 * shape[0]), int(0.45 * shape[1])
    assert made.phase_rad[y, x] == pytest.approx(4.0, abs=0.6)
    assert made.quality.residues == 0
    assert np.abs(made.phase_rad[16:-16, 16:-16] - true[16:-16, 16:-16]).mean() < 0.2


@pytest.mark.parametrize("shape", [(LONG, SHORT), (SHORT, LONG), (1532, 1532)])
def test_refusal_looks_at_no_more_tiles_the_longer_the_frame(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    tiles = 0
    line_of = refusal._line_of

    def counted(tile: refusal.Pixels) -> tuple[float, float] | None:
        nonlocal tiles
        tiles += 1
        return line_of(tile)

    monkeypatch.setattr(refusal, "_line_of", counted)
    noise = np.random.default_rng(0).normal(120, 20, shape).clip(0, 255).astype(np.uint8)
    with pytest.raises(InferenceError, match="light without fringes"):
        open_engine("goldstein", EngineOptions(threads=1)).retrieve(frame(noise))
    assert 4 <= tiles <= 150


def test_engine_refuses_a_frame_beyond_what_turns_along_a_row_can_count() -> None:
    with pytest.raises(EngineUnavailable, match="at most 65535 along either axis"):
        open_engine("goldstein", EngineOptions()).warm_up((64, 65_536), 8)
