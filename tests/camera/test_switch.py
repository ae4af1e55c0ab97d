"""Several cameras on one line."""

import pytest
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.source import CameraOptions, open_camera
from qpi_live.camera.switch import CameraSwitch

RECORDING, SIMULATED = "replay:glioblastoma", "simulated:glioblastoma"


@pytest.fixture
def switch() -> CameraSwitch:
    options = CameraOptions(shape=(64, 64), frame_rate_hz=0)
    return CameraSwitch([open_camera(source, options) for source in (RECORDING, SIMULATED)])


def test_switch_sends_the_first_cameras_frames_until_another_is_chosen(switch: CameraSwitch) -> None:
    switch.start()
    sources = [frame.source for _ in range(2) if (frame := switch.read(1.0))]
    switch.choose(SIMULATED)
    assert switch.identity.source == RECORDING  # frames come from it until one of the other has been read
    sources += [frame.source for _ in range(2) if (frame := switch.read(1.0))]
    assert sources == [RECORDING, RECORDING, SIMULATED, SIMULATED]
    assert switch.identity.source == SIMULATED
    switch.stop()


def test_switch_numbers_frames_through_all_cameras(switch: CameraSwitch) -> None:
    switch.start()
    numbers = []
    for source in (RECORDING, SIMULATED, RECORDING):
        switch.choose(source)
        numbers += [frame.sequence for _ in range(2) if (frame := switch.read(1.0))]
    assert numbers == list(range(6))
    switch.stop()


def test_switch_after_a_stop_starts_what_was_chosen_meanwhile(switch: CameraSwitch) -> None:
    switch.start()
    switch.stop()
    switch.choose(SIMULATED)
    switch.start()
    frame = switch.read(1.0)
    assert frame is not None
    assert frame.source == SIMULATED
    switch.stop()


def test_switch_to_an_unknown_camera_changes_nothing_and_names_those_there_are(switch: CameraSwitch) -> None:
    switch.start()
    with pytest.raises(CameraUnavailable, match=f"{RECORDING}, {SIMULATED}"):
        switch.choose("replay:/etc/passwd")
    frame = switch.read(1.0)
    assert frame is not None
    assert frame.source == RECORDING
    switch.stop()


def test_switch_of_one_camera_twice_is_refused() -> None:
    cameras = [open_camera(RECORDING, CameraOptions(shape=(64, 64))) for _ in range(2)]
    with pytest.raises(CameraUnavailable, match="different"):
        CameraSwitch(cameras)


def test_simulated_frame_knows_the_phase_it_was_made_from() -> None:
    camera = open_camera(SIMULATED, CameraOptions(shape=(64, 64), frame_rate_hz=0))
    camera.start()
    frame = camera.read(1.0)
    assert frame is not None
    assert frame.true_phase_rad is not None
    assert frame.true_phase_rad().shape == (64, 64)
    assert frame.true_phase_rad().max() > 1
    camera.stop()
