"""Zernike polynomials in Noll's order, the usual alphabet of aberrations."""

from __future__ import annotations

from math import factorial, sqrt

import numpy as np
from numpy.typing import NDArray


def noll_to_radial(index: int) -> tuple[int, int]:
    """The radial order n and the signed azimuthal order m of Noll's index j ≥ 1 (Noll 1976, table I).

    Even j are the cosines (m ≥ 0), odd j the sines (m < 0); m is 0 for the rotationally symmetric ones.
    """
    if index < 1:
        raise ValueError(f"expected a Noll index from 1 on, got {index}")
    n = 0
    first = 1  # Noll index that opens radial order n
    while index >= first + n + 1:
        first += n + 1
        n += 1
    step = index - first
    m = 2 * ((step + 1) // 2) if n % 2 == 0 else 2 * (step // 2) + 1
    return n, m if index % 2 == 0 else -m


def zernike(index: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Noll's Zernike polynomial `index` over a frame, normalised to unit variance on the unit disc.

    The unit disc is the circle around the frame, centred in it, so the frame sees only values inside the disc. A
    coefficient c in rad means c rad of RMS over that disc. j = 1 piston, 2 and 3 tilt along x and y, 4 defocus, 5 and 6
    astigmatism, 7 and 8 coma, 9 and 10 trefoil, 11 spherical.

    Returns:
        (H, W) float64, dimensionless.

    Source: Noll, J. Opt. Soc. Am. 66, 207 (1976), eqs. 1–2; Born & Wolf, Principles of Optics, §9.2.
    """
    n, m = noll_to_radial(index)
    height, width = shape
    radius = sqrt(height**2 + width**2) / 2
    y = (np.arange(height)[:, None] - (height - 1) / 2) / radius
    x = (np.arange(width)[None, :] - (width - 1) / 2) / radius
    rho, theta = np.hypot(y, x), np.arctan2(y, x)
    order = abs(m)
    radial = np.zeros(shape)
    for s in range((n - order) // 2 + 1):
        weight = (-1) ** s * factorial(n - s)
        weight /= factorial(s) * factorial((n + order) // 2 - s) * factorial((n - order) // 2 - s)
        radial += weight * rho ** (n - 2 * s)
    if m == 0:
        polynomial: NDArray[np.float64] = sqrt(n + 1) * radial
    else:
        polynomial = sqrt(2 * (n + 1)) * radial * (np.cos(order * theta) if m > 0 else np.sin(order * theta))
    return polynomial
