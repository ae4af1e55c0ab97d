"""Looks at a field as though the objective had been focused elsewhere.

A hologram holds the whole field, so what lies a little above or below the focal plane can be focused afterwards. The
field's plane waves are each delayed by what they travel (angular spectrum: Goodman 2005, §3.10; for digital holographic
microscopes: Cuche, Marquet & Depeursinge, Appl. Opt. 38, 6994, 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, tau
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.classical.unwrapping.goldstein import unwrap

Field = NDArray[np.complex64]
WIDEST_UM = 10_000.0
"""How far a field may be propagated, either way."""
_WIDEST_MARGIN_PX = 256
_WATER = 1.33


class Refocused(NamedTuple):
    """A frame as seen at another focus.

    Attributes:
        phase_rad: (H, W) float32 in rad, unwrapped, owned by the caller.
        amplitude: (H, W) float32, in the unit that came in.
    """

    phase_rad: NDArray[np.float32]
    amplitude: NDArray[np.float32]


class Propagator:
    """A field that can be looked at from any distance; each costs one Fourier transform.

    Args:
        field: (H, W) complex64, in any unit. Its edges are mirrored, so that opposite ones do not mix.
        scale: with wavelength and pixel size.
        refractive_index: of the medium around the sample.
        numerical_aperture: the objective's; what lies beyond its band is noise and cross-talk, and is left out. None:
            all is kept.
        threads: CPU threads of a transform.

    Raises:
        ValueError: wavelength or pixel size are not known, or the index is no medium's.
    """

    def __init__(
        self,
        field: Field,
        scale: Scale,
        refractive_index: float | None = None,
        numerical_aperture: float | None = None,
        threads: int | None = None,
    ) -> None:
        if scale.wavelength_um is None or scale.pixel_um is None:
            raise ValueError(
                f"expected known optics to refocus with, got none for the {' and the '.join(scale.missing)}; "
                "say what they are"
            )
        index = _WATER if refractive_index is None else refractive_index
        if not 1 <= index <= 3:
            raise ValueError(f"expected a refractive index of 1 … 3, got {index!r}")
        self._shape = field.shape
        self._threads = threads
        height, width = field.shape
        # What diffracts into the frame from farther away is lost anyway; a margin keeps the mirror's own edge out.
        margin = min(_WIDEST_MARGIN_PX, max(16, min(height, width) // 8))
        rows, columns = (scipy.fft.next_fast_len(edge + 2 * margin) for edge in (height, width))
        above, before = (rows - height) // 2, (columns - width) // 2
        self._top, self._left = above, before
        padded = np.pad(
            field.astype(np.complex64),
            [(above, rows - height - above), (before, columns - width - before)],
            "symmetric" if min(height, width) > margin else "edge",
        )
        self._spectrum = scipy.fft.fft2(padded, overwrite_x=True, workers=threads)
        # In waves per pixel: what a plane wave of each frequency gains along the axis, less what the straight one does.
        wave = index * scale.pixel_um / scale.wavelength_um
        fy, fx = scipy.fft.fftfreq(rows)[:, None], scipy.fft.fftfreq(columns)[None, :]
        along = wave**2 - fy**2 - fx**2
        self._travels = along > 0
        if numerical_aperture is not None:
            band = numerical_aperture * scale.pixel_um / scale.wavelength_um
            self._travels &= fy**2 + fx**2 <= band**2
        self._waves = (np.sqrt(np.maximum(along, 0)) - wave).astype(np.float32)
        self._pixel_um = scale.pixel_um

    def at(self, distance_um: float) -> Field:
        """The field `distance_um` farther along the light, (H, W) complex64, owned by the caller.

        Waves that do not travel (evanescent ones) are left out.

        Raises:
            ValueError: it is farther than `WIDEST_UM`.
        """
        if not abs(distance_um) <= WIDEST_UM:
            raise ValueError(f"expected a distance of at most {WIDEST_UM:g} µm either way, got {distance_um!r}")
        turned = self._waves * np.float32(tau * distance_um / self._pixel_um)
        kernel = np.empty(turned.shape, np.complex64)
        np.cos(turned, out=kernel.real)
        np.sin(turned, out=kernel.imag)
        kernel *= self._travels
        kernel *= self._spectrum
        field = scipy.fft.ifft2(kernel, overwrite_x=True, workers=self._threads)
        height, width = self._shape
        return np.ascontiguousarray(field[self._top : self._top + height, self._left : self._left + width])


def field_of(phase_rad: NDArray[np.float32], amplitude: NDArray[np.float32] | None = None) -> Field:
    """The complex field A·exp(iφ), (H, W) complex64; of amplitude 1 where none is given."""
    field = np.empty(phase_rad.shape, np.complex64)
    np.cos(phase_rad, out=field.real)
    np.sin(phase_rad, out=field.imag)
    if amplitude is not None:
        if amplitude.shape != phase_rad.shape:
            raise ValueError(f"expected an amplitude of the phase's shape {phase_rad.shape}, got {amplitude.shape}")
        field *= amplitude
    return field


def refocus(
    phase_rad: NDArray[np.float32],
    distance_um: float,
    scale: Scale,
    amplitude: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    refractive_index: float | None = None,
    numerical_aperture: float | None = None,
) -> Refocused:
    """A frame as seen `distance_um` farther along the light.

    Args:
        phase_rad: (H, W) float32 in rad.
        distance_um: by how much the focal plane moves along the light, in µm in the medium.
        scale: with wavelength and pixel size.
        amplitude: (H, W) float32 of the field; None: 1 everywhere, which loses what absorbs.
        mask: (H, W) bool, True where there is no phase.
        refractive_index: of the medium; None: 1.33, water's.
        numerical_aperture: see `Propagator`.

    Raises:
        ValueError: see `Propagator`.
    """
    field = Propagator(field_of(phase_rad, amplitude), scale, refractive_index, numerical_aperture).at(distance_um)
    return seen(field, phase_rad, mask)


def focus_stack(
    phase_rad: NDArray[np.float32],
    distances_um: Sequence[float],
    scale: Scale,
    amplitude: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    refractive_index: float | None = None,
    numerical_aperture: float | None = None,
) -> list[Refocused]:
    """One frame as seen at each of `distances_um`; see `refocus`."""
    propagator = Propagator(field_of(phase_rad, amplitude), scale, refractive_index, numerical_aperture)
    return [seen(propagator.at(distance), phase_rad, mask) for distance in distances_um]


def seen(field: Field, before_rad: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> Refocused:
    """A field's unwrapped phase and amplitude; the phase keeps the level of `before_rad`, which it was made from."""
    amplitude = np.abs(field)
    wrapped = np.angle(field)
    phase = unwrap(wrapped, amplitude, mask).phase_rad
    turns = np.rint(np.median((before_rad - phase)[::8, ::8]) / tau)
    phase += np.float32(tau * turns)
    return Refocused(phase, amplitude)


def depth_of_field_um(numerical_aperture: float, wavelength_um: float, refractive_index: float | None = None) -> float:
    """nλ/NA², over which a microscope's focus is as good as at its best, in µm (Born & Wolf §8.8)."""
    index = _WATER if refractive_index is None else refractive_index
    return index * wavelength_um / numerical_aperture**2


def distances(centre_um: float, range_um: float, step_um: float) -> list[float]:
    """Distances from `centre_um` − range/2 to + range/2, `step_um` apart."""
    if not 0 < step_um <= max(range_um, step_um):
        raise ValueError(f"expected a step in µm above 0, got {step_um!r}")
    half = ceil(range_um / 2 / step_um)
    return [centre_um + k * step_um for k in range(-half, half + 1)]
