"""One interferogram out of a file's bytes: `.npy`, TIFF, PNG, JPEG or BMP, told apart by content.

Files come from strangers as well as from microscopes. So what a header promises is bounded before anything is decoded.
Nothing is ever unpickled, and whatever a decoder trips over becomes one sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from qpi_live.camera.files.image_bounds import LARGEST_IMAGE_PX, ImageFileError, ImageTooLarge, check_size
from qpi_live.camera.files.missing import filled
from qpi_live.camera.files.npy_header import PLAIN_ONLY, read_npy_header
from qpi_live.camera.files.tiff_page import tiff_page, without_colour
from qpi_live.camera.frame import Pixels, as_pixels

_FEW = 0.1  # per cent of the pixels at either end of the grey values
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
_PILLOW_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L", "I", "F")


@dataclass(frozen=True, slots=True, eq=False)
class GreyImage:
    """A decoded interferogram.

    Attributes:
        pixels: (H, W) uint8 up to 8 bits, uint16 above, C-contiguous, owned by the caller.
        bit_depth: 8, 10, 12, 14 or 16: the least that holds the largest grey value.
        clipped_px: pixels far off all others, which were clipped so that the rest keeps its grey levels.
        missing: (H, W) bool, True where the file has NaN or infinity, and `pixels` the mean of what lies around; None
            where nowhere.
    """

    pixels: Pixels
    bit_depth: int
    clipped_px: int = 0
    missing: NDArray[np.bool_] | None = None


def decode_image(data: bytes, max_px: int = LARGEST_IMAGE_PX, *, may_miss: bool = False) -> GreyImage:
    """The interferogram in a file's bytes.

    Args:
        data: the whole file; the format is told by its first bytes.
        max_px: the most pixels that are decoded.
        may_miss: whether values may be NaN or infinite (`GreyImage.missing`).

    Raises:
        ImageFileError: no known format, truncated, not a single two-dimensional image, too small or too large, or
            values that are complex, not finite, or Python objects.
    """
    return to_grey(_decoded(data, max_px), may_miss=may_miss)


def decode_mask(data: bytes, max_px: int = LARGEST_IMAGE_PX) -> NDArray[np.bool_]:
    """(H, W) bool, True where the image or boolean array in a file's bytes is not zero.

    Raises:
        ImageFileError: see `decode_image`.
    """
    values = _decoded(data, max_px, "buif")
    check_size(values.shape, values.size)
    if values.dtype.kind not in "buif":
        raise ImageFileError(f"expected a mask of booleans or numbers, got {values.dtype}; save it as uint8")
    return np.ascontiguousarray(values != 0)


def _decoded(data: bytes, max_px: int, kinds: str = "uif") -> NDArray[np.generic]:
    """The values in a file's bytes, as they are; an array's types are of `kinds`."""
    if data.startswith(b"\x93NUMPY"):
        return _decode_npy(data, max_px, kinds)
    if data.startswith(_TIFF_MAGIC):
        return _decode_tiff(data, max_px)
    for magic, kind in _PILLOW.items():
        if data.startswith(magic):
            return _decode_with_pillow(data, kind, max_px)
    found = "a zip archive (.npz?)" if data.startswith(b"PK") else f"{len(data)} bytes that begin {data[:8]!r}"
    raise ImageFileError(f"expected a .npy, TIFF, PNG, JPEG or BMP image, got {found}; save one array as .npy")


def read_image(path: Path, max_px: int = LARGEST_IMAGE_PX, *, may_miss: bool = False) -> GreyImage:
    """The interferogram in the file `path`; see `decode_image`.

    Raises:
        ImageFileError: it cannot be read, or see `decode_image`; the text names the file.
    """
    values = read_values(path, max_px)
    try:
        return to_grey(values, may_miss=may_miss)
    except ImageFileError as error:
        raise ImageFileError(f"{path.name}: {error}") from error


def read_values(path: Path, max_px: int = LARGEST_IMAGE_PX) -> NDArray[np.generic]:
    """What `to_grey` takes of the file `path`: (H, W), as it stands there.

    Raises:
        ImageFileError: it cannot be read, or see `decode_image`; the text names the file.
    """
    try:
        return _decoded(path.read_bytes(), max_px)
    except OSError as error:
        raise ImageFileError(f"expected a readable image at {path}, got: {error.strerror or error}") from error
    except ImageFileError as error:
        raise ImageFileError(f"{path.name}: {error}") from error


def to_grey(values: NDArray[np.generic], *, may_miss: bool = False) -> GreyImage:
    """Any real two-dimensional image as an interferogram's grey values.

    Whole numbers in 0 … 65535 stay what they are, whatever their type (int64 and float64 files exist). All other
    values are mapped linearly on 16 bits, which leaves an interferogram's phase as it is. A few values far off the
    rest, as of hot pixels, do not take part in that: they are clipped.

    Args:
        values: the image.
        may_miss: see `decode_image`.

    Raises:
        ImageFileError: not two-dimensional, smaller than 16 pixels, complex, boolean, or not finite.
    """
    check_size(values.shape, values.size)
    if values.dtype.kind not in "uif":
        raise ImageFileError(f"expected real grey values, got {values.dtype}; send the recorded intensity")
    if values.dtype == np.uint8:
        return GreyImage(np.array(values, np.uint8, order="C"), 8)
    lowest, highest = float(values.min()), float(values.max())
    clipped, missing = 0, None
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        if not may_miss:
            raise ImageFileError("expected finite grey values, got NaN or infinity; replace those pixels first")
        missing = ~np.isfinite(values)
        if missing.all():
            raise ImageFileError("expected grey values, got NaN or infinity in every pixel; send the recorded frame")
        there = values[~missing]
        lowest, highest = float(there.min()), float(there.max())
        values = np.where(missing, there[0], values)  # for now: they take no part in the mapping
    if not _are_grey_values(values, lowest, highest):
        if not math.isfinite(highest - lowest):
            raise ImageFileError(f"expected grey values of a usable range, got {lowest:g} … {highest:g}")
        floating = values.astype(np.float64)
        bottom, top = _usual_range(floating)
        lowest, highest = max(lowest, bottom), min(highest, top)
        clipped = int(np.count_nonzero((floating < lowest) | (floating > highest)))
        span = highest - lowest
        values = np.rint((np.clip(floating, lowest, highest) - lowest) * (65535 / span if span else 0.0))
        highest = float(values.max())
    bit_depth = next(depth for depth in _BIT_DEPTHS if highest < 2**depth)
    pixels = as_pixels(values, bit_depth)
    return GreyImage(pixels if missing is None else filled(pixels, missing), bit_depth, clipped, missing)


def _usual_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """What all values but a few outliers lie within, with room: half of the usual values' span on either side."""
    bottom, top = (float(value) for value in np.percentile(values, (_FEW, 100 - _FEW)))
    room = 0.5 * (top - bottom)
    return (bottom - room, top + room) if room > 0 else (float(values.min()), float(values.max()))


