"""The learned background on a stream: as right as frame by frame, smoother, and quick to let go of another place."""

from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.engines.tracked_background import TrackedBackground

from tests.models.engines.test_learned_background import aberration, discs, rms

NETWORK = BackgroundNetwork()
SHAPE = (512, 512)
HEIGHTS = (6.0, 4.0, 8.0, 3.0, 5.0, 7.0, 6.0, 5.0)
Phase = NDArray[np.float32]


def tracked() -> TrackedBackground:
    return TrackedBackground(LearnedBackground(NETWORK, SHAPE, threads=1), threads=1)


def noise(seed: int) -> Phase:
    return np.random.default_rng(seed).normal(0, 0.1, SHAPE).astype(np.float32)


def test_remove_of_a_first_frame_is_what_the_network_finds_of_it() -> None:
    phase = discs(SHAPE, HEIGHTS) + aberration(SHAPE) + noise(0)
    alone = phase.copy()
    LearnedBackground(NETWORK, SHAPE, threads=1).remove(alone)
    tracked().remove(phase)
    assert np.array_equal(phase, alone)


def test_remove_follows_an_aberration_that_drifts_and_levels_that_jump_by_whole_turns() -> None:
    background, truth = tracked(), discs(SHAPE, HEIGHTS)
    x = np.linspace(-1, 1, SHAPE[1], dtype=np.float32)
    worst = 0.0
    for number in range(12):
        drift = 0.2 * number * x + np.float32(2 * np.pi * (number % 3))
        phase = truth + aberration(SHAPE) + drift + noise(number)
        background.remove(phase)
        worst = max(worst, rms(phase - truth - noise(number)))
    assert worst < 0.06


def test_remove_of_another_place_begins_anew() -> None:
    background = tracked()
    background.remove(discs(SHAPE, HEIGHTS) + aberration(SHAPE) + noise(0))
    truth = discs(SHAPE, (*HEIGHTS, 7.0, 6.0, 8.0), seed=5)
    phase = truth + aberration(SHAPE) + noise(1)
    background.remove(phase)
    assert rms(phase - truth - noise(1)) < 0.06


def test_remove_looks_again_beside_the_line_and_averages_what_it_finds() -> None:
    background, truth = tracked(), discs(SHAPE, HEIGHTS)
    doubts, deadline, number = set(), monotonic() + 30, 0
    while len(doubts) < 3 and monotonic() < deadline:
        phase = truth + aberration(SHAPE) + noise(number)
        doubts.add(background.remove(phase).doubt_rad)
        number += 1
        sleep(0.005)
    assert len(doubts) >= 3, "nobody looked again"
