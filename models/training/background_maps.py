"""Phase maps to train the learned background on: cultures with all that a microscope and an unwrapper do to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from qpi_live.models.classical.block_map import EDGE, BlockMap, Map, Values
from qpi_live.models.training.cultures import EDGE as CULTURE_EDGE
from qpi_live.models.training.cultures import CultureSet
from scipy.ndimage import gaussian_filter

GRID = BlockMap(np.linspace(-1, 1, 1024), np.linspace(-1, 1, 1024))
"""The map's polynomials in training; those of other frames differ by half a pixel in where the edge is."""

_USUAL_EDGE = 171  # of 256: 1024 px at 6 px each
_HIGHEST_RAD = 12.0
_POSITIONS = np.linspace(-1, 1, EDGE)
_UNFITTED = np.stack(
    [np.outer(_POSITIONS**i, _POSITIONS ** (total - i)).ravel() for total in (5, 6) for i in range(total + 1)]
)


@dataclass(frozen=True, slots=True, eq=False)
class BackgroundSample:
    """One map and its truth.

    Attributes:
        means_rad: (128, 128) float32, the map that the network sees: block means without the first guess.
        valid: (128, 128) float32, 1 where they mean something.
        sample_rad: (128, 128) float32, the sample's own phase.
        missing: (15,) float64 coefficients on `GRID.orthonormal` of what the first guess left of the background.
    """

    means_rad: Map
    valid: Map
    sample_rad: Map
    missing: Values


def draw(cultures: CultureSet, rng: Generator) -> BackgroundSample:
    """The map that the next numbers of `rng` stand for."""
    sample_rad = _sample(cultures, rng)
    valid = _valid(sample_rad, rng)
    phase_rad = (sample_rad + _disturbance(rng)) * valid
    guess = GRID.first_guess(phase_rad, valid)
    flat = GRID.without(phase_rad, guess) * valid
    return BackgroundSample(flat, valid, sample_rad, -GRID.to_orthonormal(guess))


def _sample(cultures: CultureSet, rng: Generator) -> Map:
    """The sample's phase: mostly cells, often with objects that advance the light, sometimes with a lost turn."""
    usual = rng.random() < 0.5
    window = _window(usual, rng)
    phase = np.minimum(_cells(cultures, window, rng) * rng.uniform(0.5, 1.15), _HIGHEST_RAD)
    kind = rng.random()
    if kind < 0.03:
        phase *= 0
    elif kind < 0.08:
        phase *= rng.uniform(1.0, 2.5)
    if rng.random() < 0.4:  # bubbles, vacuoles, holes in a film
        advancing = _piece(cultures, window, rng)
        advancing /= max(float(advancing.max()), 1e-3)
        if advancing.mean() > 0.25:
            advancing = np.maximum(advancing - np.quantile(advancing, rng.uniform(0.5, 0.9)), 0)
            advancing /= max(float(advancing.max()), 1e-3)
        phase = phase - advancing * rng.uniform(0.3, 3.0)
    if rng.random() < 0.12:  # the halo that a partly coherent field has around its cells
        phase = phase - rng.uniform(0.05, 0.4) * gaussian_filter(phase, rng.uniform(3, 12))
    if rng.random() < 0.1:  # an edge too steep for the unwrapper
        top = float(phase.max())
        phase = phase - 2 * np.pi * np.float32(rng.choice([-1, 1])) * (phase > rng.uniform(0.3, 0.9) * top)
    made: Map = phase.astype(np.float32)
    return made


