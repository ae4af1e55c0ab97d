"""Lower bounds for this machine: the time to move the bytes, and the time of the transforms alone."""

from __future__ import annotations

from math import floor as whole
from time import perf_counter

import numpy as np
import scipy.fft
from qpi_live.camera.cores import available_cores
from qpi_live.models.classical.bands import RowBands

_REPEATS = 15


def classical_floors_ms(shape: tuple[int, int], radius_cycles_per_px: float) -> dict[str, float]:
    """Floors of the classical engine's stages for (H, W) frames, in ms.

    `retrieve`: the transforms alone, with the same library and threads, on arrays that Takeda's method cannot do
    without. They are real rows, the pass band's columns there and back, and complex rows. `unwrap`: 4 bytes of wrapped
    phase read and 4 of unwrapped phase written a pixel, at the measured copy bandwidth. `background`: the phase read
    and written once more.
    """
    height, width = shape
    per_pass_ms = 8 * height * width / copy_bandwidth() * 1e3
    band = max(1, whole(2 * radius_cycles_per_px * width))
    return {
        "retrieve": round(_transforms_ms(height, width, band), 3),
        "unwrap": round(per_pass_ms, 3),
        "background": round(per_pass_ms, 3),
    }


def copy_bandwidth() -> float:
    """Bytes a second (read plus written) that all cores together copy between arrays larger than the cache."""
    source = np.ones((64, 1 << 20), np.uint8)
    target = np.zeros_like(source)
    bands = RowBands(len(source))
    best_s = min(_timed(lambda: bands.run(_copy, source, target)) for _ in range(_REPEATS))
    return 2 * source.nbytes / best_s


def _copy(first_row: int, last_row: int, source: np.ndarray, target: np.ndarray) -> None:
    np.copyto(target[first_row:last_row], source[first_row:last_row])


def _transforms_ms(height: int, width: int, band: int) -> float:
    workers = available_cores()
    real = np.random.default_rng(0).normal(size=(height, width)).astype(np.float32)
    columns = np.ascontiguousarray(scipy.fft.rfft(real, axis=1)[:, :band]).astype(np.complex64)

    def transform() -> None:
        scipy.fft.rfft(real, axis=1, workers=workers)
        there = scipy.fft.fft(columns, axis=0, workers=workers)
        scipy.fft.ifft(there, axis=0, workers=workers, overwrite_x=True)
        scipy.fft.ifft(columns, n=width, axis=1, workers=workers)

    transform()
    return min(_timed(transform) for _ in range(_REPEATS)) * 1e3


def _timed(call: object) -> float:
    assert callable(call)
    start = perf_counter()
    call()
    return perf_counter() - start