def _are_grey_values(values: NDArray[np.generic], lowest: float, highest: float) -> bool:
    if lowest < 0 or highest > 65535:
        return False
    return values.dtype.kind != "f" or bool(np.all(values == np.rint(values)))


def _decode_npy(data: bytes, max_px: int, kinds: str) -> NDArray[np.generic]:
    stream = BytesIO(data)
    shape, fortran_order, dtype = read_npy_header(stream)
    if dtype.kind not in kinds:
        raise ImageFileError(PLAIN_ONLY.format(dtype))
    check_size(shape, max_px, dtype.itemsize)
    expected = math.prod(shape) * dtype.itemsize
    if len(data) - stream.tell() != expected:
        raise ImageFileError(f"expected {expected} bytes of pixels, got {len(data) - stream.tell()}; is it truncated?")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _decode_tiff(data: bytes, max_px: int) -> NDArray[np.generic]:
    try:
        with tifffile.TiffFile(BytesIO(data)) as tiff:
            if len(tiff.pages) != 1:
                raise ImageFileError(f"expected a TIFF of one image, got {len(tiff.pages)}; send one frame at a time")
            return tiff_page(tiff.pages[0], max_px)
    except ImageFileError:
        raise
    except Exception as error:  # a malformed TIFF trips tifffile and its codecs in every imaginable way
        raise ImageFileError(f"expected a sound TIFF, got one that cannot be read ({_first_line(error)})") from error


def _decode_with_pillow(data: bytes, kind: str, max_px: int) -> NDArray[np.generic]:
    try:
        with Image.open(BytesIO(data), formats=[kind]) as image:
            check_size((image.height, image.width), max_px)
            if image.mode not in _PILLOW_MODES:
                raise ImageFileError(f"expected a grey {kind}, got mode {image.mode}")
            if image.mode in ("1", "LA", "P", "CMYK", "YCbCr"):
                return np.asarray(image.convert("L"))
            return without_colour(np.asarray(image), 2 if image.mode in ("RGB", "RGBA") else -1)
    except ImageFileError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"expected at most {max_px} pixels, got a {kind} of far more; crop the image") from error
    except UnidentifiedImageError as error:
        raise ImageFileError(f"expected a sound {kind}, got one whose header makes no sense") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, … on malformed files
        raise ImageFileError(f"expected a sound {kind}, got one that cannot be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
