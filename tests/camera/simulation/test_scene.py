"""Simulated cells: deterministic, closed in time, true in phase."""

import subprocess
import sys
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from numpy.random import default_rng
from qpi_live.camera.simulation.camera import SimulatedCamera
from qpi_live.camera.simulation.cells import AdherentCell, RoundCell, add_fourth_power
from qpi_live.camera.simulation.conditions import CONDITIONS
from qpi_live.camera.simulation.scene import Scene
from qpi_live.camera.simulation.specimen import Culture, Specimen
from qpi_live.camera.source import CameraOptions

from tests.scenes import example_scene

SHAPE = (256, 320)


def _digest(scene: Scene, frame: int) -> str:
    pixels, truth, calibration = scene.pixels(frame), scene.true_phase_rad(frame), scene.calibration_pixels(frame)
    return sha256(pixels.tobytes() + truth.tobytes() + calibration.tobytes()).hexdigest()


def test_scene_of_one_seed_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "from hashlib import sha256; from tests.scenes import example_scene; "
        f"s = example_scene('harsh', {SHAPE}, seed=5); "
        "arrays = s.pixels(9), s.true_phase_rad(9), s.calibration_pixels(9); "
        "print(sha256(b''.join(array.tobytes() for array in arrays)).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert other.stdout.strip() == _digest(example_scene("harsh", SHAPE, seed=5), 9)


def test_scene_frames_in_any_order_are_the_same() -> None:
    forwards, backwards = example_scene("nominal", SHAPE, seed=2), example_scene("nominal", SHAPE, seed=2)
    late_first = _digest(backwards, 40)
    _digest(forwards, 3)
    assert _digest(forwards, 40) == late_first
    assert _digest(backwards, 3) == _digest(forwards, 3)


def test_scene_of_another_seed_or_frame_is_another() -> None:
    digests = {_digest(example_scene("nominal", SHAPE, seed), frame) for seed in (0, 1) for frame in (0, 1, 33)}
    assert len(digests) == 6


def test_scene_motion_has_no_seam_and_no_jump() -> None:
    scene = example_scene("nominal", SHAPE, seed=3, loop_frames=32)
    np.testing.assert_array_equal(scene.pixels(5), scene.pixels(5 + 32))
    truths = [scene.true_phase_rad(frame) for frame in range(33)]
    steps = [float(np.sqrt(np.mean((b - a) ** 2))) for a, b in pairwise(truths)]
    assert min(steps) > 0.01
    assert steps[-1] < 2 * float(np.median(steps))  # from the last frame back to the first
    assert max(steps) < 3 * float(np.median(steps))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_scene_truth_has_background_zero_and_the_asked_peak(condition: str) -> None:
    scene = example_scene(condition, (512, 512), seed=1)
    for frame in (0, 13, 50):
        phase_rad = scene.true_phase_rad(frame)
        assert phase_rad.dtype == np.float32
        assert phase_rad.min() == 0
        assert 0.75 * scene.specimen.peak_rad < phase_rad.max() <= scene.specimen.peak_rad
        slope = max(np.abs(np.diff(phase_rad, axis=0)).max(), np.abs(np.diff(phase_rad, axis=1)).max())
        assert slope < np.pi  # else the truth itself could not be unwrapped


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scene_dense_covers_over_80_percent_at_every_time(seed: int) -> None:
    scene = example_scene("dense", (768, 768), seed)
    assert min(float(np.mean(scene.true_phase_rad(frame) > 0)) for frame in (0, 16, 32, 48)) > 0.8


@pytest.mark.parametrize("grow", [RoundCell, AdherentCell])
@pytest.mark.parametrize("centre_px", [(100.0, 140.0), (-37.5, 140.2), (245.0, 318.0)])
def test_add_fourth_power_adds_all_of_a_cell_wherever_the_frame_cuts_it(
    grow: type[RoundCell | AdherentCell], centre_px: tuple[float, float]
) -> None:
    y, x = (np.arange(edge, dtype=np.float32) for edge in SHAPE)
    for seed in range(5):
        cell = grow(centre_px, 90.0, 8.0, default_rng(seed))
        raster = np.zeros(SHAPE, np.float32)
        add_fourth_power(cell, raster, 0.3)
        centre_y, centre_x = cell.centre_px(0.3)
        whole = cell.phase_rad(y[:, None] - np.float32(centre_y), x[None, :] - np.float32(centre_x), 0.3)
        np.testing.assert_allclose(raster**0.25, whole, atol=0.02)


@pytest.mark.parametrize("kind", ["ellipsoids", "adherent", "mixed"])
def test_culture_covers_about_what_is_asked(kind: str) -> None:
    for coverage in (0.0, 0.2, 0.5):
        culture = Culture(Specimen(kind, coverage, peak_rad=6, cell_px=80), (512, 512), seed=4)  # type: ignore[arg-type]
        covered = float(np.mean(culture.phase_rad(0.0) > 0))
        assert coverage - 0.05 <= covered <= coverage + 0.15
        assert (len(culture) == 0) == (coverage == 0)


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "bacteria"}, {"coverage": 1.0}, {"coverage": float("nan")}, {"peak_rad": 0.0}, {"cell_px": 3.0}],
)
def test_specimen_that_cannot_be_says_what_was_expected(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Specimen(**wrong)  # type: ignore[arg-type]


def test_simulated_camera_knows_the_truth_behind_each_of_its_frames() -> None:
    camera = SimulatedCamera.open("dense", CameraOptions(shape=SHAPE, frame_rate_hz=0, seed=7))
    assert isinstance(camera, SimulatedCamera)
    scene = example_scene("dense", SHAPE, seed=7)
    camera.start()
    for sequence in range(70):  # past the loop's end
        frame = camera.read(1.0)
        assert frame is not None
        if sequence in (0, 31, 66):
            np.testing.assert_array_equal(frame.pixels, scene.pixels(sequence))
            assert frame.true_phase_rad is not None
            np.testing.assert_array_equal(frame.true_phase_rad(), scene.true_phase_rad(sequence))
    camera.stop()


@pytest.mark.parametrize(
    "options", [CameraOptions(shape=(8, 8)), CameraOptions(shape=(100_000, 64)), CameraOptions(seed=-1)]
)
def test_simulated_camera_asked_for_the_impossible_says_what_was_expected(options: CameraOptions) -> None:
    with pytest.raises(RuntimeError, match="expected"):
        SimulatedCamera.open("nominal", options)
