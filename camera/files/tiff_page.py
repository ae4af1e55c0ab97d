"""The image of one TIFF page: what it promises is bounded first, and what is missing is never made up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from qpi_live.camera.files.coded_size import NoCodedSize, coded_size
from qpi_live.camera.files.colour import one_colour
from qpi_live.camera.files.image_bounds import LARGEST_IMAGE_PX, ImageFileError, ImageTooLarge, check_size

# tifffile tells these decoders how much they may give: none, LZW, deflate, PackBits, LZMA, zstd.
_BOUNDED = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
# These give what their own header says, which is therefore read first.
_OWN_HEADER = {
    **dict.fromkeys((7, 33007, 34892), "JPEG"),
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((34927, 50001), "WebP"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    34933: "PNG",
    34887: "LERC",
}
_LERC_PARAMETERS = 50674
_JPEG_END = b"\xff\xd9"
_SMALLEST_TILE_LIMIT_PX = 2**20

Page = tifffile.TiffPage | tifffile.TiffFrame


def tiff_page(page: Page, max_px: int = LARGEST_IMAGE_PX) -> NDArray[np.generic]:
    """The (H, W) image of a TIFF page. The page's own tags count; descriptions that contradict them do not.

    Raises:
        ImageTooLarge: the page, or a strip or tile inside it, would take more room than `max_px` pixels do.
        ImageFileError: not one image, a compression whose output nothing bounds, or parts that are missing; tifffile's
            own errors pass through.
    """
    keyframe = page.keyframe
    if keyframe is None or keyframe.dtype is None:
        raise ImageFileError("expected a TIFF of grey values, got samples of an unknown type")
    samples = keyframe.samplesperpixel
    check_size((keyframe.imagelength, keyframe.imagewidth), max_px, samples * keyframe.dtype.itemsize)
    if keyframe.is_tiled and keyframe.tilewidth * keyframe.tilelength > max(max_px, _SMALLEST_TILE_LIMIT_PX):
        raise ImageTooLarge(f"expected tiles within the image, got {keyframe.tilelength} × {keyframe.tilewidth} ones")
    if samples > 4 or keyframe.imagedepth > 1:
        raise ImageFileError(f"expected one grey image in a TIFF page, got shape {keyframe.shape}")
    _check_parts(page, keyframe)
    return without_colour(_pixels(page, keyframe), keyframe.axes.find("S"), samples - _alphas(keyframe))


def without_colour(values: NDArray[np.generic], sample_axis: int, colours: int = 3) -> NDArray[np.generic]:
    """A grey image out of one stored as colours; see `one_colour`.

    Args:
        values: the image.
        sample_axis: which axis holds its samples; negative: none.
        colours: how many of the samples are colours; alpha, which is none, stands behind them.
    """
    if sample_axis < 0:
        return values
    return one_colour(np.moveaxis(values, sample_axis, -1)[..., :colours])


def _alphas(keyframe: Any) -> int:
    """How many samples are no colour, by the page's tag, or, where a writer left that out, by their number."""
    named = len(keyframe.extrasamples or ())
    return min(named, keyframe.samplesperpixel - 1) if named else int(keyframe.samplesperpixel in (2, 4))


def _check_parts(page: Page, keyframe: Any) -> None:
    """Every strip or tile is there, whole, and no larger than it should be."""
    codec = _OWN_HEADER.get(keyframe.compression)
    if codec is None and keyframe.compression not in _BOUNDED:
        raise ImageFileError(
            f"expected a TIFF without compression, or deflate, LZW, zstd, JPEG or PNG, got {keyframe.compression!r}; "
            "save it without"
        )
    if codec == "LERC" and any(keyframe.tags.valueof(_LERC_PARAMETERS, (0, 0))[1:2]):
        raise ImageFileError("expected plain LERC in a TIFF, got LERC that is compressed once more; save it without")
    file, parts = page.parent.filehandle, list(zip(page.dataoffsets, page.databytecounts, strict=False))
    missing = _expected_parts(keyframe) - sum(offset > 0 and count > 0 for offset, count in parts)
    if missing > 0:
        raise ImageFileError(f"expected a whole TIFF, got one that lacks {missing} of its strips; is it truncated?")
    for offset, count in parts:
        if offset + count > file.size:
            raise ImageFileError(f"expected {offset + count} bytes of TIFF, got {file.size}; is it truncated?")
        if codec is not None:
            file.seek(offset)
            _check_coded(codec, file.read(count), keyframe)


def _expected_parts(keyframe: Any) -> int:
    planes = keyframe.samplesperpixel if keyframe.planarconfig == 2 else 1
    if keyframe.is_tiled:
        across = math.ceil(keyframe.imagewidth / keyframe.tilewidth)
        return int(planes * across * math.ceil(keyframe.imagelength / keyframe.tilelength))
    return int(planes * math.ceil(keyframe.imagelength / min(keyframe.rowsperstrip, keyframe.imagelength)))


def _check_coded(codec: str, data: bytes, keyframe: Any) -> None:
    across = keyframe.tilewidth if keyframe.is_tiled else keyframe.imagewidth
    down = keyframe.tilelength if keyframe.is_tiled else min(keyframe.rowsperstrip, keyframe.imagelength)
    try:
        height, width = coded_size(codec, data)
    except NoCodedSize as error:
        raise ImageFileError(f"expected a sound TIFF, got: {error}") from error
    if height * width > down * across:
        raise ImageTooLarge(
            f"expected {codec} strips of at most {down} × {across} pixels, got one that says {height} × {width}"
        )
    if codec == "JPEG" and _JPEG_END not in data[-16:]:  # a decoder fills what is missing with grey
        raise ImageFileError("expected a whole JPEG in the TIFF, got one without an end; is it truncated?")


def _pixels(page: Page, keyframe: Any) -> NDArray[np.generic]:
    if page.is_contiguous:
        return np.asarray(page.asarray())
    image: NDArray[np.generic] | None = None
    for part, (plane, _, top, left, _), shape in page.segments(maxworkers=1):
        if part is None:
            raise ImageFileError("expected a whole TIFF, got one that lacks a strip; is it truncated?")
        if image is None:
            image = np.zeros(keyframe.shaped, part.dtype)
        rows, columns = image.shape[2] - top, image.shape[3] - left
        if part.shape[1] < min(rows, shape[1]) or part.shape[2] < min(columns, shape[2]):
            raise ImageFileError(f"expected strips of {shape[1]} × {shape[2]} pixels, got one of {part.shape[1:3]}")
        image[plane, 0, top : top + shape[1], left : left + shape[2]] = part[0, :rows, :columns]
    if image is None:
        raise ImageFileError("expected a TIFF with pixels, got none")
    return image.reshape(keyframe.shape)
