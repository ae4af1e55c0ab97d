"""Frames of a GenICam camera are the pixels that it sent, each with the camera's own id and time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.errors import (
    CameraLost,
)
from qpi_live.camera.genicam.frame_ids import GAP, INCOMPLETE, LATE, UNDERRUN

from tests.camera.genicam.reading import SHAPE, OpenVirtual, losses_after, read, stamp_of


@pytest.mark.parametrize(
    ("pixel_format", "bit_depth"),
    [
        ("Mono8", 8),
        ("Mono10", 10),
        ("Mono12", 12),
        ("Mono16", 16),
        ("Mono10p", 10),
        ("Mono12p", 12),
        ("Mono10Packed", 10),
        ("Mono12Packed", 12),
    ],
)
def test_frames_of_every_format_are_the_recordings_pixels(
    open_virtual: OpenVirtual, tmp_path: Path, pixel_format: str, bit_depth: int
) -> None:
    recording = (
        np.random.default_rng(0)
        .integers(0, 2**bit_depth, (3, *SHAPE))
        .astype(np.uint8 if bit_depth == 8 else np.uint16)
    )
    recording[:, 0, 0] = 2**bit_depth - 1  # so that the depth can be told from the file
    np.save(tmp_path / "recording.npy", recording)
    camera = open_virtual()
    camera.set_feature("VirtualStampId", 0)
    camera.set_feature("VirtualSource", str(tmp_path / "recording.npy"))
    camera.pause()
    camera.set_feature("PixelFormat", pixel_format)
    camera.start()
    camera.resume()
    for _ in range(4):
        frame = read(camera)
        assert frame.bit_depth == bit_depth == camera.identity.bit_depth
        assert frame.device_id is not None
        np.testing.assert_array_equal(frame.pixels, recording[frame.device_id % 3])


def test_frames_carry_the_cameras_ids_and_times(open_virtual: OpenVirtual) -> None:
    frames, losses = losses_after(open_virtual(), 50)
    assert [frame.sequence for frame in frames] == list(range(50))
    assert [frame.device_id for frame in frames] == [stamp_of(frame) for frame in frames]
    device_ns = [frame.device_timestamp_ns or 0 for frame in frames]
    assert device_ns == sorted(device_ns)
    assert frames[-1].device_id == 49 + sum(losses[reason] for reason in (GAP, INCOMPLETE, UNDERRUN, LATE))


def test_frames_that_are_kept_never_change_and_never_starve_the_stream(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    camera.start()
    kept = [read(camera) for _ in range(200)]  # more than there are slots
    assert [stamp_of(frame) for frame in kept] == [frame.device_id for frame in kept]
    assert camera.pinnable is not None


def test_frame_before_start_is_refused(open_virtual: OpenVirtual) -> None:
    with pytest.raises(CameraLost, match="not started"):
        open_virtual().read(0.0)


def test_read_after_the_camera_has_been_stopped_and_started_goes_on(open_virtual: OpenVirtual) -> None:
    camera = open_virtual()
    for expected in range(3):
        camera.start()
        assert read(camera).sequence == expected
        camera.stop()
        camera.stop()
