"""The losses against values worked out by hand."""

from math import log

import pytest

torch = pytest.importorskip("torch", reason="the losses need torch: pip install 'qpi-live[train]'")

from qpi_live.models.training.loss import (  # noqa: E402
    binary_loss,
    mixed_gradient_error,
    root_mixed_gradient_error,
    sparsity_loss,
)


def test_mixed_gradient_error_constant_offset_is_its_square() -> None:
    truth = torch.rand(2, 1, 16, 16)
    assert mixed_gradient_error(truth + 0.25, truth).item() == pytest.approx(0.25**2, rel=1e-4)


def test_mixed_gradient_error_ramp_against_flat_adds_a_tenth_of_the_squared_sobel_slope() -> None:
    slope = 0.01
    ramp = (slope * torch.arange(32.0)).expand(1, 1, 32, 32)
    flat = torch.zeros(1, 1, 32, 32)
    sobel = 8 * slope  # [1, 2, 1] sums to 4, the difference spans two pixels
    expected = torch.mean(ramp**2).item() + 0.1 * ((sobel**2 + 1e-6) ** 0.5 - 1e-3) ** 2
    assert mixed_gradient_error(ramp, flat).item() == pytest.approx(expected, rel=1e-4)


def test_root_mixed_gradient_error_counts_each_crop_by_its_own_rms_error() -> None:
    truth = torch.rand(2, 1, 16, 16)
    offsets = torch.tensor([0.01, 0.5]).reshape(2, 1, 1, 1)
    assert root_mixed_gradient_error(truth + offsets, truth).item() == pytest.approx((0.01 + 0.5) / 2, rel=1e-3)


def test_root_mixed_gradient_error_of_a_crop_that_is_met_exactly_has_a_finite_gradient() -> None:
    phase = torch.zeros(2, 1, 8, 8, requires_grad=True)
    root_mixed_gradient_error(phase, torch.zeros(2, 1, 8, 8)).backward()
    assert torch.isfinite(phase.grad).all()


def test_mixed_gradient_error_of_equal_flat_phases_has_a_finite_gradient() -> None:
    phase = torch.zeros(1, 1, 8, 8, requires_grad=True)
    mixed_gradient_error(phase, torch.zeros(1, 1, 8, 8)).backward()
    assert torch.isfinite(phase.grad).all()


def test_binary_loss_is_the_mean_entropy() -> None:
    weights = torch.tensor([0.5, 0.0, 1.0, 0.25])
    entropy = [log(2), 0.0, 0.0, -0.25 * log(0.25) - 0.75 * log(0.75)]
    assert binary_loss(weights).item() == pytest.approx(sum(entropy) / 4, abs=2e-5)


def test_binary_loss_pushes_each_weight_to_its_nearer_end() -> None:
    weights = torch.tensor([0.4, 0.6], requires_grad=True)
    binary_loss(weights).backward()
    assert weights.grad[0] > 0 > weights.grad[1]


def test_sparsity_loss_is_the_mean_weight() -> None:
    assert sparsity_loss(torch.tensor([0.0, 1.0, 0.5])).item() == pytest.approx(0.5)
