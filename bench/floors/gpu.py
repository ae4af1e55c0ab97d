"""Lower bounds for a GPU, measured on it: copies there, back and on it, and the rate of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from qpi_live.bench.report import console
from qpi_live.camera.device import Device, DeviceError, Stream

COPY_KERNEL = Path(__file__).parent / "copy.cu"
_BYTES = 256 << 20
_REPEATS = 7
_THREADS = 256
_BLOCKS = 2048


@dataclass(frozen=True, slots=True)
class GpuRates:
    """Bytes a second to the device, from it, and read plus written on it; multiply-accumulates a second or None."""

    upload: float
    download: float
    copy: float
    half_macs: float | None


def measured_rates(device: Device, nbytes: int = _BYTES) -> GpuRates:
    """The rates of `device`, each the best of several runs by its own clock.

    Raises:
        DeviceError: it fails.
    """
    stream = device.stream()
    host = device.page_locked((nbytes,), np.dtype(np.uint8))
    host[...] = 1
    here, there = device.allocate(nbytes), device.allocate(nbytes)
    kernel = device.kernels(COPY_KERNEL)["copy"]

    def copy() -> None:
        stream.launch(kernel, (_BLOCKS, 1, 1), (_THREADS, 1, 1), here, there, np.int64(nbytes // 16))

    try:
        return GpuRates(
            upload=nbytes / _best_s(stream, lambda: stream.upload(host, here)),
            download=nbytes / _best_s(stream, lambda: stream.download(here, host)),
            copy=2 * nbytes / _best_s(stream, copy),
            half_macs=_half_macs(device),
        )
    finally:
        here.free()
        there.free()


def device_floors_ms(
    rates: GpuRates, shape: tuple[int, int], itemsize: int, macs: int | None, weight_bytes: int = 0
) -> dict[str, float]:
    """Floors of the stages of an engine on a GPU for (H, W) frames of `itemsize` bytes a pixel, in ms.

    `upload` and `download`: the frame and 4 bytes of phase a pixel over the link. `normalise`: the frame read and 4
    bytes a pixel written. `inference`: the network's arithmetic at the rate of half-precision matrix products, or its
    weights, the frame and the phase moved once. The longer one counts; without `macs` the latter. `retrieve`: the
    passes that two-dimensional transforms there and back cannot do without, 60 bytes a pixel. They are rows and columns
    of 4-byte halves of a spectrum forward, of 8-byte fields back, and the argument of the field. `unwrap` and
    `background`: 4 bytes a pixel read and written.
    """
    pixels = shape[0] * shape[1]
    moved_s = (weight_bytes + pixels * (itemsize + 4)) / rates.copy
    arithmetic_s = macs / rates.half_macs if macs and rates.half_macs else 0.0
    seconds = {
        "upload": pixels * itemsize / rates.upload,
        "normalise": pixels * (itemsize + 4) / rates.copy,
        "inference": max(moved_s, arithmetic_s),
        "retrieve": 60 * pixels / rates.copy,
        "unwrap": 8 * pixels / rates.copy,
        "background": 8 * pixels / rates.copy,
        "download": 4 * pixels / rates.download,
    }
    return {stage: round(floor_s * 1e3, 4) for stage, floor_s in seconds.items()}


def _best_s(stream: Stream, work: Callable[[], None]) -> float:
    best_ms = float("inf")
    for _ in range(_REPEATS):
        began = stream.record()
        work()
        done = stream.record()
        done.synchronize()
        best_ms = min(best_ms, done.ms_since(began))
    return max(best_ms, 1e-6) / 1e3


def _half_macs(device: Device) -> float | None:
    try:
        rate: float = import_module("qpi_live.bench.floors.cublas").half_matrix_rate(device)
    except (ModuleNotFoundError, DeviceError) as error:
        console.print(f"The arithmetic's floor is left out: {error}")
        return None
    return rate
