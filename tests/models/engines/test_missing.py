"""Pixels that a frame misses take part in nothing, and their neighbours do not notice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.files.image_file import to_grey
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.errors import InferenceError

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler
from tests.models.fringes import bump, interferogram

SHAPE = (192, 224)
TRUE = bump(SHAPE, 4.0)


def _holes(kind: str) -> NDArray[np.bool_]:
    holes = np.zeros(SHAPE, np.bool_)
    if kind == "block":
        holes[10:50, 150:210] = True
    elif kind == "border":
        holes[:, :24] = True
    elif kind == "row":
        holes[60] = True
    else:
        holes[np.random.default_rng(1).random(SHAPE) < 0.01] = True
    return holes


def _frame(values: NDArray[np.floating]) -> Frame:
    image = to_grey(values, may_miss=True)
    return Frame(image.pixels, image.bit_depth, 0, 0, 0, missing=image.missing)


def _on_cuda(options: EngineOptions) -> PhaseEngine:
    needs_compiler()
    return ClassicalCudaEngine(options, open_device=HostDevice)


ENGINES = [ClassicalEngine, _on_cuda]


@pytest.mark.parametrize("make", ENGINES)
@pytest.mark.parametrize("kind", ["block", "border", "row", "scattered"])
@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_phase_beside_missing_pixels_is_right_and_they_are_masked(
    make: Callable[[EngineOptions], PhaseEngine], kind: str, nothing: float
) -> None:
    holes = _holes(kind)
    values = interferogram(TRUE).astype(np.float32) / 255
    values[holes] = nothing
    made = make(EngineOptions()).retrieve(_frame(values))
    assert made.mask is not None
    assert made.mask[holes].all()
    assert made.quality.masked_share == pytest.approx(float(made.mask.mean()))
    kept = ~made.mask
    kept[:12], kept[-12:], kept[:, :12], kept[:, -12:] = False, False, False, False
    assert np.median(np.abs(made.phase_rad - TRUE)[kept]) < 0.1
    assert np.abs(made.phase_rad - TRUE)[kept].max() < 2.5  # no step of 2π
    assert made.quality.fringe_contrast == pytest.approx(0.91, abs=0.05)  # of all, the darkest value being zero


@pytest.mark.parametrize("make", ENGINES)
def test_frame_whose_fringes_are_all_missing_is_refused(make: Callable[[EngineOptions], PhaseEngine]) -> None:
    pixels = interferogram(TRUE)
    frame = Frame(pixels, 8, 0, 0, 0, missing=np.ones(SHAPE, np.bool_))
    with pytest.raises(InferenceError, match="outside of the pixels that are missing or masked"):
        make(EngineOptions()).retrieve(frame)


def test_pixels_that_a_calibration_frame_misses_are_masked_in_every_frame() -> None:
    engine, holes = ClassicalEngine(EngineOptions()), _holes("block")
    empty = interferogram(np.zeros(SHAPE)).astype(np.float32)
    empty[holes] = np.nan
    engine.use_calibration(_frame(empty))
    made = engine.retrieve(_frame(interferogram(TRUE).astype(np.float32)))
    assert made.mask is not None
    assert made.mask[holes].all()
    assert made.phase_rad[int(0.55 * SHAPE[0]), int(0.45 * SHAPE[1])] == pytest.approx(4.0, abs=0.5)
