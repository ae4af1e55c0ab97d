"""Wrapped phases to unwrap, from smooth to pure noise."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def wrap(phase_rad: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.angle(np.exp(1j * phase_rad)).astype(np.float32)


def cells(shape: tuple[int, int] = (256, 320)) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    tall = 12 * np.exp(-((y - 120) ** 2 + (x - 100) ** 2) / 2 / 30**2)
    return tall + 5 * np.exp(-((y - 60) ** 2 + (x - 240) ** 2) / 2 / 15**2) + 0.05 * x - 0.03 * y


def noisy(sigma_rad: float, seed: int = 0) -> NDArray[np.float32]:
    return wrap(cells() + np.random.default_rng(seed).normal(0, sigma_rad, cells().shape))


def speckle(seed: int = 0, shape: tuple[int, int] = (200, 210)) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    real, imaginary = (gaussian_filter(rng.normal(size=shape), 3) for _ in range(2))
    return np.arctan2(imaginary, real).astype(np.float32)


def noise(seed: int = 0, shape: tuple[int, int] = (180, 190)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, shape).astype(np.float32)


def vortex(y0: float, x0: float, charge: int, shape: tuple[int, int] = (128, 128)) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return charge * np.arctan2(y - y0, x - x0)


def enclosed(offset_turns: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A smooth map and a disc in it that stands apart by `offset_turns` of 2π and a little less."""
    y, x = np.mgrid[:96, :96]
    inside = (y - 48) ** 2 + (x - 48) ** 2 < 20**2
    return wrap(0.02 * x + inside * (2 * np.pi * offset_turns + 0.4)), inside


MAPS = {
    "cells": lambda: wrap(cells()),
    "mild noise": lambda: noisy(0.6),
    "strong noise": lambda: noisy(1.0),
    "speckle": speckle,
    "pure noise": noise,
    "two pixels": lambda: np.array([[3.0, -3.0], [3.0, -3.0]], np.float32),
    "odd size": noisy(0.8)[:-3, :-5].copy,
}
