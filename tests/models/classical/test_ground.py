"""What a person says is ground sets the background's level, whatever covers the rest of the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.engine import EngineOptions, open_engine

from tests.models.analysis.discs import caps
from tests.models.fringes import frame, interferogram

SHAPE = (256, 320)
HOLE = (slice(20, 100), slice(200, 300))


def _layer(aberration_rad: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A layer of cells with a hole in it, the same under an aberration, and the hole."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    layer = 2.5 + 0.2 * np.sin(9 * x) * np.cos(7 * y)
    hole = np.zeros(SHAPE, np.bool_)
    hole[HOLE] = True
    layer[hole] = 0
    seen = layer + aberration_rad * (3 * x - 2 * y + 2 * x * x) + rng.normal(0, 0.03, SHAPE)
    return layer.astype(np.float32), seen.astype(np.float32), hole


def test_background_of_a_layer_with_a_hole_is_levelled_on_the_hole() -> None:
    layer, seen, hole = _layer()
    without = seen.copy()
    BackgroundFit(SHAPE).remove(without)
    assert np.median(without[hole]) < -2  # the layer is most frequent, and taken for the ground
    BackgroundFit(SHAPE).remove(seen, None, hole)
    assert abs(np.median(seen[hole])) < 0.05
    assert np.sqrt(np.mean((seen - layer) ** 2)) < 0.3


def test_background_region_that_objects_cover_half_or_whole_does_no_harm() -> None:
    rng = np.random.default_rng(1)
    true = caps(SHAPE, [(100, 150, 50, 4)])
    for rows, name in ((slice(100, 200), "half"), (slice(70, 130), "whole")):
        ground = np.zeros(SHAPE, np.bool_)
        ground[rows, 120:180] = True
        phase = (true + rng.normal(0, 0.03, SHAPE)).astype(np.float32)
        BackgroundFit(SHAPE).remove(phase, None, ground)
        assert np.abs(np.median(phase[true == 0])) < 0.05, name


def test_background_region_too_small_to_tell_or_masked_says_nothing() -> None:
    _, seen, hole = _layer()
    plain, dot, masked = seen.copy(), seen.copy(), seen.copy()
    BackgroundFit(SHAPE).remove(plain)
    small = np.zeros(SHAPE, np.bool_)
    small[40:44, 220:224] = True
    BackgroundFit(SHAPE).remove(dot, None, small)
    assert np.array_equal(dot, plain)
    BackgroundFit(SHAPE).remove(masked, hole, hole)
    assert np.abs(np.median(masked[~hole])) < 0.3


@pytest.mark.parametrize("background", ["polynomial", "learned"])
def test_engine_takes_the_ground_of_a_frame(background: str) -> None:
    layer, _, hole = _layer()
    pixels = interferogram(layer.astype(np.float64))
    options = EngineOptions(threads=1, background=background)
    engine = open_engine("goldstein", options)
    made = engine.retrieve(replace(frame(pixels), ground=hole))
    inner = made.phase_rad[30:90, 210:290]
    assert abs(np.median(inner)) < 0.1
    engine.close()


def test_frame_refuses_a_ground_of_another_shape() -> None:
    with pytest.raises(ValueError, match="ground as booleans"):
        replace(frame(interferogram(np.zeros(SHAPE))), ground=np.zeros((3, 3), np.bool_))
