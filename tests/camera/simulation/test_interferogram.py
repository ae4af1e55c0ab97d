"""The forward model, tested by the physics it claims."""

from dataclasses import replace
from math import hypot, sqrt, tau

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.zernike import noll_to_radial, zernike

SHAPE = (240, 320)
FLAT = Beam(level=0.5, radius=1e6)
UNLIMITED = Optics(532e-9)  # no NA: the pupil passes everything
QUIET = Sensor(bit_depth=16, black_level=0)


def _sideband(pixels: NDArray[np.generic], carrier: tuple[float, float], radius: float) -> NDArray[np.complex128]:
    """The field at the carrier: the sideband moved to the origin, cut out and transformed back (Takeda 1982)."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    moved = pixels.astype(float) * np.exp(-1j * tau * (carrier[0] * y + carrier[1] * x))
    spectrum = np.fft.fft2(moved)
    frequency = np.hypot(np.fft.fftfreq(pixels.shape[0])[:, None], np.fft.fftfreq(pixels.shape[1])[None, :])
    return np.fft.ifft2(np.where(frequency < radius, spectrum, 0))


def _bump(peak_rad: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return peak_rad * np.exp(-((y - 110) ** 2 + (x - 170) ** 2) / (2 * 30**2))


def _inner(values: NDArray[np.generic], margin: int = 24) -> NDArray[np.generic]:
    """Without the rim, where the cut-out spectrum rings."""
    return values[margin:-margin, margin:-margin]


@pytest.mark.parametrize("carrier", [(0.2, 0.25), (0.2, -0.25), (-0.31, 0.05), (0.0, 0.4), (0.375, 0.0), (0.1, 0.0625)])
def test_forward_model_puts_the_spectral_peak_at_the_carrier(carrier: tuple[float, float]) -> None:
    model = ForwardModel(Instrument(SHAPE, fringes=Fringes(carrier), beam=FLAT))
    pixels = model.calibration(default_rng(0)).astype(float)
    spectrum = np.abs(np.fft.fft2(pixels - pixels.mean()))
    row, column = np.unravel_index(np.argmax(spectrum), SHAPE)
    found = np.array([np.fft.fftfreq(SHAPE[0])[row], np.fft.fftfreq(SHAPE[1])[column]])
    distance = min(np.abs(found - carrier).max(), np.abs(found + carrier).max())  # one of the two sidebands
    assert distance <= 0.5 / min(SHAPE)


@pytest.mark.parametrize("contrast", [0.0, 0.35, 0.8, 1.0])
def test_forward_model_fringes_have_the_asked_contrast(contrast: float) -> None:
    fringes = Fringes((0.125, 0.25), contrast)
    model = ForwardModel(Instrument(SHAPE, UNLIMITED, fringes, FLAT, sensor=QUIET))
    pixels = model.calibration().astype(float)
    measured = 2 * np.abs(np.mean(pixels * _conjugate_carrier(fringes))) / pixels.mean()
    assert measured == pytest.approx(contrast, abs=2e-4)


def _conjugate_carrier(fringes: Fringes) -> NDArray[np.complex128]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-1j * tau * (fringes.carrier_cycles_per_px[0] * y + fringes.carrier_cycles_per_px[1] * x))


@pytest.mark.parametrize("carrier", [(0.22, 0.24), (0.22, -0.24)])
def test_forward_model_known_phase_survives_retrieval_and_flips_in_the_conjugate(
    carrier: tuple[float, float],
) -> None:
    phase_rad = _bump(2.5)
    model = ForwardModel(Instrument(SHAPE, UNLIMITED, Fringes(carrier), FLAT, sensor=QUIET))
    pixels = model.interferogram(phase_rad)
    retrieved = np.angle(_sideband(pixels, carrier, 0.15))
    conjugate = np.angle(_sideband(pixels, (-carrier[0], -carrier[1]), 0.15))
    np.testing.assert_allclose(_inner(retrieved), _inner(phase_rad), atol=0.02)
    np.testing.assert_allclose(_inner(conjugate), _inner(-phase_rad), atol=0.02)


def aberration_rad(model: ForwardModel, turn: float = 0.0) -> NDArray[np.float64]:
    """A(t), (H, W) in rad, without the carrier."""
    aberration, shape = model.instrument.aberration, model.instrument.shape
    still, drift = (
        sum((c * zernike(j, shape) for j, c in enumerate(noll_rad, start=1)), np.zeros(shape))
        for noll_rad in (aberration.noll_rad, aberration.drift_noll_rad)
    )
    return still + np.sin(2 * np.pi * turn) * drift


def test_forward_model_calibration_frame_holds_carrier_and_aberration_alone() -> None:
    aberration = Aberration((0.3, 0.5, -0.4, 0.6, 0.2), (0.2, 0.3))
    model = ForwardModel(Instrument(SHAPE, UNLIMITED, aberration=aberration, beam=FLAT, sensor=QUIET))
    for turn in (0.0, 0.2, 0.75):
        field = _sideband(model.calibration(turn=turn), (0.22, 0.24), 0.15)
        difference = np.angle(field * np.exp(-1j * aberration_rad(model, turn)))
        np.testing.assert_allclose(_inner(difference, 48), 0, atol=0.02)


def test_forward_model_calibration_frame_divides_the_instrument_out_of_a_frame() -> None:
    speckle = Speckle(strength=0.2, static_share=1.0)
    harsh = Instrument(SHAPE, aberration=Aberration((0, 2, 3, 4, -1)), speckle=speckle, sensor=QUIET)
    model = ForwardModel(harsh)
    phase_rad = _bump(2.0)
    field = _sideband(model.interferogram(phase_rad), (0.22, 0.24), 0.11)
    reference = _sideband(model.calibration(), (0.22, 0.24), 0.11)
    without = np.angle(field * np.exp(-1j * aberration_rad(model)))
    divided = np.angle(field / reference)
    error_without = float(np.std(_inner(without - phase_rad)))
    error_divided = float(np.std(_inner(divided - phase_rad)))
    assert error_divided < 0.8 * error_without
    # Far from the cell the static speckle is gone altogether.
    assert float(np.std(divided[24:60, 24:60])) < 0.01
    assert float(np.std(without[24:60, 24:60])) > 0.05


def test_forward_model_drift_closes_on_itself() -> None:
    aberration = Aberration((0.0, 1.0), (0.5, 0.3, 0.2, 0.4))
    model = ForwardModel(Instrument(SHAPE, aberration=aberration))
    np.testing.assert_allclose(aberration_rad(model, 0), aberration_rad(model, 1), atol=1e-12)
    assert np.ptp(aberration_rad(model, 0.25) - aberration_rad(model, 0.75)) > 0.5


def test_forward_model_pupil_passes_nothing_beyond_the_band_limit() -> None:
    optics = Optics(532e-9, 3.45e-6, 40, 0.65)
    limit = optics.band_limit_cycles_per_px
    assert limit is not None
    phase_rad = 3.0 * (default_rng(1).random((256, 256)) > 0.5)  # detail far beyond the limit
    instrument = Instrument((256, 256), optics, Fringes((0.25, 0.25), 1.0), FLAT, sensor=QUIET)
    pixels = ForwardModel(instrument).interferogram(phase_rad).astype(float)
    window = np.hanning(256)[:, None] * np.hanning(256)[None, :]
    power = np.abs(np.fft.fft2((pixels - pixels.mean()) * window)) ** 2
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :]
    slack = 4 / 256  # the window's own width
    allowed = np.hypot(fy, fx) < 2 * limit + slack  # |o|² reaches to twice the limit
    for sign in (1, -1):
        dy, dx = ((f - sign * 0.25 + 0.5) % 1 - 0.5 for f in (fy, fx))
        allowed |= np.hypot(dy, dx) < limit + slack
    assert 0.2 < allowed.mean() < 0.6
    assert power[~allowed].sum() < 1e-6 * power.sum()


def test_sensor_variance_is_shot_noise_plus_read_noise_plus_quantisation() -> None:
    sensor = Sensor(bit_depth=12, full_well_e=4000, read_noise_e=15, black_level=100)
    electrons_per_grey = sensor.full_well_e / (sensor.full_scale - sensor.black_level)
    for level in (0.05, 0.2, 0.5, 0.8):
        light = np.full((500, 500), level, np.float32)
        grey = sensor.expose(light, default_rng(7)).astype(float)
        mean_e = (grey.mean() - sensor.black_level) * electrons_per_grey
        assert mean_e == pytest.approx(level * sensor.full_well_e, rel=0.01)
        expected_e2 = mean_e + sensor.read_noise_e**2 + electrons_per_grey**2 / 12
        assert grey.var() * electrons_per_grey**2 == pytest.approx(expected_e2, rel=0.02)


@pytest.mark.parametrize(("bit_depth", "dtype"), [(8, np.uint8), (10, np.uint16), (12, np.uint16), (16, np.uint16)])
def test_sensor_that_is_overexposed_saturates_at_full_scale(bit_depth: int, dtype: type) -> None:
    instrument = Instrument(SHAPE, beam=Beam(level=1.0), sensor=Sensor(bit_depth=bit_depth))
    pixels = ForwardModel(instrument).calibration(default_rng(0))
    assert pixels.dtype == dtype
    assert int(pixels.max()) == 2**bit_depth - 1
    assert 0.05 < np.mean(pixels == 2**bit_depth - 1) < 0.6


def test_sensor_without_noise_is_quantised_to_half_a_grey_value() -> None:
    sensor = Sensor(bit_depth=8, black_level=0)
    light = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    error = sensor.expose(light.copy(), None) - light * 255
    assert np.abs(error).max() <= 0.5 + 1e-4


def test_speckle_has_the_asked_strength_and_static_share() -> None:
    dim = Beam(level=0.3, radius=1e6)  # bright speckles must not saturate
    speckle = Speckle(strength=0.1, static_share=0.5)
    fringes = Fringes((0.25, 0.25), 1.0)
    model = ForwardModel(Instrument((400, 400), fringes=fringes, beam=dim, speckle=speckle, sensor=QUIET))
    fields = []
    for seed in (1, 2):
        field = _sideband(model.calibration(default_rng(seed)), (0.25, 0.25), 0.11)
        fields.append(_inner(field / np.mean(field)) - 1)
    strengths = [sqrt(float(np.mean(np.abs(field) ** 2))) for field in fields]
    assert strengths == pytest.approx([0.1, 0.1], rel=0.1)
    common = np.mean(fields[0] * np.conj(fields[1])).real / (strengths[0] * strengths[1])
    assert common == pytest.approx(0.5, abs=0.1)


def test_beam_envelope_falls_to_e_minus_2_at_its_radius() -> None:
    beam = Beam(level=0.8, centre=(0.5, 0.5), radius=0.5)
    instrument = Instrument((321, 321), UNLIMITED, Fringes(contrast=0.0), beam, sensor=QUIET)
    pixels = ForwardModel(instrument).calibration().astype(float) / 65535
    radius_px = 0.5 * hypot(321, 321) / 2
    assert pixels[160, 160] == pytest.approx(0.8, abs=1e-4)
    assert pixels[160, 160 + round(radius_px)] == pytest.approx(0.8 * np.exp(-2), rel=0.02)


def test_forward_model_of_a_phase_of_another_shape_says_so() -> None:
    with pytest.raises(ValueError, match=r"expected a phase of shape \(240, 320\), got \(320, 240\)"):
        ForwardModel(Instrument(SHAPE)).interferogram(np.zeros((320, 240)))


def test_noll_index_order_is_that_of_the_paper() -> None:
    table = {1: (0, 0), 2: (1, 1), 3: (1, -1), 4: (2, 0), 5: (2, -2), 6: (2, 2), 7: (3, -1), 8: (3, 1)}
    table |= {9: (3, -3), 10: (3, 3), 11: (4, 0), 12: (4, 2), 13: (4, -2), 14: (4, 4), 15: (4, -4), 22: (6, 0)}
    assert {index: noll_to_radial(index) for index in table} == table


@pytest.mark.parametrize(
    ("index", "closed_form"),
    [
        (1, lambda rho, theta: np.ones_like(rho)),
        (2, lambda rho, theta: 2 * rho * np.cos(theta)),
        (4, lambda rho, theta: sqrt(3) * (2 * rho**2 - 1)),
        (5, lambda rho, theta: sqrt(6) * rho**2 * np.sin(2 * theta)),
        (7, lambda rho, theta: sqrt(8) * (3 * rho**3 - 2 * rho) * np.sin(theta)),
        (11, lambda rho, theta: sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1)),
    ],
)
def test_zernike_polynomial_equals_the_paper_s_closed_form(index: int, closed_form) -> None:  # type: ignore[no-untyped-def]
    y, x = np.mgrid[:41, :61]
    y, x = (y - 20) / (hypot(41, 61) / 2), (x - 30) / (hypot(41, 61) / 2)
    np.testing.assert_allclose(zernike(index, (41, 61)), closed_form(np.hypot(y, x), np.arctan2(y, x)), atol=1e-12)


def test_fringes_period_is_the_inverse_of_the_carrier() -> None:
    assert Fringes((0.3, 0.4)).period_px == pytest.approx(2.0)


def test_forward_model_defocus_is_undone_by_looking_back_as_far() -> None:
    """What the sideband holds of a frame out of focus, propagated back, is the field in focus."""
    optics = Optics(532e-9, 3.45e-6, 40, 0.65)
    carrier = (56 / 256, 64 / 256)
    beam = Beam(level=0.3, radius=1e6)  # rings around the edge are brighter than the field
    sharp = Instrument(shape=(256, 256), optics=optics, fringes=Fringes(carrier, 0.6), beam=beam, sensor=QUIET)
    phase = np.zeros((256, 256), np.float32)
    y, x = np.mgrid[:256, :256]
    phase += (2 * np.exp(-((y - 120) ** 2 + (x - 140) ** 2) / (2 * 15**2))).astype(np.float32)
    fields = {}
    for defocus_um in (0.0, 8.0):
        model = ForwardModel(replace(sharp, defocus_m=defocus_um * 1e-6))
        fields[defocus_um] = _sideband(model.interferogram(phase), carrier, 0.11)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    pixel_m = 3.45e-6 / 40
    along = np.sqrt(np.maximum((1.33 / 532e-9) ** 2 - (frequency / pixel_m) ** 2, 0)) - 1.33 / 532e-9
    back = np.fft.ifft2(np.fft.fft2(fields[8.0]) * np.exp(-2j * np.pi * along * 8e-6))
    level = np.abs(fields[0.0]).mean()
    inner = (slice(50, -50), slice(50, -50))
    off = [np.sqrt(np.mean(np.abs(field - fields[0.0])[inner] ** 2)) / level for field in (fields[8.0], back)]
    assert off[0] > 0.03
    assert off[1] < 1e-3 * off[0]


def test_instrument_defocus_without_optics_is_refused() -> None:
    with pytest.raises(ValueError, match="beside a defocus"):
        Instrument(optics=Optics(532e-9), defocus_m=1e-6)
