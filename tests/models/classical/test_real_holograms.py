"""Other people's holograms: no more steps through bright ground than scikit-image's unwrapping leaves."""

import os
from pathlib import Path

import numpy as np
import pytest
from qpi_live.bench.holograms import bright_jumps
from qpi_live.camera.files.recording import open_recording
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.classical.unwrapping.goldstein import unwrap
from skimage.restoration import unwrap_phase

HOLOGRAMS = Path(os.environ.get("QPI_HOLOGRAMS", "no such folder"))
NAMES = [
    "jpl_usaf_1024_lzw.tif",
    "jr_gas_interferogram.png",
    "pydhm_eafit.jpg",
    "pydhm_tissue_nontele_1024x1224.tif",
    "pydhm_uofm.png",
    "tissue_paper_oa.tif",
]


@pytest.mark.parametrize("name", NAMES)
def test_unwrap_of_a_real_hologram_leaves_no_more_bright_jumps_than_scikit_image(name: str) -> None:
    path = HOLOGRAMS / name
    if not path.is_file():
        pytest.skip(f"needs {name} in the folder that QPI_HOLOGRAMS names")
    frame = open_recording(str(path)).read(0)
    retriever = TakedaRetriever(frame.pixels.shape, find_carrier(frame.pixels, frame.bit_depth))
    field = retriever.wrapped_field(frame.pixels)
    unwrapped = unwrap(field.phase_rad, field.amplitude)
    turns = (unwrapped.phase_rad.astype(np.float64) - field.phase_rad) / (2 * np.pi)
    assert np.abs(turns - np.rint(turns)).max() < 1e-3
    jumps = bright_jumps(unwrapped.phase_rad, field.amplitude)
    assert jumps <= bright_jumps(unwrap_phase(field.phase_rad), field.amplitude)
    assert jumps <= 1.05 * unwrapped.bright_cut_links + 4  # what warns people counts the same
