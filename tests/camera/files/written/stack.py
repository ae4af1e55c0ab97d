"""The frames that every tiny recording is made of."""

from __future__ import annotations

import numpy as np

Stack = np.ndarray
PIXEL_M, INTERVAL_S = 0.1e-6, 0.2


def frames(count: int = 6, shape: tuple[int, int] = (36, 48), bits: int = 12) -> Stack:
    """(count, H, W) grey values, each frame different: uint8 up to 8 bits, uint16 above; all bits are used."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    stack = np.random.default_rng(bits).integers(0, 2**bits, (count, *shape)).astype(dtype)
    stack[:, 0, 0] = 2**bits - 1
    return stack


def fluorescence(stack: Stack) -> Stack:
    """Another channel of the same frames, which must never be played."""
    return np.full_like(stack, 7)


def hologram_and_fluorescence(stack: Stack) -> Stack:
    """(N, 2, H, W)"""
    return np.stack([stack, fluorescence(stack)], axis=1)
