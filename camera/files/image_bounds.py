"""Bounds on the size of an image, and the error for all that is no interferogram."""

from __future__ import annotations

import math

LARGEST_IMAGE_PX = 2**26  # 8192 × 8192
LONGEST_EDGE_PX = 65_535  # along either axis: a strip of a million rows is no interferogram
_SMALLEST_EDGE_PX = 16
_MOST_BYTES_PER_PX = 8  # a float64, or eight samples


class ImageFileError(ValueError):
    """Bytes that are no interferogram: the text says what was expected, what came, and what to do."""


class ImageTooLarge(ImageFileError):
    """An image that would take more room than is allowed; nothing of it was decoded."""


def check_size(shape: tuple[int, ...], max_px: int, bytes_per_px: int = 1) -> None:
    """Refuse the shape that a header promises before anything of it is decoded.

    Args:
        shape: the image's axes, in pixels.
        max_px: the most pixels.
        bytes_per_px: what each takes once it is decoded, all samples together; `max_px` are meant at 8.

    Raises:
        ImageTooLarge: too many pixels, too many bytes, or too long an edge.
        ImageFileError: not two axes, or smaller than 16 pixels along one.
    """
    if len(shape) != 2:
        raise ImageFileError(f"expected one two-dimensional image, got shape {shape}; send one frame at a time")
    if min(shape) < _SMALLEST_EDGE_PX:
        raise ImageFileError(f"expected at least {_SMALLEST_EDGE_PX} pixels along each axis, got shape {shape}")
    if max(shape) > LONGEST_EDGE_PX:
        raise ImageTooLarge(
            f"expected at most {LONGEST_EDGE_PX} pixels along each axis, got {shape[0]} × {shape[1]}; crop the image"
        )
    if math.prod(shape) > max_px:
        raise ImageTooLarge(f"expected at most {max_px} pixels, got {shape[0]} × {shape[1]}; crop the image")
    if math.prod(shape) * bytes_per_px > max_px * _MOST_BYTES_PER_PX:
        raise ImageTooLarge(
            f"expected at most {max_px * _MOST_BYTES_PER_PX >> 20} MiB of pixels, got {shape[0]} × {shape[1]} of "
            f"{bytes_per_px} bytes; save grey values"
        )
