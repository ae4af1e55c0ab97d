from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.optics import Optics
from qpi_live.models.analysis.autofocus import METRICS, around, autofocus, sharpness
from qpi_live.models.analysis.refocus import Propagator, depth_of_field_um, distances, field_of, focus_stack, refocus
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.views import darkfield, dic, gradient_rad_per_px

from tests.models.analysis.discs import caps

_SCALE = Scale.of(Optics(532e-9, 3.45e-6, 40, 0.65))
_NA = 0.65


def _in_focus() -> NDArray[np.float32]:
    """Four cells with nuclei in the middle of the frame, so that nothing diffracts across its edge."""
    at = [(110.0, 115.0), (120.0, 200.0), (200.0, 130.0), (205.0, 210.0)]
    bodies = caps((320, 320), [(y, x, 32.0, 2.0) for y, x in at])
    return bodies + caps((320, 320), [(y + 5, x - 4, 12.0, 1.0) for y, x in at])


def _through_the_objective(phase_rad: NDArray[np.float32]) -> NDArray[np.complex64]:
    spectrum = np.fft.fft2(np.exp(1j * phase_rad))
    fy, fx = np.fft.fftfreq(phase_rad.shape[0])[:, None], np.fft.fftfreq(phase_rad.shape[1])[None, :]
    assert _SCALE.pixel_um is not None
    assert _SCALE.wavelength_um is not None
    spectrum[np.hypot(fy, fx) > _NA * _SCALE.pixel_um / _SCALE.wavelength_um] = 0
    return np.fft.ifft2(spectrum).astype(np.complex64)


@pytest.mark.parametrize("distance_um", [-12.0, 3.5, 40.0])
def test_propagator_agrees_with_nrefocus(distance_um: float) -> None:
    import nrefocus

    field = _through_the_objective(_in_focus())
    assert _SCALE.pixel_um is not None
    assert _SCALE.wavelength_um is not None
    theirs = nrefocus.RefocusNumpy(
        field, _SCALE.wavelength_um * 1e-6, _SCALE.pixel_um * 1e-6, medium_index=1.33, padding=True
    ).propagate(distance_um * 1e-6)
    ours = Propagator(field, _SCALE, 1.33).at(distance_um)
    # Theirs keeps the phase of the straight wave, ours takes it off; edges are padded differently.
    middle = slice(80, -80)
    turn = np.vdot(theirs[middle, middle], ours[middle, middle])
    theirs = theirs * turn / abs(turn)
    assert np.abs(ours - theirs)[middle, middle].max() < 0.05
    assert np.sqrt(np.mean(np.abs(ours - theirs)[middle, middle] ** 2)) < 0.01


def test_propagator_there_and_back_is_where_it_began() -> None:
    field = _through_the_objective(_in_focus())
    there = Propagator(field, _SCALE).at(15.0)
    back = Propagator(there, _SCALE).at(-15.0)
    assert np.abs(there - field)[32:-32, 32:-32].max() > 0.3
    assert np.abs(back - field)[48:-48, 48:-48].max() < 0.06


def test_propagator_spreads_a_gaussian_beam_as_the_textbook_says() -> None:
    waist_px, size = 12.0, 256
    y, x = np.mgrid[:size, :size] - size / 2
    field = np.exp(-(y**2 + x**2) / waist_px**2).astype(np.complex64)
    assert _SCALE.pixel_um is not None
    assert _SCALE.wavelength_um is not None
    rayleigh_um = np.pi * (waist_px * _SCALE.pixel_um) ** 2 * 1.33 / _SCALE.wavelength_um
    far = np.abs(Propagator(field, _SCALE, 1.33).at(rayleigh_um)) ** 2
    width = 2 * np.sqrt((far * y**2).sum() / far.sum())
    assert width == pytest.approx(waist_px * np.sqrt(2), rel=0.01)
    assert far.sum() == pytest.approx((np.abs(field) ** 2).sum(), rel=1e-3)