def _cells(cultures: CultureSet, window: tuple[int, int], rng: Generator) -> Map:
    """A piece of a culture, made new: joined with another, flatter or steeper, uneven from place to place.

    The network learned a few hundred cultures by heart: its error on them fell to 0.7 of that on others.
    """
    phase = _piece(cultures, window, rng)
    if rng.random() < 0.4:
        phase = (phase**4 + _piece(cultures, window, rng) ** 4) ** 0.25
    if rng.random() < 0.5:
        top = max(float(phase.max()), 1e-3)
        steepness = np.float32(rng.uniform(0.7, 1.5))
        phase = (np.float32(top) * (np.maximum(phase, 0) / np.float32(top)) ** steepness).astype(np.float32, copy=False)
    if rng.random() < 0.5:
        coarse = gaussian_filter(rng.standard_normal((EDGE // 4, EDGE // 4), np.float32), rng.uniform(2, 6))
        coarse *= np.float32(rng.uniform(0, 0.3)) / coarse.std()
        uneven = _resampling(EDGE // 4) @ coarse @ _resampling(EDGE // 4).T
        phase *= np.maximum(1 + uneven.astype(np.float32, copy=False), np.float32(0.2))
    return phase


def _window(usual: bool, rng: Generator) -> tuple[int, int]:
    """How much of a culture the frame spans, (rows, columns) of 256: half as most cameras see it, half any."""
    if usual:
        return _USUAL_EDGE, _USUAL_EDGE
    edge = np.exp(rng.uniform(np.log(64), np.log(CULTURE_EDGE)))
    aspect = np.exp(rng.normal(0, 0.35))
    rows, columns = (int(np.clip(edge * factor, 24, CULTURE_EDGE)) for factor in (aspect**0.5, aspect**-0.5))
    return rows, columns


def _piece(cultures: CultureSet, window: tuple[int, int], rng: Generator) -> Map:
    """A piece of any culture, turned and mirrored anyhow, on the map's blocks; cells lie across its border."""
    culture = cultures.phase_rad(int(rng.integers(len(cultures))))
    culture = np.rot90(culture, int(rng.integers(4)))
    if rng.random() < 0.5:
        culture = culture[::-1]
    top, left = (int(rng.integers(CULTURE_EDGE - length + 1)) for length in window)
    piece = culture[top : top + window[0], left : left + window[1]]
    resampled: Map = (_resampling(window[0]) @ piece @ _resampling(window[1]).T).astype(np.float32, copy=False)
    return resampled


def _resampling(length: int) -> NDArray[np.float32]:
    """(128, length) means over the blocks of a line that is linear between its `length` points."""
    matrix = _RESAMPLING.get(length)
    if matrix is None:
        fine = (np.arange(EDGE * 4) + 0.5) / (EDGE * 4) * length - 0.5
        fine = np.clip(fine, 0, length - 1)
        low = np.minimum(fine.astype(np.intp), length - 2)
        part = fine - low
        rows = np.arange(EDGE * 4) // 4
        matrix = np.zeros((EDGE, length), np.float32)
        np.add.at(matrix, (rows, low), (1 - part) / 4)
        np.add.at(matrix, (rows, low + 1), part / 4)
        _RESAMPLING[length] = matrix
    return matrix


_RESAMPLING: dict[int, NDArray[np.float32]] = {}


def _disturbance(rng: Generator) -> Map:
    """What lies over sample and background: noise, alone, in patches, in rows and columns; and higher aberrations."""
    grainy = rng.random() < 0.3
    total = rng.standard_normal((EDGE, EDGE), np.float32) * np.float32(rng.uniform(0.005, 0.06))
    patches = gaussian_filter(rng.standard_normal((EDGE, EDGE), np.float32), 0.8)
    total += patches * np.float32(2.8 * rng.uniform(0, 0.08 if grainy else 0.05))
    if rng.random() < 0.5:
        total += rng.standard_normal((EDGE, 1), np.float32) * np.float32(rng.uniform(0, 0.06))
    if rng.random() < 0.3:
        total += rng.standard_normal((1, EDGE), np.float32) * np.float32(rng.uniform(0, 0.05))
    if rng.random() < 0.4:
        amplitudes = rng.standard_normal(len(_UNFITTED)) * rng.uniform(0, 0.25)
        total += _orthogonal(amplitudes @ _UNFITTED)
    if rng.random() < 0.2:  # dust rings and the reference beam's own unevenness
        coarse = gaussian_filter(rng.standard_normal((EDGE // 4, EDGE // 4)), rng.uniform(1.5, 6))
        coarse *= rng.uniform(0, 0.15) / coarse.std()
        total += _orthogonal(np.kron(coarse, np.ones((4, 4))).ravel())
    return total


def _orthogonal(field: NDArray[np.floating]) -> Map:
    """What the background's polynomials have no share in, so that the truth stays the truth."""
    share = GRID.orthonormal @ field / EDGE**2
    rest: Map = (field - share @ GRID.orthonormal).reshape(EDGE, EDGE).astype(np.float32)
    return rest


def _valid(sample_rad: Map, rng: Generator) -> Map:
    """Mostly everything; else a round field, a strip, a corner cut off, or cells too steep to have fringes."""
    valid = np.ones((EDGE, EDGE), np.float32)
    if rng.random() > 0.25:
        return valid
    y, x = _POSITIONS[:, None], _POSITIONS[None, :]
    kind = rng.integers(4)
    if kind == 0:
        radius = rng.uniform(0.55, 1.25)
        valid *= np.hypot(y - rng.normal(0, 0.12), x - rng.normal(0, 0.12)) < radius
    elif kind == 1:
        width = rng.uniform(0.25, 0.9)
        middle = rng.uniform(-(1 - width), 1 - width)
        inside = np.abs(_POSITIONS - middle) < width
        valid *= inside[:, None] if rng.random() < 0.5 else inside[None, :]
    elif kind == 2:
        angle = rng.uniform(0, 2 * np.pi)
        valid *= y * np.sin(angle) + x * np.cos(angle) < rng.uniform(0.2, 1.1)
    else:
        valid *= sample_rad <= np.quantile(sample_rad, rng.uniform(0.7, 0.98))
    if rng.random() < 0.5:  # dust and dead spots
        spots = gaussian_filter(rng.standard_normal((EDGE, EDGE), np.float32), rng.uniform(1, 4))
        valid *= spots < np.quantile(spots, rng.uniform(0.9, 0.995))
    return valid
