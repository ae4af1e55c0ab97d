"""The best peers, on the same frames in the same run: scikit-image's and kamui's unwrapping, qpretrieve's retrieval.

Needs the extra `peers`; whoever imports this says so when it is missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.takeda import WrappedField
from skimage.restoration import unwrap_phase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it announces each optional transform that is not installed
    from qpretrieve import OffAxisHologram


try:
    import kamui
except ModuleNotFoundError:  # it has no wheels for some platforms
    kamui = None


Unwrapper = Callable[[WrappedField], NDArray[np.float32]]


def peer_times_ms(frames: list[Frame], wrapped_rad: list[NDArray[np.float32]], repeats: int) -> dict[str, list[float]]:
    """What each peer takes for each of `repeats` calls on the given frames or their wrapped phases, in ms."""
    pixels = [frame.pixels for frame in frames]
    return {
        "scikit-image unwrap_phase": _time(unwrap, wrapped_rad, repeats),
        "qpretrieve (its default padding)": _time(_retrieval(padding=2), pixels, repeats),
        "qpretrieve (no padding)": _time(_retrieval(padding=False), pixels, repeats),
    }


def unwrap(wrapped_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """scikit-image's unwrapping (Herráez et al. 2002), (H, W) float32 in rad."""
    return np.asarray(unwrap_phase(wrapped_rad), np.float32)  # type: ignore[no-untyped-call]


def unwrappers() -> dict[str, Unwrapper]:
    """The peers' unwrapping by name; kamui only where it is installed."""
    found: dict[str, Unwrapper] = {"scikit-image": lambda field: unwrap(field.phase_rad)}
    if kamui is not None:
        found["kamui"] = unwrap_by_flow
    return found


def unwrap_by_flow(field: WrappedField) -> NDArray[np.float32]:
    """kamui's unwrapping (Costantini 1998), a minimum-cost flow weighted with the amplitude's square."""
    bright = np.minimum(field.amplitude / np.median(field.amplitude), 1)
    weights = np.rint(1 + 63 * bright * bright)
    return np.asarray(kamui.unwrap_dimensional(field.phase_rad, merging_method="min", weights=weights), np.float32)


def _retrieval(padding: int | bool) -> Callable[[NDArray[Any]], object]:
    def retrieve(pixels: NDArray[Any]) -> object:
        hologram = OffAxisHologram(data=pixels.astype(np.float64), padding=padding)
        hologram.run_pipeline(filter_name="disk")
        return hologram.phase

    return retrieve


def _time(call: Callable[[NDArray[Any]], object], inputs: Sequence[NDArray[Any]], repeats: int) -> list[float]:
    call(inputs[0])
    took_ms = []
    for number in range(repeats):
        start = perf_counter()
        call(inputs[number % len(inputs)])
        took_ms.append((perf_counter() - start) * 1e3)
    return took_ms
