"""Single cells of the simulator: how thick they are, how they are built inside, how they move.

Every motion runs through whole periods in one turn, so turn 0 and turn 1 are the same instant.
"""

from __future__ import annotations

from math import ceil, cos, floor, hypot, sin, tau
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Field = NDArray[np.float32]
_PROBE_PX = 4
_SINGLE_THREAD_PRODUCTS = 200_000  # multiplications up to which OpenBLAS stays on the calling thread


class Cell(Protocol):
    """One cell: where it is, how far it reaches, and its phase about its own centre."""

    reach_px: float

    def centre_px(self, turn: float) -> tuple[float, float]:
        """(y, x) of its centre in the frame, in pixels."""

    def phase_rad(self, y: Field, x: Field, turn: float) -> Field:
        """Phase at (y, x) from its centre, in pixels: `y` is a column, `x` a row; 0 outside the cell."""


def add_fourth_power(cell: Cell, target: Field, turn: float, origin_px: float = 0.0, step_px: int = 1) -> None:
    """Add φ⁴ of `cell` to `target`, a raster whose pixel k lies at k·step − origin, in pixels of the frame."""
    axes = []
    for centre, count in zip(cell.centre_px(turn), target.shape, strict=True):
        first = max(0, ceil((centre - cell.reach_px + origin_px) / step_px))
        last = min(count - 1, floor((centre + cell.reach_px + origin_px) / step_px))
        if last < first:
            return
        axes.append((first, (np.arange(first, last + 1) * step_px - origin_px - centre).astype(np.float32)))
    (top, y), (left, x) = axes
    if step_px == 1:
        # A cell fills a fraction of the square that it may reach: a sixteenth of the pixels tells which. The last
        # ones are among them, where the frame's edge cuts a cell.
        y_probe, x_probe = np.append(y[::_PROBE_PX], y[-1]), np.append(x[::_PROBE_PX], x[-1])
        probe = cell.phase_rad(y_probe[:, None], x_probe[None, :], turn) > 0
        rows, columns = _extent(np.any(probe, axis=1)), _extent(np.any(probe, axis=0))
        top, y = top + rows.start, y[rows]
        left, x = left + columns.start, x[columns]
    square = cell.phase_rad(y[:, None], x[None, :], turn) ** 2
    target[top : top + y.size, left : left + x.size] += square * square


def _extent(occupied: NDArray[np.bool_]) -> slice:
    """The pixels from before the first occupied probe to behind the last."""
    found = np.flatnonzero(occupied)
    if not found.size:
        return slice(0, 0)
    return slice(max(0, int(found[0]) - 1) * _PROBE_PX, (int(found[-1]) + 2) * _PROBE_PX)


class RoundCell:
    """An ellipsoid in suspension, with an ellipsoidal nucleus of its own density and fine granules.

    Its phase is its thickness along the light: peak · √(1 − ρ²), ρ being 1 on its outline.
    """

    def __init__(self, centre_px: tuple[float, float], diameter_px: float, peak_rad: float, rng: Generator) -> None:
        size = rng.uniform(0.65, 1.0)
        self._axes_px = size * diameter_px / 2 * np.array([1.0, rng.uniform(0.78, 1.0)])
        self._peak_rad = float(peak_rad * size)  # thicker where it is wider
        self._nucleus = float(rng.uniform(0.15, 0.35))
        self._nucleus_scale = float(rng.uniform(0.5, 0.65))
        self._nucleus_at_px = rng.uniform(-0.15, 0.15, 2) * self._axes_px
        self._path = _Path(centre_px, 0.12 * diameter_px, rng)
        self._angle = _Swing(0.5, rng)
        self._texture = _Texture(0.04 * diameter_px, 0.3 * diameter_px, rng)
        self.reach_px = float(self._axes_px.max())
        self.centre_px = self._path.at

    def phase_rad(self, y: Field, x: Field, turn: float) -> Field:
        """See `Cell.phase_rad`."""
        angle = self._angle.at(turn)
        v, u = _rotated(y, x, angle)
        body = _cap(v, u, self._axes_px)
        nucleus = _cap(
            v - np.float32(self._nucleus_at_px[0]),
            u - np.float32(self._nucleus_at_px[1]),
            self._axes_px * self._nucleus_scale,
        )
        grain = 1 + np.float32(0.03) * self._texture.at(y, x, turn, angle)
        weight = np.float32(self._nucleus)
        inside = np.float32(self._peak_rad / 1.1) * body * ((1 - weight) * grain + weight * nucleus)
        phase: Field = np.maximum(inside, 0)
        return phase


