"""The header of a .npy file, read without trust: what is no plain array of numbers is refused in a sentence."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from qpi_live.camera.files.image_bounds import ImageFileError

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
PLAIN_ONLY = "expected real grey values, got {}; pickled or structured arrays are never read"


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns are contiguous (Fortran's order), and type; the file stands at the values afterwards.

    Raises:
        ImageFileError: the header is damaged, of a version without plain arrays, or of pickled or structured values.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ImageFileError(f"expected .npy version 1.0 or 2.0, got {version[0]}.{version[1]}; save a plain array")
        shape, is_fortran, dtype = _READERS[version](file)
    except ImageFileError:
        raise
    except Exception as error:  # NumPy's header parser lets many kinds out; none may reach a client as a crash
        raise ImageFileError(f"expected a sound .npy header, got one that NumPy refuses ({error})") from error
    if dtype.hasobject or dtype.kind == "V":
        raise ImageFileError(PLAIN_ONLY.format(dtype))
    return shape, is_fortran, dtype
