"""The frames that every bench looks at: the simulator's, with their true phase, or windows of a real hologram."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import typer
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.conditions import CONDITIONS, example_of
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.scene import Scene
from qpi_live.camera.source import CameraOptions, open_camera
from qpi_live.models.training.simulate import simulate_pair


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame, the phase that it was made from, in rad, and the same instrument's frame without a sample."""

    frame: Frame
    true_phase_rad: NDArray[np.float32]
    calibration: Frame


def condition_named(text: str) -> str:
    """A condition's name, as an option takes it.

    Raises:
        typer.BadParameter: no such condition.
    """
    if text not in CONDITIONS:
        raise typer.BadParameter(f"expected a condition among {', '.join(CONDITIONS)}, got {text!r}")
    return text


def simulated_examples(condition: str, shape: tuple[int, int], count: int, seed: int = 1000) -> list[Example]:
    """`count` frames of a condition's example, each of another culture of cells and another instant of the drift.

    Seeds from 1000 on belong to the benches; training uses lower ones.
    """
    instrument, specimen = example_of(condition)
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


def instrument_examples(
    instrument: Instrument, condition: str, shape: tuple[int, int], count: int, first_seed: int = 0
) -> list[Example]:
    """`count` pairs of an instrument drawn from a condition, for frames of (H, W).

    The seeds below 10⁶ belong to the benches: folders of pairs begin there.
    """
    sized = replace(instrument, shape=shape)
    bit_depth = instrument.sensor.bit_depth
    examples = []
    for seed in range(first_seed, first_seed + count):
        pair = simulate_pair(sized, condition, seed)
        frame, calibration = (_frame(pixels, bit_depth, seed) for pixels in (pair.pixels, pair.calibration()))
        examples.append(Example(frame, pair.phase_rad, calibration))
    return examples


def recorded_windows(recording: str, size: int, along_each_axis: int) -> tuple[Optics | None, list[Frame]]:
    """The recording's optics, and windows of `size` × `size` px of its first frame, evenly spread over it."""
    camera = open_camera(recording, CameraOptions(shape=None, frame_rate_hz=0))
    camera.start()
    whole = camera.read(10.0)
    camera.stop()
    if whole is None:
        raise ValueError(f"expected a frame in {recording}, got none")
    tops, lefts = (np.linspace(0, length - size, along_each_axis).astype(int) for length in whole.shape)
    windows = [whole.pixels[top : top + size, left : left + size].copy() for top in tops for left in lefts]
    return camera.identity.optics, [_frame(pixels, whole.bit_depth, n) for n, pixels in enumerate(windows)]


def optics_of(condition: str) -> Optics:
    """The optics of a condition's example."""
    return example_of(condition)[0].optics


def _frame(pixels: Pixels, bit_depth: int, sequence: int) -> Frame:
    return Frame(pixels, bit_depth, sequence, captured_ns=0, captured_monotonic_ns=0)
