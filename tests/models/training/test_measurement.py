"""Measuring an instrument: what the simulator was told comes back out of its frames."""

from math import hypot

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.conditions import CONDITIONS
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.specimen import Culture, Specimen
from qpi_live.models.training.measurement import measure_instrument
from qpi_live.models.training.simulate import simulate_pair

OPTICS = Optics(532e-9, 3.45e-6, 1.0, 0.0108)  # a band limit of 0.070 cycles per pixel
TRUE = Instrument(
    shape=(512, 512),
    optics=OPTICS,
    fringes=Fringes((-0.21, 0.25), contrast=0.6),
    beam=Beam(level=0.4, centre=(0.45, 0.55), radius=1.5),
    aberration=Aberration((0.0, 0.5, -0.4, 1.2, 0.3, -0.2)),
    sensor=Sensor(full_well_e=2000, read_noise_e=0, black_level=0),
    speckle=Speckle(0.1, 0.5),
)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    model = ForwardModel(TRUE)
    taken = []
    for number in range(3):
        phase_rad = Culture(Specimen("mixed", 0.25, 6.0, 120), TRUE.shape, number).phase_rad(0.0)
        pixels = model.interferogram(phase_rad, np.random.default_rng(number))
        taken.append(Frame(pixels, 8, number, captured_ns=0, captured_monotonic_ns=0))
    return taken


def test_measure_instrument_simulated_frames_gives_back_what_the_simulator_was_told(frames: list[Frame]) -> None:
    measured = measure_instrument(frames, Optics(OPTICS.wavelength_m, OPTICS.pixel_pitch_m), "bench")
    instrument = measured.instrument
    # The sign too: cells come out positive only in the sideband that was simulated.
    fy, fx = instrument.fringes.carrier_cycles_per_px
    assert hypot(fy + 0.21, fx - 0.25) < 2 / 512
    assert instrument.fringes.contrast == pytest.approx(0.6, rel=0.08)
    assert measured.band_limit_cycles_per_px == pytest.approx(0.070, abs=0.006)
    assert instrument.beam.level == pytest.approx(0.4, rel=0.06)
    assert instrument.beam.radius == pytest.approx(1.5, rel=0.15)
    assert instrument.speckle is not None
    assert instrument.speckle.strength == pytest.approx(0.1, rel=0.4)
    # √(0.4/2000) of full scale where the light is strongest.
    assert measured.noise_grey == pytest.approx(255 * np.sqrt(0.4 / 2000), rel=0.25)
    assert instrument.aberration.noll_rad[3] == pytest.approx(1.2, abs=0.35)
    assert instrument.name == "bench"


def test_measure_instrument_file_round_trip_simulates_the_same_bytes(frames: list[Frame]) -> None:
    instrument = measure_instrument(frames, OPTICS).instrument
    again = Instrument.from_json(instrument.to_json())
    for condition in CONDITIONS:
        pair, same = simulate_pair(instrument, condition, 3), simulate_pair(again, condition, 3)
        np.testing.assert_array_equal(pair.pixels, same.pixels)
        np.testing.assert_array_equal(pair.phase_rad, same.phase_rad)


def test_measure_instrument_without_frames_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        measure_instrument([], OPTICS)


def test_simulate_pair_conditions_are_what_their_names_say() -> None:
    for seed in range(4):
        dense = simulate_pair(TRUE, "dense", seed)
        assert (dense.phase_rad > 0).mean() > 0.75
        harsh = simulate_pair(TRUE, "harsh", seed)
        assert 0.3 <= harsh.instrument.fringes.contrast <= 0.4
        assert np.linalg.norm(harsh.instrument.aberration.noll_rad[3:]) > 2
    assert not np.array_equal(simulate_pair(TRUE, "nominal", 0).pixels, simulate_pair(TRUE, "nominal", 1).pixels)


@pytest.mark.parametrize(
    "optics",
    [Optics(532e-9), Optics(532e-9, 3.45e-6), Optics(532e-9, 3.45e-6, 10.0), Optics(633e-9, 200e-9)],
)
def test_measure_instrument_at_any_scale_keeps_the_band_limit_that_was_measured(
    frames: list[Frame], optics: Optics
) -> None:
    measured = measure_instrument(frames[:1], optics)
    assert measured.instrument.optics.band_limit_cycles_per_px == pytest.approx(measured.band_limit_cycles_per_px)


@pytest.mark.parametrize(
    ("optics", "sentence"),
    [
        (Optics(532e-9, None, 40.0), "pixel pitch beside a magnification of 40"),
        (Optics(None, 3.45e-6, 40.0), "add --wavelength-nm"),
        (Optics(532e-9, 3.45e-6, 400.0), "9 nm a pixel, which needs an NA of"),
    ],
)
def test_measure_instrument_scale_that_cannot_be_is_refused(frames: list[Frame], optics: Optics, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure_instrument(frames[:1], optics)