def test_refocus_defocused_frame_gives_back_the_phase_in_focus() -> None:
    true = _in_focus()
    sharp = _through_the_objective(true)
    blurred = Propagator(sharp, _SCALE).at(6.0)
    again = refocus(np.angle(blurred), -6.0, _SCALE, np.abs(blurred))
    inner = (slice(40, -40), slice(40, -40))
    wanted = np.angle(sharp)
    turns = np.angle(np.exp(1j * (again.phase_rad - wanted)))[inner]
    assert np.sqrt(np.mean(turns**2)) < 0.03
    assert again.phase_rad[inner].max() > 2.0  # unwrapped
    assert again.amplitude.shape == true.shape


def test_focus_stack_is_refocus_at_each_distance() -> None:
    phase = _in_focus()
    stack = focus_stack(phase, [-2.0, 0.0, 2.0], _SCALE)
    assert np.array_equal(stack[2].phase_rad, refocus(phase, 2.0, _SCALE).phase_rad)
    assert np.sqrt(np.mean((stack[1].phase_rad - phase) ** 2)) < 0.02  # less what no lens sees of the steep edges


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("defocus_um", [-7.3, 0.0, 5.2])
def test_autofocus_finds_the_focus_within_a_quarter_of_the_depth_of_field(metric: str, defocus_um: float) -> None:
    field = Propagator(_through_the_objective(_in_focus()), _SCALE).at(defocus_um)
    rng = np.random.default_rng(0)
    field = field + (0.02 * (rng.normal(size=(*field.shape, 2)) @ [1, 1j])).astype(np.complex64)
    found = autofocus(field, _SCALE, metric=metric, numerical_aperture=_NA)
    tolerance = depth_of_field_um(_NA, 0.532) / 4
    assert found.distance_um == pytest.approx(-defocus_um, abs=tolerance)
    assert not found.at_edge
    assert len(found.scanned_um) == len(found.sharpness)


def test_autofocus_focus_beyond_the_range_says_so() -> None:
    field = Propagator(_through_the_objective(_in_focus()), _SCALE).at(8.0)
    assert autofocus(field, _SCALE, range_um=10, metric="variance").at_edge


def test_autofocus_of_a_region_takes_that_cell() -> None:
    field = Propagator(_through_the_objective(_in_focus()), _SCALE).at(5.0)
    rows, columns = around((60, 60, 165, 165), (320, 320))
    assert (rows.start, columns.stop) == (12, 213)
    found = autofocus(field[rows, columns], _SCALE, metric="variance")
    assert found.distance_um == pytest.approx(-5.0, abs=depth_of_field_um(_NA, 0.532) / 2)


def test_autofocus_absorbing_sample_is_sharp_where_amplitude_is_richest() -> None:
    amplitude = 1 - 0.6 * (_in_focus() > 1)
    field = Propagator(amplitude.astype(np.complex64), _SCALE).at(8.0)
    assert autofocus(field, _SCALE, metric="gradient", sample="amplitude").distance_um == pytest.approx(-8, abs=0.4)


def test_refocus_what_is_not_known_or_impossible_is_refused_with_a_sentence() -> None:
    phase = np.zeros((32, 32), np.float32)
    with pytest.raises(ValueError, match="pixel size"):
        refocus(phase, 1.0, Scale(wavelength_um=0.5))
    with pytest.raises(ValueError, match="at most"):
        refocus(phase, float("nan"), _SCALE)
    with pytest.raises(ValueError, match="index"):
        refocus(phase, 1.0, _SCALE, refractive_index=0.5)
    with pytest.raises(ValueError, match="amplitude"):
        field_of(phase, np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="metric"):
        sharpness(np.ones((8, 8), np.complex64), "guess")
    with pytest.raises(ValueError, match="step"):
        distances(0, 10, 0)


def test_views_of_a_ramp_are_even() -> None:
    ramp = (0.1 * np.mgrid[:64, :64][1]).astype(np.float32)
    assert gradient_rad_per_px(ramp) == pytest.approx(0.1, abs=1e-5)
    assert dic(ramp, direction_deg=90) == pytest.approx(0.5, abs=1e-6)  # sheared along the level
    assert (dic(ramp, direction_deg=0) > 0.5).all()
    assert dic(np.zeros((64, 64), np.float32)) == pytest.approx(0.5)


def test_darkfield_shows_edges_on_black() -> None:
    phase = _in_focus()
    shown = darkfield(phase)
    assert shown[phase == 0].mean() < 0.3 * shown[phase > 0].mean()
    assert darkfield(np.full((64, 64), 0.7, np.float32)).max() < 1e-6
