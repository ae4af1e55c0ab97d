"""What a phase frame refuses, once for everyone who comes after."""

from __future__ import annotations

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.artifacts.agreement import Probe, compare
from qpi_live.models.errors import InferenceError
from qpi_live.models.metrics import psnr_db
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame

ENGINE = EngineIdentity("network", "network", "cpu", "1")
FRAME = Frame(np.zeros((64, 80), np.uint8), 8, 0, 0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_phase_frame_with_a_pixel_that_is_not_finite_is_refused_with_a_reason(value: float) -> None:
    phase_rad = np.zeros(FRAME.shape, np.float32)
    phase_rad[3, 5] = value
    with pytest.raises(InferenceError, match="in 1 of 5120 pixels") as refusal:
        PhaseFrame(phase_rad, FRAME, ENGINE, {})
    assert refusal.value.reason == "not finite"


def test_phase_frame_of_large_finite_values_is_taken() -> None:
    phase_rad = np.full(FRAME.shape, np.finfo(np.float32).max, np.float32)
    assert PhaseFrame(phase_rad, FRAME, ENGINE, {}).phase_rad is phase_rad


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_psnr_of_what_is_not_finite_is_better_than_nothing(value: float) -> None:
    broken, truth = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    broken[0, 0] = value
    assert not psnr_db(broken, truth) > -1e9


def test_agreement_of_a_network_that_gives_nan_is_refused() -> None:
    def fine(pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32) + np.float32(0.1)

    def broken(pixels: np.ndarray) -> np.ndarray:
        return np.where(pixels == 7, np.float32(np.nan), fine(pixels))

    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    probes = [Probe(pixels, pixels.astype(np.float32)) for _ in range(3)]
    agreement = compare(fine, broken, probes)
    assert np.isnan(agreement.largest_difference_rad)
    assert agreement.why_refused("fp16") is not None
