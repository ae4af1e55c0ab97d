"""The reasons why a picture has no usable carrier, saturation among them."""

from __future__ import annotations

from math import atan2, hypot

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.spectrum import Spectrum
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import FringeState

_DARK_PART = 0.02  # of full scale
_SATURATED_SHARE = 0.3
_BRIGHT = 0.8
_EVEN_GREY_LEVELS = 2
_TILES_ALONG = 6
_SMALLEST_TILE_PX = 32
_MOST_TILES = 144  # a strip has thousands, which all tell the same
_FRINGED_SHARE = 0.4  # of a tile's detail in its one line
_FRINGED_TILES = 0.6
_ZERO_ORDER_BINS, _LINE_BINS, _FEWEST_FRINGES = 1.5, 2.0, 4.0  # of a tile
_ALL_ROUND = 0.5  # mean resultant length of doubled directions; below, fringes point everywhere
_STRUCTURE = 3.0  # coarse over fine detail; white noise has 1
_SAMPLED_PX = 1 << 14
_TOP_PART = 0.998  # of the sampled pixels: what is brighter may be hot pixels
_WIDTH = 0.01  # of the grey values' range: noise behind a full well spreads the pile
_PILE = 4.0  # times as many pixels as in the equal range below; the crests of a cosine have 2.4


def refusal(
    pixels: Pixels,
    bit_depth: int,
    spectrum: Spectrum,
    coarse_period_px: float | None,
    pattern: tuple[float, float] | None,
    longest_period_px: float,
    *,
    is_quad_mosaic: bool = False,
) -> InferenceError:
    """The error that says why `pixels` cannot be inverted.

    Args:
        pixels: (H, W) grey values.
        bit_depth: how many bits of them matter.
        spectrum: theirs.
        coarse_period_px: of the fringes that are too coarse, where there are such.
        pattern: (period in px, share of the detail) of a line that is no carrier.
        longest_period_px: of fringes that can be used.
        is_quad_mosaic: whether each of its colours covers 2 × 2 pixels.
    """
    if is_quad_mosaic:
        return InferenceError(
            FringeState.MOSAIC,
            "expected fringes on a monochrome sensor, got a colour mosaic whose filters cover 2 × 2 px each (quad "
            "Bayer): let the camera bin 2 × 2, or take a monochrome one",
        )
    state, sentence = _why(pixels, bit_depth, spectrum, coarse_period_px, pattern, longest_period_px)
    return InferenceError(state, sentence)


def _why(
    pixels: Pixels,
    bit_depth: int,
    spectrum: Spectrum,
    coarse_period_px: float | None,
    pattern: tuple[float, float] | None,
    longest_period_px: float,
) -> tuple[FringeState, str]:
    expected = f"expected fringes finer than {longest_period_px:.0f} px"
    light = _light(pixels, bit_depth)
    if light is not None:
        return light[0], f"{expected}, got {light[1]}"
    if coarse_period_px is not None:
        return FringeState.TOO_COARSE, (
            f"{expected}, got fringes of {coarse_period_px:.0f} px, whose sideband lies in the zero order: tilt the "
            "reference beam further, or magnify less"
        )
    local = _local_fringes(pixels)
    if local is not None:
        return local[0], f"{expected} and alike all over the frame, got {local[1]}"
    if pattern is not None:
        return FringeState.OTHER_PICTURE, (
            f"{expected}, got another picture: its strongest pattern, of {pattern[0]:.1f} px, holds {pattern[1]:.0%} "
            "of the detail, where a carrier holds nearly all; send the recorded interferogram"
        )
    if _structure(spectrum) > _STRUCTURE or _is_drawing(pixels):
        return FringeState.OTHER_PICTURE, (
            f"{expected}, got a picture without any: check that the reference beam reaches the sensor, and that this "
            "is an off-axis interferogram (an in-line or lensless hologram has no carrier)"
        )
    return FringeState.NO_FRINGES, (
        f"{expected}, got light without fringes: check the reference beam, its path length and its polarisation"
    )


def _light(pixels: Pixels, bit_depth: int) -> tuple[FringeState, str] | None:
    """What is wrong with the light alone."""
    sample = pixels[::2, ::2]
    full_scale = 2**bit_depth - 1
    low, middle, high = (float(value) for value in np.percentile(sample, (0.2, 50, 99)))
    if high <= _DARK_PART * full_scale:
        return FringeState.DARK, (
            f"a dark frame, {high:.0f} of {full_scale} grey values at the brightest: check laser, shutter and exposure"
        )
    share = saturated_share(pixels, bit_depth)
    if share > _SATURATED_SHARE and low > _BRIGHT * high:  # white paper with ink on it is another matter
        return FringeState.SATURATED, f"{share:.0%} of the pixels saturated: lower the exposure or the laser's power"
    if high - low <= _EVEN_GREY_LEVELS:
        return FringeState.UNIFORM, (
            f"an even frame of {middle:.0f} grey values: check what lies between the laser and the sensor"
        )
    return None


