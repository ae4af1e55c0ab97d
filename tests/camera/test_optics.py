"""Optics as people state them, over what a camera or a file knows."""

from __future__ import annotations

import pytest
from qpi_live.camera.optics import Optics, StatedOptics
from qpi_live.camera.source import CameraOptions, open_camera

BUNDLED, TWIN = "replay:glioblastoma", "simulated:glioblastoma"


def test_optics_of_which_nothing_is_stated_are_those_that_are_known() -> None:
    known = Optics(532e-9, 4e-6, 20.0, 0.4, 1.33)
    assert StatedOptics().over(known) is known
    assert StatedOptics().over(None) is None


def test_optics_that_are_stated_replace_their_own_part_only() -> None:
    known = Optics(532e-9, 4e-6, 20.0, 0.4, 1.33)
    changed = StatedOptics(pixel_um=3.5, refractive_index=1.4).over(known)
    assert changed == Optics(532e-9, 3.5 * 1e-6, 20.0, 0.4, 1.4)


def test_pitch_that_is_stated_is_the_sensors_and_grows_with_binning() -> None:
    known = Optics(532e-9, 8e-6, 20.0)
    assert StatedOptics(pixel_um=4).over(known, (2, 2)) == Optics(532e-9, 4 * 1e-6 * 2, 20.0)
    assert StatedOptics(magnification=40).over(known, (2, 2)) == Optics(532e-9, 8e-6, 40.0)
    assert StatedOptics(pixel_um=4).over(known, (2, 1)) == Optics(532e-9, None, 20.0)


@pytest.mark.parametrize(
    "stated",
    [StatedOptics(wavelength_nm=5), StatedOptics(pixel_um=1e6), StatedOptics(na=2), StatedOptics(refractive_index=0.5)],
)
def test_optics_that_no_microscope_has_are_refused(stated: StatedOptics) -> None:
    with pytest.raises(ValueError, match="expected a"):
        stated.over(None)


def test_bundled_recording_takes_a_scale_beside_the_wavelength_that_it_knows() -> None:
    options = CameraOptions(shape=(64, 64), optics=StatedOptics(pixel_um=3.75, magnification=40))
    optics = open_camera(BUNDLED, options).identity.optics
    assert optics is not None
    assert optics.wavelength_m == pytest.approx(533e-9)
    assert optics.object_pixel_m == pytest.approx(3.75e-6 / 40)


def test_simulated_twin_of_the_bundled_recording_shows_cells_of_a_cells_size() -> None:
    optics = open_camera(TWIN, CameraOptions(shape=(64, 64))).identity.optics
    assert optics is not None
    assert optics.object_pixel_m is not None
    assert 5e-6 < 250 * optics.object_pixel_m < 50e-6  # its cells are some 250 px wide
    # The band limit that was measured in the recording stays: it is a matter of pixels.
    assert optics.band_limit_cycles_per_px == pytest.approx(0.065, abs=0.001)
