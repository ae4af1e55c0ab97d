"""The packed formats, against their definition spelt out bit by bit."""

import numpy as np
import pytest
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME, PixelFormat

PACKED = [format_ for format_ in FORMATS_BY_NAME.values() if format_.group > 1]
SHAPE = (6, 20)


def _bit_stream(pixels: np.ndarray, bits: int) -> np.ndarray:
    """PFNC's "p": every pixel's bits after the last one's, least significant first."""
    stream = [int(pixel) >> bit & 1 for pixel in pixels.ravel() for bit in range(bits)]
    return np.packbits(np.array(stream, np.uint8), bitorder="little")


def _gige(pixels: np.ndarray, bits: int) -> np.ndarray:
    """GigE Vision's "Packed": high byte, both low parts, high byte."""
    packed = []
    for first, second in pixels.reshape(-1, 2).astype(int):
        low = bits - 8
        mask = (1 << low) - 1
        packed += [first >> low, first & mask | (second & mask) << 4, second >> low]
    return np.array(packed, np.uint8)


def _pack(pixels: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    if pixel_format.name.endswith("p"):
        return _bit_stream(pixels, pixel_format.bit_depth)
    if pixel_format.name.endswith("Packed"):
        return _gige(pixels, pixel_format.bit_depth)
    return pixels.astype(pixel_format.dtype).reshape(-1).view(np.uint8)


def _pixels(pixel_format: PixelFormat, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    full_scale = 2**pixel_format.bit_depth
    pixels = np.random.default_rng(1).integers(0, full_scale, shape)
    pixels.flat[:2] = 0, full_scale - 1
    return pixels


@pytest.fixture(params=FORMATS_BY_NAME)
def pixel_format(request: pytest.FixtureRequest) -> PixelFormat:
    return FORMATS_BY_NAME[request.param]


def test_read_into_gives_back_what_was_packed(pixel_format: PixelFormat) -> None:
    pixels, unpacked = _pixels(pixel_format), np.empty(SHAPE, pixel_format.dtype)
    pixel_format.read_into(unpacked, _pack(pixels, pixel_format).tobytes())
    np.testing.assert_array_equal(unpacked, pixels)


def test_read_into_skips_what_pads_the_rows(pixel_format: PixelFormat) -> None:
    pixels, unpacked = _pixels(pixel_format), np.empty(SHAPE, pixel_format.dtype)
    rows = [np.append(_pack(row[None], pixel_format), [0xAA] * 3) for row in pixels]
    pixel_format.read_into(unpacked, np.concatenate(rows).astype(np.uint8), row_padding=3)
    np.testing.assert_array_equal(unpacked, pixels)


def test_read_into_ignores_what_follows_the_frame(pixel_format: PixelFormat) -> None:
    pixels, unpacked = _pixels(pixel_format), np.empty(SHAPE, pixel_format.dtype)
    pixel_format.read_into(unpacked, _pack(pixels, pixel_format).tobytes() + b"chunk data")
    np.testing.assert_array_equal(unpacked, pixels)


def test_read_into_of_a_short_buffer_says_how_much_is_missing(pixel_format: PixelFormat) -> None:
    with pytest.raises(ValueError, match=rf"expected \d+ bytes of 20 × 6 {pixel_format.name}, got 10"):
        pixel_format.read_into(np.empty(SHAPE, pixel_format.dtype), bytes(10))


@pytest.mark.parametrize("packed", PACKED, ids=lambda packed: packed.name)
def test_read_into_of_pixels_that_fill_no_whole_bytes_refuses(packed: PixelFormat) -> None:
    with pytest.raises(ValueError, match=f"expected a multiple of {packed.group} pixels"):
        packed.read_into(np.empty((3, 3), np.uint16), bytes(99))


def test_row_bytes_follow_from_the_formats_own_code(pixel_format: PixelFormat) -> None:
    assert pixel_format.row_bytes(20) == _pack(_pixels(pixel_format, (1, 20)), pixel_format).size


@pytest.mark.parametrize("name", ["Mono10", "Mono12", "Mono14", "Mono16", "BayerRG12"])
def test_read_into_of_big_endian_pixels_gives_back_the_same(name: str) -> None:
    pixel_format = FORMATS_BY_NAME[name]
    pixels, unpacked = _pixels(pixel_format), np.empty(SHAPE, np.uint16)
    pixel_format.read_into(unpacked, pixels.astype(">u2").tobytes(), is_big_endian=True)
    np.testing.assert_array_equal(unpacked, pixels)


@pytest.mark.parametrize("name", ["Mono8", "Mono10p", "Mono12Packed", "BayerGB10p"])
def test_read_into_of_formats_with_one_order_ignores_the_endianness(name: str) -> None:
    pixel_format = FORMATS_BY_NAME[name]
    pixels, unpacked = _pixels(pixel_format), np.empty(SHAPE, pixel_format.dtype)
    pixel_format.read_into(unpacked, _pack(pixels, pixel_format).tobytes(), is_big_endian=True)
    np.testing.assert_array_equal(unpacked, pixels)


def test_pixel_format_codes_are_those_of_the_convention() -> None:
    codes = {
        "BayerGR8": 0x01080008,
        "BayerBG8": 0x0108000B,
        "BayerRG10": 0x0110000D,
        "BayerGB12": 0x01100012,
        "BayerBG16": 0x01100031,
        "BayerRG10p": 0x010A0058,
        "BayerBG12p": 0x010C0053,
        "BayerRG12Packed": 0x010C002B,
    }
    assert {name: FORMATS_BY_NAME[name].code for name in codes} == codes
    assert len({one.code for one in FORMATS_BY_NAME.values()}) == len(FORMATS_BY_NAME)


def test_of_depth_leaves_unused_high_bits_out_of_formats_of_16_bits_alone() -> None:
    assert FORMATS_BY_NAME["Mono16"].of_depth(12).bit_depth == 12
    assert FORMATS_BY_NAME["Mono16"].of_depth(12).dtype == np.uint16
    assert FORMATS_BY_NAME["Mono12p"].of_depth(10).bit_depth == 12
    assert FORMATS_BY_NAME["Mono8"].of_depth(6).bit_depth == 8
