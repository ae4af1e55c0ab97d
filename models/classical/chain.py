"""The classical chain for one stream: retrieval, unwrapping and background, laid out for its size and carrier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.classical.band_peak import BandPeak
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.dark_rims import dark_rims
from qpi_live.models.classical.modulation import low_modulation
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.classical.unwrapping import goldstein
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import FringeState, either


@dataclass(frozen=True, slots=True, eq=False)
class Inverted:
    """What a chain made of one frame.

    Attributes:
        phase_rad: (H, W) float32 on the host in rad, background at zero, owned by the caller.
        amplitude: (H, W) float32 on the host in grey values, as in `takeda.WrappedField`, owned by the caller.
        peak: the strongest point of the pass band.
        residues: how many the wrapped phase has.
        disputed_mask: (H, W) bool as in `goldstein.Unwrapped`, or None.
        bright_cut_links: as there.
        mask: (H, W) bool, True where the fringes are too weak for a phase, or missing; None where nowhere.
        aberration: the instrument's phase, which was taken off.
        stages_ms: how long each stage took, in ms, in order.
    """

    phase_rad: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    peak: BandPeak
    residues: int
    disputed_mask: NDArray[np.bool_] | None
    bright_cut_links: int
    mask: NDArray[np.bool_] | None
    aberration: Aberration
    stages_ms: dict[str, float]


class FringesDoubted(Exception):
    """A frame whose peak was not trusted; nothing was made of it."""

    def __init__(self, peak: BandPeak) -> None:
        super().__init__(f"a peak of {peak.strength:.1f} times its surroundings")
        self.peak = peak


Trust = Callable[[BandPeak], bool]


class Chain(Protocol):
    """From interferograms of one stream to their phase. One thread at a time calls it."""

    @property
    def is_usable(self) -> bool:
        """Whether what it works with is still there; if not, it must be laid out again."""

    def invert(self, frame: Frame, trusts: Trust | None = None) -> Inverted:
        """The phase of a frame of the chain's shape.

        Args:
            frame: the interferogram.
            trusts: says of the peak in the pass band whether to go on; None: always.

        Raises:
            FringesDoubted: the peak was not trusted.
            InferenceError: `no fringes`: nothing is left of the frame.
            DeviceError: what it works on failed.
        """

    def free(self) -> None:
        """Give back what it holds. Doing it twice is harmless."""


def left_out(weak: NDArray[np.bool_] | None, frame: Frame, retriever: TakedaRetriever) -> NDArray[np.bool_] | None:
    """The pixels to leave out: those of weak fringes, those that no light reaches, and those that the frame misses.

    Raises:
        InferenceError: `no fringes`: there are no others.
    """
    unlit = dark_rims(frame.pixels, retriever.carrier, round(1 / retriever.radius))
    mask = either(either(weak, unlit), frame.missing)
    if mask is not None and frame.missing is not None and mask.all():
        raise InferenceError(
            FringeState.NO_FRINGES, "expected fringes outside of the pixels that are missing or masked, got none there"
        )
    return mask


class HostChain:
    """`Chain` on the host's cores. Stages: `retrieve`, `unwrap`, `background`.

    Args:
        retriever: the first step.
        background: the last one.
        threads: CPU threads to use, None for all cores.
    """

    is_usable = True

    def __init__(self, retriever: TakedaRetriever, background: Background, threads: int | None) -> None:
        self._retriever = retriever
        self._background = background
        self._bands = RowBands(retriever.shape[0], threads)

    def invert(self, frame: Frame, trusts: Trust | None = None) -> Inverted:
        """See `Chain.invert`."""
        clock = perf_counter()
        wrapped = self._retriever.wrapped_field(frame.pixels)
        if trusts is not None and not trusts(wrapped.peak):
            raise FringesDoubted(wrapped.peak)
        mask = left_out(low_modulation(wrapped.amplitude), frame, self._retriever)
        retrieved = perf_counter()
        unwrapped = goldstein.unwrap(wrapped.phase_rad, wrapped.amplitude, mask, self._bands)
        done = perf_counter()
        aberration = self._background.remove(unwrapped.phase_rad, mask, frame.ground)
        stages_ms = {
            "retrieve": (retrieved - clock) * 1e3,
            "unwrap": (done - retrieved) * 1e3,
            "background": (perf_counter() - done) * 1e3,
        }
        return Inverted(
            unwrapped.phase_rad,
            wrapped.amplitude,
            wrapped.peak,
            len(unwrapped.residues),
            unwrapped.disputed_mask,
            unwrapped.bright_cut_links,
            mask,
            aberration,
            stages_ms,
        )

    def free(self) -> None:
        """Nothing to give back."""
