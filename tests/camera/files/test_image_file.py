"""Files from microscopes and from strangers: every trap is read, every malformed byte gets one sentence."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import decode_image, read_image, to_grey

SHAPE = (24, 40)
EIGHT_BIT = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
TWELVE_BIT = np.random.default_rng(1).integers(0, 4096, SHAPE, np.uint16)


def npy(values: NDArray[np.generic]) -> bytes:
    stream = BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def tiff(values: NDArray[np.generic], **options: object) -> bytes:
    stream = BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def pillow(image: Image.Image, kind: str) -> bytes:
    stream = BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises an image and holds none."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def npy_header(text: str) -> bytes:
    padded = text.encode() + b" " * (64 - (len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (npy(EIGHT_BIT), EIGHT_BIT),
        (npy(TWELVE_BIT), TWELVE_BIT),
        (npy(TWELVE_BIT.astype(">u2")), TWELVE_BIT),
        (npy(np.asfortranarray(TWELVE_BIT)), TWELVE_BIT),
        (npy(TWELVE_BIT.astype(np.int64)), TWELVE_BIT),
        (npy(TWELVE_BIT.astype(np.float64)), TWELVE_BIT),
        (tiff(EIGHT_BIT), EIGHT_BIT),
        (tiff(TWELVE_BIT, byteorder=">"), TWELVE_BIT),
        (tiff(TWELVE_BIT, compression="lzw"), TWELVE_BIT),
        (tiff(TWELVE_BIT, compression="deflate", predictor=True), TWELVE_BIT),
        (tiff(TWELVE_BIT, bigtiff=True, tile=(16, 16)), TWELVE_BIT),
        (tiff(EIGHT_BIT, description='{"shape": [1024, 1280]}', metadata=None), EIGHT_BIT),
        (tiff(np.stack([EIGHT_BIT] * 3, axis=-1), photometric="rgb"), EIGHT_BIT),
        (tiff(np.stack([EIGHT_BIT] * 3), photometric="rgb", planarconfig="separate"), EIGHT_BIT),
        (pillow(Image.fromarray(EIGHT_BIT), "PNG"), EIGHT_BIT),
        (pillow(Image.fromarray(TWELVE_BIT), "PNG"), TWELVE_BIT),
        (pillow(Image.fromarray(np.stack([EIGHT_BIT] * 3, axis=-1)), "PNG"), EIGHT_BIT),
        (pillow(Image.fromarray(np.stack([EIGHT_BIT] * 4, axis=-1)), "PNG"), EIGHT_BIT),
        (pillow(Image.fromarray(EIGHT_BIT), "BMP"), EIGHT_BIT),
    ],
)
def test_decode_image_of_a_sound_file_gives_its_grey_values(data: bytes, expected: NDArray[np.generic]) -> None:
    image = decode_image(data)
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.dtype in (np.uint8, np.uint16)
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.owndata


def test_decode_image_of_a_jpeg_of_grey_stored_as_colour_gives_grey() -> None:
    smooth = np.tile(np.linspace(20, 230, 64, dtype=np.uint8), (32, 1))
    image = decode_image(pillow(Image.fromarray(np.stack([smooth] * 3, axis=-1)), "JPEG"))
    assert image.pixels.shape == smooth.shape
    assert np.abs(image.pixels.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(
    ("largest", "bit_depth"), [(31, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (9999, 14), (65535, 16)]
)
def test_to_grey_of_16_bit_containers_finds_the_significant_bits(largest: int, bit_depth: int) -> None:
    values = np.zeros(SHAPE, np.uint16)
    values[3, 4] = largest
    grey = to_grey(values)
    assert grey.bit_depth == bit_depth
    np.testing.assert_array_equal(grey.pixels, values)


@pytest.mark.parametrize("values", [np.linspace(-1.5, 2.5, 960), np.linspace(0, 1e9, 960), np.arange(-480, 480)])
def test_to_grey_of_other_real_values_maps_them_linearly(values: NDArray[np.generic]) -> None:
    grey = to_grey(values.reshape(SHAPE))
    assert (grey.pixels.min(), grey.pixels.max(), grey.bit_depth) == (0, 65535, 16)
    correlation = np.corrcoef(grey.pixels.ravel(), values)[0, 1]
    assert correlation == pytest.approx(1, abs=1e-9)


def test_to_grey_of_a_constant_out_of_range_is_flat() -> None:
    assert int(to_grey(np.full(SHAPE, -3.5)).pixels.max()) == 0


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


BROKEN = {
    "nothing": (b"", "expected a .npy, TIFF, PNG, JPEG or BMP image, got 0 bytes"),
    "text": (b"hello, microscope", "got 17 bytes that begin"),
    "npz": (b"PK\x03\x04" + b"\0" * 100, "zip archive"),
    "npy pickled": (npy(np.array([[_Evil()] * 20] * 20, dtype=object)), "pickled or structured arrays are never read"),
    "npy structured": (npy(np.zeros(SHAPE, [("a", "u1")])), "expected real grey values"),
    "npy complex": (npy(np.zeros(SHAPE, np.complex64)), "expected real grey values, got complex64"),
    "npy boolean": (npy(np.zeros(SHAPE, bool)), "expected real grey values, got bool"),
    "npy NaN": (npy(np.full(SHAPE, np.nan)), "expected finite grey values"),
    "npy infinity": (npy(np.full(SHAPE, np.inf)), "expected finite grey values"),
    "npy overflow": (npy(np.array([[-1.7e308, 1.7e308] * 10] * 16)), "usable range"),
    "npy stack": (npy(np.zeros((3, *SHAPE), np.uint8)), "two-dimensional image, got shape (3, 24, 40)"),
    "npy line": (npy(np.zeros(400, np.uint8)), "two-dimensional"),
    "npy tiny": (npy(np.zeros((2, 400), np.uint8)), "at least 16 pixels"),
    "npy truncated": (npy(TWELVE_BIT)[:-7], "expected 1920 bytes of pixels, got 1913; is it truncated?"),
    "npy too long": (npy(TWELVE_BIT) + b"x", "got 1921"),
    "npy bomb": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
        "expected at most",
    ),
    "npy negative": (npy_header("{'descr': '<u2', 'fortran_order': False, 'shape': (-20, -20)}"), "at least 16 pixels"),
    "npy nonsense": (npy_header("__import__('os').system('false')"), "expected a sound .npy header"),
    "npy version 9": (b"\x93NUMPY\x09\x00" + b"\0" * 100, "got 9.0"),
    "png large": (png_header(10_000, 8_000), "expected at most 67108864 pixels, got 8000 × 10000"),
    "png bomb": (png_header(50_000, 50_000), "expected at most"),
    "png tiny": (png_header(4, 4), "at least 16 pixels"),
    "png without pixels": (png_header(64, 64), "expected a sound PNG"),
    "png truncated": (pillow(Image.fromarray(EIGHT_BIT), "PNG")[:-500], "expected a sound PNG"),
    "jpeg truncated": (pillow(Image.fromarray(EIGHT_BIT), "JPEG")[:300], "expected a sound JPEG"),
    "tiff truncated": (tiff(TWELVE_BIT)[:-200], "TIFF"),
    "tiff empty": (b"II*\0" + b"\0" * 60, "TIFF"),
    "tiff stack": (tiff(np.zeros((3, *SHAPE), np.uint8), photometric="minisblack"), "TIFF of one image, got 3"),
    "tiff complex": (tiff(np.zeros(SHAPE, np.complex64)), "expected real grey values"),
    "tiff NaN": (tiff(np.full(SHAPE, np.nan, np.float32)), "expected finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_decode_image_of_a_broken_file_gives_one_sentence(name: str) -> None:
    data, sentence = BROKEN[name]
    with pytest.raises(ImageFileError) as error:
        decode_image(data)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_decode_image_larger_than_allowed_says_so_before_decoding() -> None:
    for data in (npy(EIGHT_BIT), tiff(EIGHT_BIT), pillow(Image.fromarray(EIGHT_BIT), "PNG")):
        with pytest.raises(ImageFileError, match="expected at most 959 pixels, got 24 × 40"):
            decode_image(data, max_px=SHAPE[0] * SHAPE[1] - 1)


def test_decode_image_of_a_tiff_with_monstrous_tiles_says_so() -> None:
    stream = BytesIO(tiff(TWELVE_BIT, tile=(16, 16)))
    with tifffile.TiffFile(stream) as file:
        offset = file.pages[0].tags["TileWidth"].valueoffset
    data = bytearray(stream.getvalue())
    data[offset : offset + 2] = struct.pack("<H", 65520)
    with pytest.raises(ImageFileError, match=r"TIFF|tiles"):
        decode_image(bytes(data))


SOUND = [npy(TWELVE_BIT), tiff(TWELVE_BIT, compression="deflate"), tiff(EIGHT_BIT, tile=(16, 16))] + [
    pillow(Image.fromarray(EIGHT_BIT), kind) for kind in ("PNG", "JPEG", "BMP")
]


@settings(max_examples=400, deadline=None)
@given(
    data=st.sampled_from(SOUND),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=12),
    kept=st.floats(0, 1),
)
def test_decode_image_of_damaged_files_decodes_or_refuses(
    data: bytes, changes: list[tuple[int, int]], kept: float
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        # Most formats keep what matters in front: half of the changes fall there.
        damaged[place % (256 if place % 2 else len(damaged)) % len(damaged)] = value
    if kept < 0.3:
        damaged = damaged[: int(len(damaged) * kept / 0.3)]
    try:
        image = decode_image(bytes(damaged), max_px=2**20)
    except ImageFileError:
        return
    assert image.pixels.ndim == 2
    assert int(image.pixels.max()) < 2**image.bit_depth


@settings(max_examples=200, deadline=None)
@given(
    magic=st.sampled_from(
        [b"", b"\x93NUMPY\x01\x00", b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"]
    ),
    rest=st.binary(max_size=400),
)
def test_decode_image_of_arbitrary_bytes_only_ever_refuses(magic: bytes, rest: bytes) -> None:
    with pytest.raises(ImageFileError):
        decode_image(magic + rest, max_px=2**20)


def test_read_image_names_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(ImageFileError, match=r"notes\.png: expected"):
        read_image(path)
    with pytest.raises(ImageFileError, match="expected a readable image"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize("outlier", [1e3, 1e4, 1e30, -1e6])
def test_float_image_with_hot_pixels_keeps_the_grey_levels_of_the_rest(outlier: float) -> None:
    clean = np.random.default_rng(0).normal(0.5, 0.1, (128, 128))
    hot = clean.copy()
    hot[3, 5] = hot[90, 17] = outlier
    expected, image = to_grey(clean), to_grey(hot)
    assert image.clipped_px == 2
    assert expected.clipped_px == 0
    slope, _ = np.polyfit(clean.ravel(), image.pixels.ravel().astype(float), 1, w=(hot == clean).ravel().astype(float))
    assert slope > 20_000


def test_float_image_of_two_levels_is_not_clipped() -> None:
    values = np.zeros((64, 64))
    values[0, 0] = 0.5
    image = to_grey(values)
    assert image.clipped_px == 0
    assert image.pixels[0, 0] == 65535


def colours(*carriers: tuple[float, float], contrast: tuple[float, ...] = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    """(128, 128, 3): fringes of these carriers, one a colour."""
    y, x = np.mgrid[:128, :128]
    planes = [
        120 + 80 * strength * np.cos(2 * np.pi * (fy * y + fx * x))
        for (fy, fx), strength in zip(carriers, contrast, strict=True)
    ]
    noisy = np.stack(planes, axis=-1) + np.random.default_rng(0).normal(0, 3, (128, 128, 3))
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


def test_colours_of_two_lasers_are_not_averaged_but_the_one_with_the_strongest_fringes_taken() -> None:
    two = colours((0.2, 0.1), (0.2, 0.1), (0.12, -0.22), contrast=(0.1, 0.4, 1.0))
    encoded = pillow(Image.fromarray(two), "PNG")
    np.testing.assert_array_equal(decode_image(encoded).pixels, two[..., 2])
    np.testing.assert_array_equal(decode_image(tiff(two, photometric="rgb")).pixels, two[..., 2])


def test_colours_that_show_the_same_fringes_are_averaged() -> None:
    same = colours((0.2, 0.1), (0.2, 0.1), (0.2, 0.1), contrast=(0.3, 1.0, 0.5))
    np.testing.assert_array_equal(decode_image(pillow(Image.fromarray(same), "PNG")).pixels, np.rint(same.mean(-1)))