class AdherentCell:
    """A spread cell: spindle body with processes, flat lamella, domed nucleus with nucleoli, fibres and organelles."""

    def __init__(self, centre_px: tuple[float, float], diameter_px: float, peak_rad: float, rng: Generator) -> None:
        self._peak_rad = float(peak_rad * rng.uniform(0.7, 1.0))
        radius_px = diameter_px / 2 * rng.uniform(0.75, 1.0)
        slender = rng.uniform(1.1, 2.2)
        self._axes_px = radius_px * np.array([slender**-0.5, slender**0.5])
        self._outline = _Outline(0.10, rng)
        self._lamella_outline = _Outline(0.16, rng)
        self._lamella_scale = float(rng.uniform(1.1, 1.35))
        self._processes = [_Process(self._axes_px, rng) for _ in range(rng.integers(0, 4))]
        self._nucleus_axes_px = radius_px * rng.uniform(0.28, 0.38) * np.array([0.85, 1.15])
        self._nucleus_at_px = rng.uniform(-0.2, 0.2, 2) * self._axes_px
        self._path = _Path(centre_px, 0.07 * diameter_px, rng)
        self._angle = _Swing(0.12, rng)
        self._fibres = _Texture(max(5.0, 0.03 * diameter_px), 0.25 * diameter_px, rng, anisotropy=3.0)
        self._organelles = _Granules(70, 0.45 * self._axes_px, (0.008, 0.02), radius_px, rng)
        self._nucleoli = _Granules(3, 0.35 * self._nucleus_axes_px, (0.03, 0.05), radius_px, rng)
        outermost = max(self._outline.outermost, self._lamella_scale * self._lamella_outline.outermost)
        arms_px = [process.reach_px for process in self._processes]
        self.reach_px = float(max([outermost * self._axes_px.max(), *arms_px]))
        self.centre_px = self._path.at

    def phase_rad(self, y: Field, x: Field, turn: float) -> Field:
        """See `Cell.phase_rad`."""
        angle = self._angle.at(turn)
        v, u = _rotated(y, x, angle)
        radius, direction = _polar(v / np.float32(self._axes_px[0]), u / np.float32(self._axes_px[1]))
        rho = radius / self._outline.at(direction, turn)
        rho_lamella = radius / (np.float32(self._lamella_scale) * self._lamella_outline.at(direction, turn))
        body = np.maximum(1 - rho * rho, 0)
        lamella = _smooth_step((1 - rho_lamella) * np.float32(6))
        for process in self._processes:
            body = np.maximum(body, process.height(v, u, turn))
        nucleus = _cap(
            v - np.float32(self._nucleus_at_px[0]), u - np.float32(self._nucleus_at_px[1]), self._nucleus_axes_px
        )
        thickness = np.float32(0.06) * lamella + np.float32(0.48) * body + np.float32(0.28) * nucleus
        fibres = 1 + np.float32(0.05) * self._fibres.at(y, x, turn, angle)
        organelles = np.float32(0.12) * np.minimum(self._organelles.at(y, x, turn, angle), 1) * np.minimum(2 * body, 1)
        nucleoli = np.float32(0.08) * np.minimum(self._nucleoli.at(y, x, turn, angle), 1) * nucleus
        phase: Field = np.maximum(np.float32(self._peak_rad) * (thickness * fibres + organelles + nucleoli), 0)
        return phase


