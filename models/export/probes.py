"""Frames to compare two ways of running one network on: real ones, and some of its own instrument with their truth."""

from __future__ import annotations

from dataclasses import replace

from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.frame import Frame
from qpi_live.camera.simulation.conditions import TABLED
from qpi_live.camera.source import CameraOptions
from qpi_live.models.artifacts.agreement import Probe
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.sizes import Shape
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.training.simulate import simulate_pair

_RECORDING = "glioblastoma"
_REAL_FRAMES = 2


def probes_for(network: NetworkCard, shape: Shape) -> list[Probe]:
    """Frames of (H, W): two windows of the bundled hologram, and one simulated frame in each condition of the tables.

    Only simulated frames have a true phase. Windows that the network does not take, by size or bit depth, are left out.

    Raises:
        EngineUnavailable: the network does not say what instrument it is for.
    """
    if network.instrument is None:
        raise EngineUnavailable(
            "expected a network that knows its instrument, to compare it on frames of that, got one without; train it "
            "on pairs of `qpi pairs` and export it again"
        )
    instrument = replace(network.instrument, shape=shape)
    simulated = [simulate_pair(instrument, condition, seed=0) for condition in TABLED]
    real = [frame for frame in _real_frames(shape) if network.why_not(frame.shape, frame.bit_depth) is None]
    return [*(Probe(frame.pixels) for frame in real), *(Probe(pair.pixels, pair.phase_rad) for pair in simulated)]


def _real_frames(shape: Shape) -> list[Frame]:
    camera = ReplayCamera(_RECORDING, CameraOptions(shape=shape, frame_rate_hz=0))
    camera.start()
    try:
        read = [camera.read(10.0) for _ in range(_REAL_FRAMES)]
    finally:
        camera.stop()
    return [frame for frame in read if frame is not None and frame.shape == shape]