def _local_fringes(pixels: Pixels) -> tuple[FringeState, str] | None:
    """Fringes that are there in most parts of the frame, but differ from part to part."""
    edge = max(_SMALLEST_TILE_PX, min(pixels.shape) // _TILES_ALONG)
    rows, columns = (length // edge for length in pixels.shape)
    if rows * columns < 4:
        return None
    tiles = pixels[: rows * edge, : columns * edge].reshape(rows, edge, columns, edge).swapaxes(1, 2)
    every = -(-max(rows, columns) * min(rows, columns) // _MOST_TILES)
    looked_at = (tiles[::every] if rows > columns else tiles[:, ::every]).reshape(-1, edge, edge)
    lines = [line for line in map(_line_of, looked_at) if line is not None]
    if len(lines) < _FRINGED_TILES * len(looked_at):
        return None
    directions = np.array([2 * atan2(fy, fx) for fy, fx in lines])
    periods = sorted(1 / hypot(fy, fx) for fy, fx in lines)
    shortest, longest = (periods[round(part * (len(periods) - 1))] for part in (0.05, 0.95))
    if abs(np.exp(1j * directions).mean()) < _ALL_ROUND:
        return FringeState.IN_LINE, (
            "rings: an in-line (lensless, Gabor) hologram, or a reference beam that is not tilted; tilt the "
            "reference beam, since phase needs a carrier"
        )
    return FringeState.CURVED, (
        f"fringes from {shortest:.1f} to {longest:.1f} px: the reference wave is curved against the object wave; match "
        "their curvature"
    )


def _line_of(tile: Pixels) -> tuple[float, float] | None:
    """The frequency of a tile's fringes in cycles per pixel, or None where it has none."""
    edge = len(tile)
    grey = tile.astype(np.float32)
    grey -= grey.mean()
    window = np.hanning(edge + 2)[1:-1].astype(np.float32)
    power = np.abs(np.fft.fft2(grey * window[:, None] * window[None, :])) ** 2
    frequency: NDArray[np.float64] = np.fft.fftfreq(edge).astype(np.float64)
    fy, fx = frequency[:, None], frequency[None, :]
    bins = np.hypot(fy, fx) * edge
    power[bins < _ZERO_ORDER_BINS] = 0
    row, column = np.unravel_index(int(np.argmax(np.where(bins < _FEWEST_FRINGES, 0, power))), power.shape)
    found = (float(frequency[row]), float(frequency[column]))
    around = _within(fy, fx, found, _LINE_BINS / edge) | _within(fy, fx, (-found[0], -found[1]), _LINE_BINS / edge)
    return found if float(power[around].sum()) > _FRINGED_SHARE * max(float(power.sum()), 1e-30) else None


def _within(
    fy: NDArray[np.float64], fx: NDArray[np.float64], frequency: tuple[float, float], radius: float
) -> NDArray[np.bool_]:
    y, x = fy - frequency[0], fx - frequency[1]
    inside: NDArray[np.bool_] = np.hypot(y - np.rint(y), x - np.rint(x)) < radius
    return inside


def _is_drawing(pixels: Pixels) -> bool:
    """Whether more than half of the pixels have one grey value, as the paper under a plot or a letter."""
    sample = np.sort(pixels[::2, ::2], axis=None)
    paper = sample[sample.size // 2]
    return int(np.count_nonzero(sample == paper)) > sample.size // 2


def _structure(spectrum: Spectrum) -> float:
    """How much stronger coarse detail is than fine: the spectrum's median magnitude at 20 px over that at 2.5 px."""
    coarse, fine = (
        float(np.median(spectrum.magnitude[(spectrum.radius > low) & (spectrum.radius < high)]))
        for low, high in ((0.03, 0.07), (0.35, 0.45))
    )
    return coarse / max(fine, 1e-30)


def saturated_share(pixels: Pixels, bit_depth: int) -> float:
    """The share of pixels at full scale, or piled up at the top of the grey values where that lies lower, 0 … 1.

    Twelve bits that lie left-justified in sixteen saturate at 65520, and some sensors clip below their full scale. What
    gives it away is the pile: far more pixels at the top than in an equal range just below.
    """
    # An odd step through all pixels, so that no fringes along an axis are always met at the same phase.
    ordered = np.sort(pixels.reshape(-1)[:: pixels.size // _SAMPLED_PX | 1], kind="stable")
    number = ordered.size
    full_scale = 2**bit_depth - 1
    at_full_scale = number - int(np.searchsorted(ordered, full_scale))
    top, bottom = int(ordered[int(_TOP_PART * (number - 1))]), int(ordered[0])
    width = max(1.0, _WIDTH * (top - bottom))
    below, above = (int(np.searchsorted(ordered, top - levels * width, "right")) for levels in (2, 1))
    piled, beside = number - above, above - below
    if bottom == top or piled < _PILE * max(beside, 1):
        return at_full_scale / number
    return max(piled, at_full_scale) / number