class _Path:
    """A closed path about a place."""

    def __init__(self, place_px: tuple[float, float], reach_px: float, rng: Generator) -> None:
        self._place_px = place_px
        self._reach_px = rng.uniform(0.3, 1.0, 2) * reach_px
        self._start = rng.uniform(0, tau, 2)
        self._sense = rng.choice([-1, 1])

    def at(self, turn: float) -> tuple[float, float]:
        """(y, x) in pixels."""
        angle = tau * turn * self._sense + self._start
        y, x = self._place_px + self._reach_px * np.sin(angle)
        return float(y), float(x)


class _Swing:
    """An angle that swings about a random one."""

    def __init__(self, amplitude: float, rng: Generator) -> None:
        self._mean, self._start = rng.uniform(0, tau, 2)
        self._amplitude = amplitude

    def at(self, turn: float) -> float:
        """The angle in rad."""
        return float(self._mean + self._amplitude * sin(tau * turn + self._start))


class _Outline:
    """A closed curve r(θ) = 1 + Σ aₖ cos(kθ + ψₖ), k = 2 … 7, whose lobes come and go."""

    def __init__(self, roughness: float, rng: Generator) -> None:
        self._orders = np.arange(2, 8)
        self._amplitudes = roughness * rng.uniform(0.4, 1.0, 6) * (2.0 / self._orders) ** 0.5
        self._phases, self._starts = rng.uniform(0, tau, (2, 6))
        self.outermost = float(1 + self._amplitudes.sum())

    def at(self, direction: NDArray[np.complex64], turn: float) -> Field:
        """r towards `direction`, complex numbers of modulus 1."""
        swing = 0.35 * np.sin(tau * turn + self._starts)
        coefficients = (self._amplitudes * np.exp(1j * (self._phases + swing))).astype(np.complex64)
        series = np.full(direction.shape, coefficients[-1])
        for coefficient in coefficients[-2::-1]:  # Horner
            series = series * direction + coefficient
        radius: Field = 1 + (series * direction * direction).real
        return np.maximum(radius, np.float32(0.3))


class _Process:
    """A tapering, slightly bent arm that grows out of the body."""

    def __init__(self, axes_px: NDArray[np.float64], rng: Generator) -> None:
        self._length_px = float(axes_px.max() * rng.uniform(1.5, 2.2))
        self._width_px = float(axes_px.min() * rng.uniform(0.3, 0.5))
        self._bend = rng.uniform(-0.6, 0.6) / self._length_px
        self._angle = _Swing(0.06, rng)
        self.reach_px = self._length_px * hypot(1, 0.6) + self._width_px

    def height(self, v: Field, u: Field, turn: float) -> Field:
        """0 … 0.5, the arm's thickness over the body's."""
        across, along = _rotated(v, u, self._angle.at(turn))
        across = across - np.float32(self._bend) * along * along
        remaining = np.clip(1 - along / np.float32(self._length_px), 0, 1)
        remaining = np.where(along > 0, remaining, 0)
        width = np.float32(self._width_px) * (np.float32(0.15) + np.float32(0.85) * remaining * remaining)
        profile = np.maximum(1 - (across / width) ** 2, 0)
        height: Field = np.float32(0.5) * profile * np.minimum(3 * remaining, 1)
        return height


