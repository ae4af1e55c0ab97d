"""Fringes to warm a classical engine up with, before a camera has sent any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.classical.carrier import Carrier

CARRIER = Carrier(0.2, 0.25)


def warm_up_frames(shape: tuple[int, int], bit_depth: int) -> Iterator[Frame]:
    """Frames of (H, W) px with the carrier `CARRIER`: without residues, with many, with dark pixels, with missing ones.

    Each takes a way of its own through the chain, and so compiles what the others leave out.
    """
    left = np.zeros(shape, np.bool_)
    left[:, : shape[1] // 4] = True
    right = np.ascontiguousarray(left[:, ::-1])
    for drawn in (left, right):
        drawn.flags.writeable = False  # as those of every frame; Numba compiles for such arrays anew
    for noise_rad, has_islands in ((0.0, False), (1.0, True), (1.0, False)):
        pixels = _fringes(shape, bit_depth, noise_rad, has_islands)
        frame = Frame(pixels, bit_depth, 0, captured_ns=0, captured_monotonic_ns=0)
        yield frame
    yield replace(frame, missing=left)
    yield replace(frame, missing=left, ground=right)
    yield replace(frame, ground=right)


def _fringes(shape: tuple[int, int], bit_depth: int, noise_rad: float, has_islands: bool) -> Pixels:
    """Noisy fringes; `has_islands`: on stripes in the dark alone."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    noise = np.random.default_rng(0).normal(0, noise_rad, shape)
    modulation = np.where(8 * y // shape[0] % 2 == 1, 0.0, 0.25) if has_islands else 0.25
    fringes = 0.5 + modulation * np.cos(2 * np.pi * (CARRIER.fy * y + CARRIER.fx * x) + noise)
    pixels: NDArray[np.float64] = fringes * (2**bit_depth - 1)
    return pixels.astype(np.uint8) if bit_depth <= 8 else pixels.astype(np.uint16)
