"""One grey image out of an interferogram that was stored in colours."""

from __future__ import annotations

from math import hypot

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_LOOKED_AT_PX = 512  # along each axis, in the middle
_ZERO_ORDER = 1 / 25  # cycles per pixel; coarser than any fringes that can be used
_WEAKEST_LINE = 20.0  # over the median of the spectrum: there are fringes
_SAME_LINE_BINS = 3.0
_PLAYS_A_PART = 0.3  # of the strongest colour's line


def one_colour(colours: NDArray[np.generic]) -> NDArray[np.generic]:
    """(H, W) grey values of the dtype of `colours`, (H, W, n).

    The colours' mean, as long as they show the same fringes. Where two lasers light a colour camera, each colour has
    fringes of its own, and a mean of them is an interferogram of neither: then it is the colour whose fringes are the
    strongest.
    """
    first = colours[..., 0]
    channels = [colours[..., channel] for channel in range(colours.shape[-1])]
    if all(np.array_equal(first, other) for other in channels[1:]):
        return first
    lines = [_line(channel) for channel in channels]
    strongest = max(range(len(lines)), key=lambda channel: lines[channel][1])
    (fy, fx), most = lines[strongest]
    for (other_fy, other_fx), strength in lines:
        is_elsewhere = min(hypot(other_fy - sign * fy, other_fx - sign * fx) for sign in (1, -1)) > _SAME_LINE_BINS
        if most > _WEAKEST_LINE and strength > max(_PLAYS_A_PART * most, _WEAKEST_LINE) and is_elsewhere:
            return channels[strongest]
    mean = colours.mean(axis=-1, dtype=np.float64)
    grey: NDArray[np.generic] = (mean if colours.dtype.kind == "f" else np.rint(mean)).astype(colours.dtype)
    return grey


def _line(channel: NDArray[np.generic]) -> tuple[tuple[float, float], float]:
    """Where a colour's strongest line outside of the zero order lies, in bins, and its size over the median's."""
    top, left = (max(0, (length - _LOOKED_AT_PX) // 2) for length in channel.shape)
    grey = channel[top : top + _LOOKED_AT_PX, left : left + _LOOKED_AT_PX].astype(np.float32)
    grey = np.nan_to_num(grey - np.nanmean(grey), copy=False)
    height, width = grey.shape
    grey *= np.hanning(height + 2)[1:-1, None].astype(np.float32) * np.hanning(width + 2)[None, 1:-1].astype(np.float32)
    magnitude = np.abs(scipy.fft.rfft2(grey))
    fy, fx = scipy.fft.fftfreq(height)[:, None], scipy.fft.rfftfreq(width)[None, :]
    magnitude[np.hypot(fy, fx) <= _ZERO_ORDER] = 0
    row, column = np.unravel_index(int(np.argmax(magnitude)), magnitude.shape)
    median = float(np.median(magnitude[magnitude > 0])) if magnitude.any() else 1.0
    return (float(fy[row, 0] * height), float(fx[0, column] * width)), float(magnitude[row, column]) / median
