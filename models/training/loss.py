"""The losses: of the phase and, in the search, of the connection weights."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor
from torch.nn import functional

BINARY_RATIO = 5e-3
"""α of eq. 3."""
SPARSITY_RATIO = 5e-4
"""β of eq. 3."""

_GRADIENT_RATIO = 0.1
_SMALLEST = 1e-6  # keeps the square root's and the logarithm's slopes finite


def mixed_gradient_error(phase: Tensor, true_phase: Tensor) -> Tensor:
    """MixGE: mean squared error of the values plus 0.1 × mean squared error of the Sobel gradient magnitudes.

    Both (…, H, W), over 12 rad. Van der Jeught et al. 2021 take the loss, under this name, from Lu & Chen 2019, whose
    weight 0.1 and 3×3 Sobel operator without normalisation are meant. The outermost pixels have no gradient.
    """
    values = functional.mse_loss(phase, true_phase)
    gradients = functional.mse_loss(_sobel_magnitude(phase), _sobel_magnitude(true_phase))
    return values + _GRADIENT_RATIO * gradients


def root_mixed_gradient_error(phase: Tensor, true_phase: Tensor) -> Tensor:
    """The mean over the crops of each crop's √MixGE; shapes as for `mixed_gradient_error`.

    MixGE grows with the square of the error. So where conditions are mixed, a few hard frames, 15 dB worse than the
    rest, take nearly all of the gradient. Under the root a crop counts by its RMS error, hence by its PSNR.
    """
    errors = torch.stack([mixed_gradient_error(*pair) for pair in zip(phase, true_phase, strict=True)])
    return torch.sqrt(errors + _SMALLEST**2).mean()  # an empty crop may be met exactly, where a bare root has no slope


def finite(loss: float, epoch: int) -> float:
    """The loss of a step, if it is one: weights that have left the numbers never come back to them.

    Raises:
        ValueError: it is NaN or infinite.
    """
    if not isfinite(loss):
        raise ValueError(
            f"expected a finite loss, got {loss} in epoch {epoch}: the training has diverged; start again with a lower "
            "--learning-rate in another folder, from what was saved before if you like (--start)"
        )
    return loss


def binary_loss(weights: Tensor) -> Tensor:
    """Loss_b, eq. 4-a: the mean binary entropy of the connection weights, which pushes each towards 0 or 1."""
    inside = weights.clamp(_SMALLEST, 1 - _SMALLEST)
    return torch.mean(-inside * inside.log() - (1 - inside) * (1 - inside).log())


def sparsity_loss(weights: Tensor) -> Tensor:
    """Loss_s, eq. 4-b: the mean of all connection weights."""
    return weights.mean()


def _sobel_magnitude(phase: Tensor) -> Tensor:
    # Sobel is separable: a [1, 2, 1] smoothing across, a [−1, 0, 1] difference along.
    across = phase[..., :, :-2] + 2 * phase[..., :, 1:-1] + phase[..., :, 2:]
    along = phase[..., :-2, :] + 2 * phase[..., 1:-1, :] + phase[..., 2:, :]
    vertical = across[..., 2:, :] - across[..., :-2, :]
    horizontal = along[..., :, 2:] - along[..., :, :-2]
    return torch.sqrt(vertical**2 + horizontal**2 + _SMALLEST)
