"""Save phase at an interval as an ImageJ stack: `python time_lapse.py OUT.tif FRAMES SECONDS [URL]`.

Opens in ImageJ, Fiji and napari with its pixel size, its frame interval and phase in rad.
"""

import sys
from itertools import islice

import numpy as np
import tifffile

from qpi_live import PhaseClient

out, frames, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
url = sys.argv[4] if len(sys.argv) > 4 else "http://127.0.0.1:8000"

with PhaseClient(url) as microscope:
    taken = list(islice(microscope.frames(max_fps=1 / seconds), frames))

pixel_m = taken[0].header.object_pixel_m
tifffile.imwrite(
    out,
    np.stack([frame.values for frame in taken]),
    imagej=True,
    resolution=(1e-6 / pixel_m, 1e-6 / pixel_m) if pixel_m else None,
    metadata={"axes": "TYX", "unit": "um", "finterval": seconds, "Labels": [str(frame.captured) for frame in taken]},
)
print(f"{frames} frames of phase in rad in {out}")
