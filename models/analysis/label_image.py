"""Label images as OME-TIFF."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from qpi_live.models.analysis.scale import Scale


def label_tiff(labels: NDArray[np.uint16], scale: Scale, ids: NDArray[np.int64] | None = None) -> bytes:
    """A label image as an OME-TIFF, uint16 or uint32, lossless, with the pixel size where it is known.

    Args:
        labels: (H, W), 0 where there is no cell, 1 … n on cells.
        scale: the optics.
        ids: (n,) what stands for each label in the file, such as the ids that cells keep; None: the labels.
    """
    written: NDArray[Any] = labels
    if ids is not None:
        written = np.concatenate([[0], ids])[labels]
        written = written.astype(np.uint16 if written.max(initial=0) < 2**16 else np.uint32)
    metadata: dict[str, Any] = {"axes": "YX", "Channel": {"Name": ["cells"]}}
    if scale.pixel_um is not None:
        metadata |= {
            "PhysicalSizeX": scale.pixel_um,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": scale.pixel_um,
            "PhysicalSizeYUnit": "µm",
        }
    file = BytesIO()
    tifffile.imwrite(file, written, ome=True, metadata=metadata, compression="zlib")
    return file.getvalue()
