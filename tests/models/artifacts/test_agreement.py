import math

import numpy as np
import pytest
from qpi_live.models.artifacts.agreement import Probe, compare

TRUTH = np.full((8, 8), 3.0, np.float32)


def off_by(error_rad: float):
    return lambda pixels: TRUTH + np.float32(error_rad)


def probe(*, known: bool = True) -> Probe:
    return Probe(np.zeros((8, 8), np.uint8), TRUTH if known else None)


def test_compare_measures_differences_on_all_frames_and_loss_on_those_with_a_truth() -> None:
    agreement = compare(off_by(0.1), off_by(-0.2), [probe(), probe(known=False)])
    assert (agreement.frames, agreement.with_truth) == (2, 1)
    assert agreement.largest_difference_rad == pytest.approx(0.3, abs=1e-6)
    assert agreement.rms_difference_rad == pytest.approx(0.3, abs=1e-6)
    assert agreement.loss_db == pytest.approx(20 * math.log10(2), abs=1e-4)


def test_why_refused_allows_each_precision_its_loss() -> None:
    ten_percent = compare(off_by(0.1), off_by(0.102), [probe()])  # 0.17 dB
    assert "expected fp16 to lose less than 0.1 dB of PSNR, got a loss of 0.17 dB" in str(
        ten_percent.why_refused("fp16")
    )
    assert ten_percent.why_refused("int8") is None


def test_why_refused_without_any_truth_refuses() -> None:
    assert compare(off_by(0), off_by(0), [probe(known=False)]).why_refused("fp32") is not None
