"""A specimen under an instrument, frame by frame: what tests, benches, training and the simulated camera look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture, Specimen

LOOP_FRAMES = 64  # two seconds at 30 frames a second; at 1024² in 8 bits a loop takes 64 MiB

_NOMINAL = Instrument(
    fringes=Fringes((0.22, 0.24), contrast=0.8),
    beam=Beam(level=0.5, centre=(0.48, 0.53), radius=1.8),
    aberration=Aberration((0.0, 0.8, -0.5, 2.0, 0.4, -0.3, 0.15, 0.1), (0.3, 0.1, 0.1, 0.1)),
    sensor=Sensor(bit_depth=8, full_well_e=10_000),
    speckle=Speckle(strength=0.02, static_share=0.8),
    name="nominal",
)
_HARSH = Instrument(
    fringes=Fringes((0.22, 0.24), contrast=0.35),
    beam=Beam(level=0.5, centre=(0.42, 0.6), radius=1.2),
    # Some 40 rad from the deepest to the highest point of the frame, a tenth of it drifting.
    aberration=Aberration((0.0, 2.0, -3.0, 9.0, 1.5, -2.0, 0.6, -0.5, 0.3, 0.2, 0.5), (0.5, 0.4, 0.4, 0.7, 0.2)),
    sensor=Sensor(bit_depth=8, full_well_e=6_000, read_noise_e=20),
    speckle=Speckle(strength=0.15, static_share=0.5),
    name="harsh",
)
PRESETS: dict[str, tuple[Instrument, Specimen]] = {
    "nominal": (_NOMINAL, Specimen("mixed", coverage=0.4, peak_rad=9.0)),
    "harsh": (_HARSH, Specimen("mixed", coverage=0.4, peak_rad=9.0)),
    "dense": (replace(_NOMINAL, name="dense"), Specimen("mixed", coverage=0.85, peak_rad=12.0)),
    "round": (replace(_NOMINAL, name="round"), Specimen("ellipsoids", coverage=0.35, peak_rad=8.0, cell_px=150)),
    "adherent": (replace(_NOMINAL, name="adherent"), Specimen("adherent", coverage=0.4, peak_rad=9.0)),
}


class Scene:
    """A looping film of living cells under an instrument, with the truth behind each frame.

    Every method is a pure function of the constructor's arguments and the frame's number: any frame, in any order,
    in any process, comes out the same. Frame `n` and frame `n + loop_frames` are the same frame, noise included.

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


def open_scene(
    preset: str, shape: tuple[int, int] = (1024, 1024), seed: int = 0, loop_frames: int = LOOP_FRAMES
) -> Scene:
    """The scene of a preset: `nominal`, `harsh`, `dense`, `round` or `adherent`.

    Raises:
        ValueError: there is no preset of that name, or the shape is impossible.
    """
    if preset not in PRESETS:
        raise ValueError(f"expected a preset among {', '.join(PRESETS)}, got {preset!r}")
    instrument, specimen = PRESETS[preset]
    return Scene(ForwardModel(replace(instrument, shape=shape)), specimen, seed, loop_frames)
