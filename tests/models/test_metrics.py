"""The measures of agreement, beside scikit-image's."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from qpi_live.models.metrics import psnr_db, rms_rad, ssim, without_level


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:97, :120]
    truth = 6 * np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / 600)
    return truth.astype(np.float32), (truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)


def test_ssim_of_two_phases_equals_scikit_image() -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    truth, phase = pair()
    reference = structural_similarity(
        truth.astype(float), phase.astype(float), data_range=12, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, K1=0.01, K2=0.03,
    )  # fmt: skip
    assert ssim(phase, truth) == pytest.approx(reference, abs=1e-12)


def test_psnr_of_two_phases_equals_scikit_image() -> None:
    peak_signal_noise_ratio = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    truth, phase = pair()
    reference = peak_signal_noise_ratio(truth.astype(float), phase.astype(float), data_range=12)
    assert psnr_db(phase, truth) == pytest.approx(reference, abs=1e-4)


def test_metrics_of_equal_phases_are_perfect() -> None:
    truth, _ = pair()
    assert (rms_rad(truth, truth), psnr_db(truth, truth)) == (0.0, inf)
    assert ssim(truth, truth) == pytest.approx(1.0)


def test_rms_of_a_constant_difference_is_that_constant() -> None:
    truth, _ = pair()
    assert rms_rad(truth + np.float32(0.5), truth) == pytest.approx(0.5, rel=1e-5)
    assert psnr_db(truth + np.float32(1.2), truth) == pytest.approx(20.0, abs=1e-4)


def test_without_level_takes_off_whole_turns_but_leaves_a_wrong_region_wrong() -> None:
    truth, _ = pair()
    shifted = truth + np.float32(4 * np.pi)
    assert rms_rad(without_level(shifted, truth), truth) < 1e-5
    shifted[:20] += np.float32(2 * np.pi)
    expected = 2 * np.pi * np.sqrt(20 / 97)
    assert rms_rad(without_level(shifted, truth), truth) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("measure", [rms_rad, psnr_db, ssim, without_level])
def test_metrics_of_unequal_shapes_say_so(measure) -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(4, 5\) and \(5, 4\)"):
        measure(np.zeros((4, 5), np.float32), np.zeros((5, 4), np.float32))


def test_ssim_of_phases_below_the_window_says_so() -> None:
    with pytest.raises(ValueError, match="11 × 11"):
        ssim(np.zeros((10, 40)), np.zeros((10, 40)))
