"""Recordings of every kind, by their own writers: all frames, in order, of the channel with the holograms."""

from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import CameraOptions

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, frames
from tests.camera.files.written.table import EIGHT_BIT_WRITERS, LIGHT, STATED, WRITERS

ONCE = CameraOptions(frame_rate_hz=0, loop=False)


def played(address: str, options: CameraOptions = ONCE) -> list[np.ndarray]:
    """All frames of a recording that plays once."""
    camera = ReplayCamera.open(address, options)
    camera.start()
    read = []
    while (frame := camera.read(1.0)) is not None:
        assert frame.shape == camera.identity.shape
        assert frame.bit_depth == camera.identity.bit_depth
        read.append(frame.pixels)
    assert not camera.take_losses()
    camera.stop()
    return read


@pytest.mark.parametrize("kind", WRITERS)
def test_recording_of_any_kind_plays_every_frame_unchanged(tmp_path: Path, kind: str) -> None:
    stack = frames()
    found = played(WRITERS[kind](tmp_path, stack))
    np.testing.assert_array_equal(found, stack)


@pytest.mark.parametrize("kind", [*EIGHT_BIT_WRITERS, "TIFF", "npy", "HDF5", "folder of images"])
def test_recording_of_eight_bits_plays_every_frame_unchanged(tmp_path: Path, kind: str) -> None:
    stack = frames(bits=8)
    found = played((WRITERS | EIGHT_BIT_WRITERS)[kind](tmp_path, stack))
    np.testing.assert_array_equal(found, stack)
    assert {pixels.dtype.name for pixels in found} == {"uint8"}


@pytest.mark.parametrize("kind", ["TIFF", "npy", "HDF5", "OME-Zarr 0.4", "folder of images"])
def test_recording_of_a_single_frame_plays_it(tmp_path: Path, kind: str) -> None:
    stack = frames(1)
    np.testing.assert_array_equal(played(WRITERS[kind](tmp_path, stack)), stack)


@pytest.mark.parametrize("kind", STATED)
def test_recording_that_states_scale_and_pace_gives_them_to_the_camera(tmp_path: Path, kind: str) -> None:
    address = WRITERS[kind](tmp_path, frames())
    identity = ReplayCamera.open(address, CameraOptions()).identity
    assert identity.optics is not None
    assert identity.optics.object_pixel_m == pytest.approx(PIXEL_M)
    assert identity.frame_rate_hz == pytest.approx(1 / INTERVAL_S)
    assert ReplayCamera.open(address, CameraOptions(frame_rate_hz=30)).identity.frame_rate_hz == 30
    if kind in LIGHT:
        assert identity.optics.wavelength_m == pytest.approx(532e-9)


@pytest.mark.parametrize("kind", ["OME-TIFF, two channels", "ImageJ, two channels", "NDTiff", "OME-Zarr 0.5"])
def test_recording_of_several_channels_says_which_it_plays_and_takes_another_by_name_or_number(
    tmp_path: Path, kind: str
) -> None:
    stack = frames()
    address = WRITERS[kind](tmp_path, stack)
    remark = ReplayCamera.open(address, CameraOptions()).identity.remark
    assert remark.startswith(("Channel hologram of", "Channel holo of", "Channel holo 532 of"))
    names = remark.removesuffix(".").partition(" of ")[2].split(", ")
    other = next(name for name in names if "holo" not in name)
    for wanted in (other, other.lower(), str(names.index(other))):
        options = CameraOptions(frame_rate_hz=0, loop=False, channel=wanted)
        assert {int(pixels.max()) for pixels in played(address, options)} == {7}


def test_recording_contract_covers_every_writer_of_the_kinds_that_state_something() -> None:
    assert set(STATED) | set(LIGHT) <= set(WRITERS)


def test_replay_optics_that_are_given_stand_over_those_of_the_file_one_by_one(tmp_path: Path) -> None:
    address = WRITERS["HDF5 of qpformat"](tmp_path, frames())
    light = ReplayCamera.open(address, CameraOptions(optics=StatedOptics(633))).identity.optics
    assert light is not None
    assert (light.wavelength_m, light.numerical_aperture) == (pytest.approx(633e-9), 0.65)
    assert light.object_pixel_m == pytest.approx(PIXEL_M)
    scale = ReplayCamera.open(address, CameraOptions(optics=StatedOptics(None, 3.45, 20))).identity.optics
    assert scale is not None
    assert scale.wavelength_m == pytest.approx(532e-9)
    assert scale.object_pixel_m == pytest.approx(3.45e-6 / 20)
