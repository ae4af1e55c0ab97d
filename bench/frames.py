"""The frames that every bench looks at: the simulator's, with their true phase, or windows of a real hologram."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camera.frame import Frame, Pixels
from camera.interferogram import ForwardModel
from camera.optics import Optics
from camera.scene import PRESETS, Scene


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame, the phase that it was made from, in rad, and the same instrument's frame without a sample."""

    frame: Frame
    true_phase_rad: NDArray[np.float32]
    calibration: Frame


def simulated_examples(condition: str, shape: tuple[int, int], count: int, seed: int = 1000) -> list[Example]:
    """`count` frames of a preset condition, each of another culture of cells and another instant of the drift.

    Seeds from 1000 on belong to the benches; training uses lower ones.
    """
    instrument, specimen = PRESETS[condition]
    model = ForwardModel(replace(instrument, shape=shape))
    examples = []
    for number in range(count):
        scene = Scene(model, specimen, seed=seed + number)
        at = 7 * number  # another instant of the loop for each culture
        examples.append(
            Example(
                _frame(scene.pixels(at), instrument.sensor.bit_depth, number),
                scene.true_phase_rad(at),
                _frame(scene.calibration_pixels(at), instrument.sensor.bit_depth, number),
            )
        )
    return examples


def optics_of(condition: str) -> Optics:
    """The optics of a preset's instrument."""
    return PRESETS[condition][0].optics


def _frame(pixels: Pixels, bit_depth: int, sequence: int) -> Frame:
    return Frame(pixels, bit_depth, sequence, captured_ns=0, captured_monotonic_ns=0)
