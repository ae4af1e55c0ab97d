"""What a frame holds: the type of its grey values follows from their bit depth."""

import numpy as np
import pytest
from qpi_live.camera.files.image_file import to_grey
from qpi_live.camera.frame import Frame, dtype_for


@pytest.mark.parametrize(("bit_depth", "dtype"), [(1, "uint8"), (8, "uint8"), (10, "uint16"), (16, "uint16")])
def test_frame_pixels_whatever_they_came_in_have_the_type_of_their_depth(bit_depth: int, dtype: str) -> None:
    pixels = np.full((20, 30), 2**bit_depth - 1, np.uint16)
    frame = Frame(pixels, bit_depth, 0, 0, 0)
    assert frame.pixels.dtype == dtype_for(bit_depth) == np.dtype(dtype)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert not frame.pixels.flags.writeable


def test_frame_values_beyond_their_depth_are_refused_not_wrapped() -> None:
    with pytest.raises(ValueError, match="expected grey values of 8 bits, got 256"):
        Frame(np.full((20, 30), 256, np.uint16), 8, 0, 0, 0)


@pytest.mark.parametrize("stored_as", ["uint8", "uint16", "int64", "float32"])
def test_to_grey_of_small_values_is_eight_bits_in_uint8_whatever_they_are_stored_as(stored_as: str) -> None:
    image = to_grey(np.arange(600).reshape(20, 30).astype("uint8").astype(stored_as))
    assert (image.bit_depth, image.pixels.dtype) == (8, np.uint8)
