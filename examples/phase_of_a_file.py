"""The phase of one recorded interferogram: `python phase_of_a_file.py HOLOGRAM OUT.npy [URL]`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from qpi_live import PhaseClient

hologram, out = Path(sys.argv[1]), Path(sys.argv[2])
url = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8000"

with PhaseClient(url, timeout_s=120) as microscope:  # the first one starts an engine
    frame = microscope.phase(np.asarray(Image.open(hologram)), engine="goldstein")

np.save(out, frame.values)
print(f"{frame.values.shape} px by {frame.header.engine.name}, warning: {frame.header.warning or 'none'}")
