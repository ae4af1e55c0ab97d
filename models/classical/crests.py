"""Tells by the fringes' shape whether their crests are cut off, at whatever grey value, and under whatever noise.

A pile of pixels at one grey value gives a full well away only as long as no noise comes on top. But a fringe that is
cut off does not rise any more where it should rise most: near its crest the grey values stay, while the cosine that the
pass band has found goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.aberration import Aberration
from qpi_live.models.classical.takeda import TakedaRetriever

Samples = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

_TILES, _TILE_PX = 8, 10  # along either axis; light and object change little within one
_RIM = 1 / 12  # of an edge, which rings
_NEAR_CREST = 0.707  # of the cosine: an eighth of a turn on either side
_BRIGHTEST = 6  # one tile of so many
_FEWEST_TILES = 8
_LEAST_SPREAD = 0.04  # of the swing: fringes of a whole number of pixels show only a few phases
# How far the grey values rise for a rise of the cosine: uncut fringes of real holograms 0.8 and more, of a sensor with
# the gamma of a screen 0.5, cut off over a fifth of all pixels 0.25.
_FLAT, _SIGMAS = 0.33, 2.0


@dataclass(frozen=True, slots=True)
class CutCrests:
    """Crests of fringes that are cut off.

    Attributes:
        grey: the mean grey value at which they are.
        share: of the pixels whose fringes should be brighter.
    """

    grey: float
    share: float


def cut_crests(
    pixels: Pixels,
    phase_rad: NDArray[np.float32],
    amplitude: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    aberration: Aberration,
    retriever: TakedaRetriever,
) -> CutCrests | None:
    """Where the crests of a frame's fringes are cut off; None: they are not, or there is no telling.

    Args:
        pixels: (H, W) grey values.
        phase_rad: (H, W) float32 in rad, what was made of them, without the aberration.
        amplitude: (H, W) float32 in grey values, as `takeda.WrappedField`.
        mask: (H, W) bool, True where the fringes are too weak; None: nowhere.
        aberration: what was taken off.
        retriever: what made the wrapped phase.
    """
    places = [_places(length) for length in pixels.shape]
    at = np.ix_(*places)
    lit = None if mask is None else ~_tiles(mask[at]).any(axis=1)
    if lit is not None and np.count_nonzero(lit) < _FEWEST_TILES:
        return None
    swing = 2 * _tiles(amplitude[at])
    cosine = np.cos(_tiles(retriever.fringe_angle(at) + phase_rad[at] + _values(aberration, places, pixels.shape)))
    grey = _tiles(pixels[at].astype(np.float32))
    if lit is not None:
        swing, cosine, grey = swing[lit], cosine[lit], grey[lit]
    expected = swing * cosine
    expected += (grey - expected).mean(axis=1, keepdims=True)
    crests = (grey - swing * cosine).mean(axis=1) + swing.mean(axis=1)
    brightest = np.argsort(crests)[-max(len(crests) // _BRIGHTEST, 1) :]
    return _judge(expected, swing[brightest], cosine[brightest], expected[brightest], grey[brightest])


def _judge(
    all_expected: Samples, swing: Samples, cosine: Samples, expected: Samples, grey: Samples
) -> CutCrests | None:
    """By the slope of grey values over expected ones near the crests; (tiles, pixels) each."""
    near = cosine > _NEAR_CREST
    count = np.maximum(near.sum(axis=1, keepdims=True), 1)
    off_expected, off_grey = (
        np.where(near, values - np.where(near, values, 0).sum(axis=1, keepdims=True) / count, 0)
        for values in (expected, grey)
    )
    number = int(np.count_nonzero(near))
    spread = float((off_expected**2).sum())
    if number < 2 * len(grey) or spread < number * (_LEAST_SPREAD * float(swing.mean())) ** 2:
        return None
    slope = float((off_expected * off_grey).sum()) / spread
    scatter = float(((off_grey - slope * off_expected) ** 2).sum()) / number
    if slope + _SIGMAS * (scatter / spread) ** 0.5 > _FLAT:
        return None
    at_grey = float(grey[near].mean())
    return CutCrests(at_grey, float(np.mean(all_expected > at_grey)))


def _places(length: int) -> NDArray[np.int64]:
    """The rows or columns of the tiles."""
    rim = int(length * _RIM)
    first = np.linspace(rim, length - rim - _TILE_PX, _TILES).astype(np.int64)
    return (first[:, None] + np.arange(_TILE_PX)).ravel()


def _tiles(samples: NDArray[Value]) -> NDArray[Value]:
    """(tiles, pixels of a tile)."""
    return samples.reshape(_TILES, _TILE_PX, _TILES, _TILE_PX).swapaxes(1, 2).reshape(_TILES**2, -1)


def _values(aberration: Aberration, places: list[NDArray[np.int64]], shape: tuple[int, int]) -> Samples:
    orders = np.arange(len(aberration.coefficients))
    y, x = ((2 * place[:, None] / (length - 1) - 1) ** orders for place, length in zip(places, shape, strict=True))
    values: Samples = (y @ aberration.coefficients @ x.T).astype(np.float32)
    return values
