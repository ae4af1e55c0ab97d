"""A few bytes never become many: what a codec's own header promises is read before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from qpi_live.camera.files.coded_size import CODECS, coded_size
from qpi_live.camera.files.image_bounds import ImageFileError, ImageTooLarge
from qpi_live.camera.files.image_file import decode_image

SIZE = 64


def tiff_of(
    strips: list[bytes],
    compression: int,
    shape: tuple[int, int] = (SIZE, SIZE),
    samples: int = 1,
    bits: int = 8,
    extra: tuple[int, ...] = (),
    counts: list[int] | None = None,
    sample_format: int = 1,
) -> bytes:
    """A little-endian TIFF of one page whose strips are these bytes, whatever they hold."""
    data = b"".join(strips)
    starts = np.cumsum([8, *map(len, strips)])[:-1]
    at = 8 + len(data)
    rows = -(-shape[0] // len(strips))
    longs: dict[int, list[int]] = {
        256: [shape[1]], 257: [shape[0]], 258: [bits] * samples, 259: [compression], 262: [1 if samples < 3 else 2],
        273: list(map(int, starts)), 277: [samples], 278: [rows], 279: counts or [len(one) for one in strips],
        339: [sample_format] * samples,
    }  # fmt: skip
    if extra:
        longs[338] = list(extra)
    entries, heap = b"", b""
    heap_at = at + 2 + 12 * len(longs) + 4
    for tag, values in sorted(longs.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) == 1:
            entries += struct.pack("<HHI", tag, 4, 1) + packed
        else:
            entries += struct.pack("<HHII", tag, 4, len(values), heap_at + len(heap))
            heap += packed
    return b"II*\0" + struct.pack("<I", at) + data + struct.pack("<H", len(longs)) + entries + bytes(4) + heap


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def jpeg_that_says(edge: int) -> bytes:
    data = bytearray(jpeg(np.zeros((SIZE, SIZE), np.uint8)))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, edge, edge)
    return bytes(data)


def png_that_says(edge: int) -> bytes:
    data = bytearray(imagecodecs.png_encode(np.zeros((SIZE, SIZE), np.uint8)))
    struct.pack_into(">II", data, 16, edge, edge)
    return bytes(data)


def _grey(edge: int) -> NDArray[np.uint8]:
    return np.zeros((edge, edge), np.uint8)


BOMBS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "JPEG": (7, lambda: jpeg_that_says(65500)),
    "PNG": (34933, lambda: png_that_says(60000)),
    "WebP": (50001, lambda: imagecodecs.webp_encode(np.zeros((1200, 1200, 3), np.uint8), lossless=True)),
    "WebP of old": (34927, lambda: imagecodecs.webp_encode(np.zeros((1200, 1200, 3), np.uint8), level=50)),
    "JPEG 2000": (34712, lambda: imagecodecs.jpeg2k_encode(_grey(1600))),
    "JPEG 2000 in boxes": (33005, lambda: imagecodecs.jpeg2k_encode(_grey(1600), codecformat="jp2")),
    "JPEG XL": (50002, lambda: imagecodecs.jpegxl_encode(_grey(200))),
    "JPEG XL in boxes": (52546, lambda: imagecodecs.jpegxl_encode(_grey(200), usecontainer=True)),
    "LERC": (34887, lambda: imagecodecs.lerc_encode(_grey(1600))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_decode_image_of_a_strip_that_says_more_than_its_page_refuses_before_decoding(name: str) -> None:
    compression, make = BOMBS[name]
    with pytest.raises(ImageTooLarge, match="strips of at most 64 × 64 pixels, got one that says"):
        decode_image(tiff_of([make()], compression))


@pytest.mark.parametrize("compression", [2, 6, 34661, 34676, 48124, 65000, 9999])
def test_decode_image_of_a_compression_that_nothing_bounds_refuses(compression: int) -> None:
    with pytest.raises(ImageFileError, match="expected a"):
        decode_image(tiff_of([bytes(500)], compression))


@pytest.mark.parametrize(
    ("codec", "encode"),
    [
        ("JPEG", jpeg),
        ("PNG", imagecodecs.png_encode),
        ("WebP", lambda pixels: imagecodecs.webp_encode(np.stack([pixels] * 3, -1), lossless=True)),
        ("JPEG 2000", imagecodecs.jpeg2k_encode),
        ("JPEG XL", imagecodecs.jpegxl_encode),
        ("LERC", imagecodecs.lerc_encode),
    ],
)
@pytest.mark.parametrize("shape", [(16, 16), (33, 47), (256, 128), (300, 300), (800, 513)])
def test_coded_size_of_a_sound_image_is_its_size(
    codec: str, encode: Callable[[NDArray[np.uint8]], bytes], shape: tuple[int, int]
) -> None:
    assert coded_size(codec, encode(np.zeros(shape, np.uint8))) == shape


def test_coded_sizes_of_every_codec_are_tested() -> None:
    assert set(CODECS) == {"JPEG", "PNG", "WebP", "JPEG 2000", "JPEG XL", "LERC"}


@pytest.mark.parametrize(
    "compression", ["zlib", "lzw", "zstd", "packbits", "lzma", "png", "jpeg2000", "lerc", "jpegxl"]
)
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_decode_image_of_a_compressed_tiff_gives_its_pixels(compression: str, tile: tuple[int, int] | None) -> None:
    pixels = np.random.default_rng(1).integers(0, 4000, (80, 100)).astype(np.uint16)
    file = BytesIO()
    lossless = {"lerc": {"level": 0}, "jpegxl": {"lossless": True}, "jpeg2000": {"level": 0}}
    tifffile.imwrite(file, pixels, compression=compression, compressionargs=lossless.get(compression), tile=tile)
    assert np.array_equal(decode_image(file.getvalue()).pixels, pixels)


def test_decode_image_of_many_wide_samples_is_bounded_in_bytes_too() -> None:
    data = tiff_of([bytes(100)], 8, (1024, 1024), samples=4, bits=64, sample_format=3)
    with pytest.raises(ImageTooLarge, match="MiB of pixels"):
        decode_image(data, max_px=2**21)


@pytest.mark.parametrize("shape", [(500_000, 16), (16, 500_000)])
def test_decode_image_of_a_long_strip_is_refused_along_either_axis(shape: tuple[int, int]) -> None:
    for data in (tiff_of([bytes(100)], 8, shape), _npy(np.zeros(shape, np.uint8))):
        with pytest.raises(ImageTooLarge, match="along each axis"):
            decode_image(data)


def _npy(values: NDArray[np.generic]) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


PIXELS = np.random.default_rng(2).integers(1, 255, (SIZE, SIZE)).astype(np.uint8)
HALVES = [PIXELS[:32].tobytes(), PIXELS[32:].tobytes()]


def test_decode_image_of_a_strip_without_bytes_is_refused_and_not_filled() -> None:
    assert np.array_equal(decode_image(tiff_of(HALVES, 1)).pixels, PIXELS)
    with pytest.raises(ImageFileError, match="lacks 1 of its strips"):
        decode_image(tiff_of(HALVES, 1, counts=[2048, 0]))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 34925, 50000, 7, 34933, 34712, 34887, 50002])
def test_decode_image_of_a_strip_that_was_cut_short_is_refused_and_not_filled(compression: int) -> None:
    encode: dict[int, Callable[[NDArray[np.uint8]], bytes]] = {
        1: lambda pixels: pixels.tobytes(),
        5: lambda pixels: imagecodecs.lzw_encode(pixels.tobytes()),
        8: lambda pixels: imagecodecs.zlib_encode(pixels.tobytes()),
        32773: imagecodecs.packbits_encode,
        34925: lambda pixels: imagecodecs.lzma_encode(pixels.tobytes()),
        50000: lambda pixels: imagecodecs.zstd_encode(pixels.tobytes()),
        7: jpeg,
        34933: imagecodecs.png_encode,
        34712: imagecodecs.jpeg2k_encode,
        34887: imagecodecs.lerc_encode,
        50002: imagecodecs.jpegxl_encode,
    }
    whole = encode[compression](PIXELS)
    for part in (0.5, 0.9):
        with pytest.raises(ImageFileError):
            decode_image(tiff_of([whole[: int(len(whole) * part)]], compression))


@pytest.mark.parametrize("extra", [(), (1,), (2,), (0,)])
def test_decode_image_of_grey_with_alpha_gives_the_grey(extra: tuple[int, ...]) -> None:
    both = np.stack([PIXELS, np.full_like(PIXELS, 255)], -1)
    assert np.array_equal(decode_image(tiff_of([both.tobytes()], 1, samples=2, extra=extra)).pixels, PIXELS)


@pytest.mark.parametrize("extra", [(), (2,)])
def test_decode_image_of_colour_with_alpha_leaves_alpha_out(extra: tuple[int, ...]) -> None:
    four = np.stack([PIXELS, PIXELS, PIXELS, np.full_like(PIXELS, 7)], -1)
    assert np.array_equal(decode_image(tiff_of([four.tobytes()], 1, samples=4, extra=extra)).pixels, PIXELS)


def test_decode_image_of_a_png_with_alpha_gives_the_grey() -> None:
    file = BytesIO()
    Image.fromarray(np.stack([PIXELS, np.full_like(PIXELS, 3)], -1), "LA").save(file, "PNG")
    assert np.array_equal(decode_image(file.getvalue()).pixels, PIXELS)