class _Texture:
    """A smooth random field of unit variance: 48 plane waves between two wavelengths, stronger where longer."""

    def __init__(self, shortest_px: float, longest_px: float, rng: Generator, anisotropy: float = 1.0) -> None:
        frequency = np.exp(rng.uniform(np.log(1 / longest_px), np.log(1 / shortest_px), 48))
        direction = rng.uniform(0, tau, 48)
        self._fy = tau * frequency * np.sin(direction)
        self._fx = tau * frequency * np.cos(direction) / anisotropy
        weight = frequency**-0.5
        self._weight = weight * np.sqrt(2 / np.sum(weight**2))
        self._start, self._swing = rng.uniform(0, tau, (2, 48))

    def at(self, y: Field, x: Field, turn: float, angle: float = 0.0) -> Field:
        """The field, turned by `angle`, over a column `y` and a row `x`: waves part into a matrix product."""
        fy = self._fy * cos(angle) + self._fx * sin(angle)
        fx = self._fx * cos(angle) - self._fy * sin(angle)
        start = self._start + 0.8 * np.sin(tau * turn + self._swing)
        along_y = (self._weight * np.exp(1j * (y * fy + start))).astype(np.complex64)
        along_x = np.exp(1j * fx[:, None] * x).astype(np.complex64)
        return _product(along_y.real, along_x.real) - _product(along_y.imag, along_x.imag)


class _Granules:
    """Small Gaussian bodies that jostle inside a cell."""

    def __init__(
        self,
        count: int,
        spread_px: NDArray[np.float64],
        sizes: tuple[float, float],
        radius_px: float,
        rng: Generator,
    ) -> None:
        self._v, self._u = rng.normal(size=(2, count)) * spread_px[:, None]
        self._sigma_px = np.maximum(rng.uniform(*sizes, count) * radius_px, 1.2)
        self._height = rng.uniform(0.4, 1.0, count)
        self._jostle_px = 0.02 * radius_px
        self._start = rng.uniform(0, tau, (2, count))

    def at(self, y: Field, x: Field, turn: float, angle: float) -> Field:
        """Their sum over a column `y` and a row `x`, in a cell turned by `angle`; a lone one's height is 0.4 … 1."""
        v = self._v + self._jostle_px * np.sin(tau * turn + self._start[0])
        u = self._u + self._jostle_px * np.sin(tau * turn + self._start[1])
        centre_y, centre_x = v * cos(angle) + u * sin(angle), u * cos(angle) - v * sin(angle)
        along_y = self._height * np.exp(-(((y - centre_y) / self._sigma_px) ** 2) / 2)
        along_x = np.exp(-(((x - centre_x[:, None]) / self._sigma_px[:, None]) ** 2) / 2)
        return _product(along_y, along_x)


def _product(left: NDArray[np.floating], right: NDArray[np.floating]) -> Field:
    """left @ right on this thread alone: BLAS keeps small products to one thread, and its others would spin on the
    cores that the engine needs."""
    left, right = left.astype(np.float32), right.astype(np.float32)
    product = np.empty((left.shape[0], right.shape[1]), np.float32)
    rows = max(1, _SINGLE_THREAD_PRODUCTS // (right.size or 1))
    for top in range(0, left.shape[0], rows):
        np.matmul(left[top : top + rows], right, out=product[top : top + rows])
    return product


def _rotated(y: Field, x: Field, angle: float) -> tuple[Field, Field]:
    """(v, u) = (y cos a − x sin a, x cos a + y sin a)."""
    c, s = np.float32(cos(angle)), np.float32(sin(angle))
    return y * c - x * s, x * c + y * s


def _cap(v: Field, u: Field, axes_px: NDArray[np.float64]) -> Field:
    """√(1 − ρ²), half an ellipsoid's thickness over its middle's."""
    square = (v / np.float32(axes_px[0])) ** 2 + (u / np.float32(axes_px[1])) ** 2
    cap: Field = np.sqrt(np.maximum(1 - square, 0))
    return cap


def _polar(v: Field, u: Field) -> tuple[Field, NDArray[np.complex64]]:
    """The distance from the centre, and the direction as complex numbers of modulus 1."""
    radius: Field = np.hypot(v, u)
    direction = np.empty(radius.shape, np.complex64)
    inverse = 1 / np.maximum(radius, np.float32(1e-6))
    direction.real, direction.imag = u * inverse, v * inverse
    return radius, direction


def _smooth_step(ramp: Field) -> Field:
    """0 below 0, 1 above 1, and 3t² − 2t³ between."""
    t = np.clip(ramp, 0, 1)
    step: Field = t * t * (3 - 2 * t)
    return step
