"""Real and simulated interferograms, stage by stage: the device's chain against the host's."""

import os
from pathlib import Path

import numpy as np
import pytest
import qpi_live.camera
from numpy.typing import NDArray
from qpi_live.bench.frames import simulated_examples
from qpi_live.camera.device import Device
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.classical.unwrapping.goldstein import unwrap

from tests.models.classical.cuda.test_goldstein import assert_same_field, crosses_an_open_link, unwrapped_by
from tests.models.classical.cuda.test_takeda import largest_difference_rad, retrieved

BUNDLED = Path(qpi_live.camera.__file__).parent / "data"
HOLOGRAMS = Path(os.environ.get("QPI_HOLOGRAMS", "no such folder"))
NAMES = [
    "glioblastoma.jpg",
    "hl60_pair.npz",
    "series_raw-oah.h5",
    "jpl_usaf_1024_lzw.tif",
    "oirl_bigcakes_nontele_1920x1200.tiff",
    "pydhm_rbc_1023.jpg",
    "pydhm_tissue_nontele_1024x1224.tif",
    "ri_cell_curved_bg.jpg",
    "ri_single_holo.tif",
    "tissue_paper_oa.tif",
    "tissue_paper_oa_background.tif",
]


def hologram(name: str) -> Pixels:
    path = BUNDLED / name if (BUNDLED / name).is_file() else HOLOGRAMS / name
    if not path.is_file():
        pytest.skip(f"needs {name} in the folder that QPI_HOLOGRAMS names")
    return np.ascontiguousarray(open_recording(str(path)).read(0).pixels)


def assert_device_follows_the_host(device: Device, pixels: Pixels) -> None:
    plan = TakedaRetriever(pixels.shape, find_carrier(pixels))
    field = retrieved(device, plan, pixels)
    assert largest_difference_rad(plan, pixels, field.phase_rad) < 2e-5
    assert_device_unwraps_as_the_host(device, field.phase_rad, field.amplitude)


def assert_device_unwraps_as_the_host(
    device: Device, wrapped: NDArray[np.float32], amplitude: NDArray[np.float32] | None = None
) -> None:
    answer = unwrapped_by(device, wrapped, amplitude=amplitude)
    expected = unwrap(wrapped, amplitude)
    assert answer.residues == len(expected.residues)
    assert not crosses_an_open_link(answer.unwrapped.phase_rad, answer.cuts)
    assert_same_field(answer.unwrapped, expected)


@pytest.mark.parametrize("name", NAMES)
def test_real_hologram_is_retrieved_and_unwrapped_as_on_the_host(device: Device, name: str) -> None:
    assert_device_follows_the_host(device, hologram(name))


@pytest.mark.parametrize("condition", ["nominal", "harsh", "dense"])
def test_simulated_frame_is_retrieved_and_unwrapped_as_on_the_host(device: Device, condition: str) -> None:
    (example,) = simulated_examples(condition, (512, 512), 1)
    assert_device_follows_the_host(device, example.frame.pixels)


def test_pure_noise_of_a_whole_frame_is_unwrapped_as_on_the_host(device: Device) -> None:
    """A third of a million residues: every search is at its worst."""
    wrapped = np.random.default_rng(0).uniform(-np.pi, np.pi, (1023, 1024)).astype(np.float32)
    assert_device_unwraps_as_the_host(device, wrapped)
