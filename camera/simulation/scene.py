"""A specimen under an instrument, frame by frame: what tests, benches, training and the simulated camera look at."""

from __future__ import annotations

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture, Specimen

LOOP_FRAMES = 64  # two seconds at 30 frames a second; at 1024² in 8 bits a loop takes 64 MiB


class Scene:
    """A looping film of living cells under an instrument, with the truth behind each frame.

    Every method is a pure function of the constructor's arguments and the frame's number. Any frame, in any order, in
    any process, comes out the same. Frame `n` and frame `n + loop_frames` are the same frame, noise included.

    Args:
        model: the instrument's forward model; scenes may share one.
        specimen: what lies under it.
        seed: of the cells and of the noise.
        loop_frames: frames in one turn of the motion.
    """

    def __init__(self, model: ForwardModel, specimen: Specimen, seed: int = 0, loop_frames: int = LOOP_FRAMES) -> None:
        if seed < 0 or loop_frames < 1:
            raise ValueError(f"expected a seed from 0 and a loop of 1 frame or more, got {seed} and {loop_frames}")
        self.model = model
        self.specimen = specimen
        self.loop_frames = loop_frames
        self.seed = seed
        self._culture = Culture(specimen, model.instrument.shape, seed)

    def true_phase_rad(self, frame: int) -> NDArray[np.float32]:
        """The specimen's phase in frame `frame`, (H, W) float32 in rad: background 0, no band limit, no aberration."""
        return self._culture.phase_rad(self._turn(frame))

    def pixels(self, frame: int) -> Pixels:
        """The interferogram of frame `frame`, (H, W) uint8 or uint16, owned by the caller."""
        rng = default_rng([self.seed, 1, frame % self.loop_frames])
        return self.model.interferogram(self.true_phase_rad(frame), rng, self._turn(frame))

    def calibration_pixels(self, frame: int = 0) -> Pixels:
        """A sample-free interferogram, taken where the drifting aberration stood in frame `frame`."""
        rng = default_rng([self.seed, 2, frame % self.loop_frames])
        return self.model.calibration(rng, self._turn(frame))

    def _turn(self, frame: int) -> float:
        return (frame % self.loop_frames) / self.loop_frames
