"""Simulated scenes for tests: a condition's example, in any size."""

from dataclasses import replace

from qpi_live.camera.simulation.conditions import example_of
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.scene import LOOP_FRAMES, Scene


def example_scene(condition: str, shape: tuple[int, int], seed: int = 0, loop_frames: int = LOOP_FRAMES) -> Scene:
    instrument, specimen = example_of(condition)
    return Scene(ForwardModel(replace(instrument, shape=shape)), specimen, seed, loop_frames)
