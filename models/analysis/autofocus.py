"""Where a field is sharpest, told from the field alone.

A transparent cell in focus shows phase and next to no amplitude; out of focus its outline diffracts into bright and
dark rings. So the amplitude of a phase object is plainest in focus, and that of an absorbing one the richest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.refocus import Field, Propagator, distances
from qpi_live.models.analysis.scale import Scale
from scipy.ndimage import gaussian_laplace
from scipy.optimize import minimize_scalar

Sample = Literal["phase", "amplitude"]
_BAND_CYCLES_PER_PX = 0.01, 0.1  # in which the spectrum is looked at
_SMOOTHED_PX = 2.0  # standard deviation of the Gaussian under the Laplacian


class Focus(NamedTuple):
    """Where it is sharpest.

    Attributes:
        distance_um: by how much the focal plane should move along the light, in µm.
        scanned_um: (n,) the distances that were tried in the first round.
        sharpness: (n,) what the metric gave there; larger is sharper.
        at_edge: whether it lies at the end of what was searched, so that the true focus may lie beyond.
    """

    distance_um: float
    scanned_um: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    at_edge: bool


def variance(field: Field) -> float:
    """Normalised variance of the amplitude (Langehanenberg et al., Appl. Opt. 47, D176, 2008, eq. 3)."""
    amplitude = np.abs(field)
    mean = float(amplitude.mean())
    return float(amplitude.var()) / max(mean * mean, 1e-30)


def gradient(field: Field) -> float:
    """Mean squared gradient of the amplitude over its mean square (Langehanenberg et al. 2008, eq. 4, squared)."""
    amplitude = np.abs(field)
    down, right = np.diff(amplitude, axis=0), np.diff(amplitude, axis=1)
    power = float(np.mean(amplitude * amplitude))
    return (float(np.mean(down * down)) + float(np.mean(right * right))) / max(power, 1e-30)


def laplacian(field: Field) -> float:
    """Mean squared Laplacian of the amplitude over its mean square (Langehanenberg et al. 2008, Laplace filtering).

    Of the amplitude smoothed by a Gaussian (Marr & Hildreth, Proc. R. Soc. B 207, 187, 1980): what is finer than an
    off-axis hologram resolves is noise, and a second derivative shows nothing else.
    """
    amplitude = np.abs(field)
    curved = gaussian_laplace(amplitude, _SMOOTHED_PX)
    return float(np.mean(curved * curved)) / max(float(np.mean(amplitude * amplitude)), 1e-30)


def spectrum(field: Field) -> float:
    """Mean ln(1 + |F|) of the amplitude's spectrum within a band (Langehanenberg et al. 2008, eq. 2).

    The band leaves out the beam's slow decline and what is finer than an off-axis hologram resolves, which is noise. A
    Hann window keeps the edges' step out.
    """
    amplitude = np.abs(field)
    amplitude = amplitude / max(float(amplitude.mean()), 1e-30) - 1
    height, width = amplitude.shape
    windowed = amplitude * np.hanning(height)[:, None] * np.hanning(width)[None, :]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    coarsest, finest = _BAND_CYCLES_PER_PX
    inside = (frequency >= max(coarsest, 1.5 / min(height, width))) & (frequency < finest)
    if not inside.any():  # a few pixels
        inside = frequency > 0
    return float(np.log1p(np.abs(np.fft.rfft2(windowed))[inside]).mean())


def edge_sparsity(field: Field) -> float:
    """Tamura coefficient √(σ/μ) of the field's gradient: sharp edges are few and strong.

    Zhang, Wang, Wu & Ozcan, Opt. Lett. 42, 3824, 2017. So are the spots into which thick cells focus the light: where
    those lie within what is searched, they may be taken for the focus.
    """
    down, right = np.diff(field, axis=0)[:, :-1], np.diff(field, axis=1)[:-1]
    steep = np.sqrt(np.abs(down) ** 2 + np.abs(right) ** 2)
    return float(np.sqrt(steep.std() / max(float(steep.mean()), 1e-30)))


_PLAIN: dict[str, Callable[[Field], float]] = {
    "variance": variance,
    "gradient": gradient,
    "laplacian": laplacian,
    "spectrum": spectrum,
}
METRICS: tuple[str, ...] = (*_PLAIN, "edge_sparsity")
"""The metrics that `autofocus` takes."""


_BORDER = 6  # of an edge, so many-th part on either side is not looked at: propagation carries the ringing inwards
DEFAULT_METRIC = "variance"
"""The one that was off least wherever no light was lost (`bench/measure.py`)."""


def sharpness(field: Field, metric: str = DEFAULT_METRIC, sample: Sample = "phase") -> float:
    """How sharp a field is; larger is sharper.

    Raises:
        ValueError: there is no metric of that name.
    """
    if metric == "edge_sparsity":
        return edge_sparsity(field)
    if metric not in _PLAIN:
        raise ValueError(f"expected a metric among {', '.join(METRICS)}, got {metric!r}")
    value = _PLAIN[metric](field)
    return -value if sample == "phase" else value


def autofocus(
    field: Field,
    scale: Scale,
    range_um: float = 40.0,
    step_um: float = 1.0,
    metric: str = DEFAULT_METRIC,
    sample: Sample = "phase",
    refractive_index: float | None = None,
    numerical_aperture: float | None = None,
) -> Focus:
    """The distance at which a field is sharpest, within ± half of `range_um`.

    All distances `step_um` apart are tried first; between the neighbours of the best, Brent's method finds the summit.
    The outermost sixth along each edge is not looked at: the pass band rings at the border, and is sharpest in the
    frame as it was taken. Small frames have much of it.

    Args:
        field: (H, W) complex64; of a part of the frame, cut it out with some room around (see `around`).
        scale: with wavelength and pixel size.
        range_um: what to search, in µm.
        step_um: of the first round, about a depth of field.
        metric: one of `METRICS`.
        sample: whether the sample shows in phase or in amplitude.
        refractive_index: of the medium; None: 1.33, water's.
        numerical_aperture: the objective's, see `Propagator`.

    Raises:
        ValueError: no such metric, or see `Propagator`.
    """
    sharpness(np.ones((4, 4), np.complex64), metric, sample)
    propagator = Propagator(field, scale, refractive_index, numerical_aperture)
    inside = tuple(slice(edge // _BORDER, edge - edge // _BORDER) for edge in field.shape)

    def sharpness_at(distance_um: float) -> float:
        return sharpness(propagator.at(distance_um)[inside], metric, sample)

    tried = np.array(distances(0.0, range_um, step_um))
    found = np.array([sharpness_at(distance) for distance in tried])
    best = int(found.argmax())
    at_edge = best in (0, len(tried) - 1)
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    finest = minimize_scalar(
        lambda distance: -sharpness_at(float(distance)),
        bounds=(float(low), float(high)),
        method="bounded",
        options={"xatol": step_um / 50},
    )
    distance = float(finest.x) if -finest.fun >= found[best] else float(tried[best])
    return Focus(distance, tried, found, at_edge)


def around(box: tuple[int, int, int, int], shape: tuple[int, int], room_px: int = 48) -> tuple[slice, slice]:
    """Rows and columns of a box (top, left, bottom, right) with room around, within a frame of `shape`."""
    top, left, bottom, right = box
    return (
        slice(max(0, top - room_px), min(shape[0], bottom + room_px)),
        slice(max(0, left - room_px), min(shape[1], right + room_px)),
    )
