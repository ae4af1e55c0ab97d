"""Rendered pictures as files: NumPy, TIFF and PNG."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from qpi_live.service.wire import FrameHeader

Format = Literal["npy", "tiff", "png"]

MEDIA_TYPES: dict[Format, str] = {"npy": "application/x-npy", "tiff": "image/tiff", "png": "image/png"}


def header_text(header: FrameHeader) -> str:
    """The header as JSON in ASCII, as it may stand in an HTTP header or a TIFF tag."""
    return json.dumps(header.model_dump(mode="json"), separators=(",", ":"))


def write_image(values: NDArray[np.generic], header: FrameHeader, image_format: Format) -> bytes:
    """`values` (H, W) as the bytes of a file.

    `npy` and `tiff` keep the dtype. ImageJ reads the TIFF with its pixel size in µm, and with the header as its `Info`.
    `png` takes uint8.
    """
    file = BytesIO()
    if image_format == "npy":
        np.save(file, values, allow_pickle=False)
    elif image_format == "png":
        Image.fromarray(values).save(file, "PNG", compress_level=1)
    else:
        _write_tiff(file, values, header)
    return file.getvalue()


def _write_tiff(file: BytesIO, values: NDArray[np.generic], header: FrameHeader) -> None:
    quantity = f"{header.layer} in {header.unit}"
    metadata: dict[str, str] = {"axes": "YX", "Info": header_text(header), "quantity": quantity}
    resolution = None
    if header.object_pixel_m is not None:
        per_um = 1e-6 / header.object_pixel_m
        resolution = (per_um, per_um)
        metadata["unit"] = "um"
    tifffile.imwrite(file, values, imagej=True, resolution=resolution, metadata=metadata)
