from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.colony import Colony, ColonySpecimen
from qpi_live.models.analysis.cells import CELL_COLUMNS, measure_cells, measure_labels
from qpi_live.models.analysis.ground import find_ground
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.segmentation import CellSettings, Segmentation, level_between_cells, segment
from skimage.measure import regionprops

from tests.models.analysis.discs import cap_sum, caps

_OPTICS = Optics(532e-9, 3.45e-6, 40)


def test_cells_caps_of_known_volume_have_it() -> None:
    made = [(60.0, 70.0, 30.0, 3.0), (150.0, 190.0, 40.0, 5.0)]
    cells = measure_cells(caps((256, 256), made, noise_rad=0.05, level_rad=0.4))
    assert len(cells) == 2
    for k, (y, x, radius, height) in enumerate(made):
        assert cells.columns["y_px"][k] == pytest.approx(y, abs=0.5)
        assert cells.columns["x_px"][k] == pytest.approx(x, abs=0.5)
        assert cells.columns["area_px"][k] == pytest.approx(np.pi * radius**2, rel=0.05)
        assert cells.columns["integrated_phase_rad_px"][k] == pytest.approx(cap_sum(radius, height), rel=0.01)
        assert cells.columns["max_phase_rad"][k] == pytest.approx(height, abs=0.2)
        assert cells.columns["circularity"][k] > 0.93
        assert cells.columns["eccentricity"][k] < 0.2


def test_cells_dry_mass_follows_barer() -> None:
    phase = caps((256, 256), [(128.0, 128.0, 50.0, 4.0)], noise_rad=0.02)
    cells = measure_cells(phase, scale=Scale.of(_OPTICS, 0.19))
    pixel_um = 3.45 / 40
    expected_pg = 0.532 / (2 * np.pi * 0.19) * pixel_um**2 * cap_sum(50, 4)
    assert cells.columns["dry_mass_pg"][0] == pytest.approx(expected_pg, rel=0.01)
    assert cells.columns["optical_volume_fl"][0] == pytest.approx(expected_pg * 0.19, rel=0.01)
    assert cells.columns["alpha_um3_per_pg"][0] == 0.19
    assert cells.columns["dry_mass_density_pg_um2"][0] == pytest.approx(
        expected_pg / (np.pi * (50 * pixel_um) ** 2), rel=0.05
    )


@pytest.mark.parametrize(
    ("optics", "has", "lacks"),
    [
        (None, "area_px", "area_um2"),
        (Optics(532e-9), "mean_opd_nm", "dry_mass_pg"),
        (Optics(None, 3.45e-6, 40), "area_um2", "mean_opd_nm"),
    ],
)
def test_cells_optics_missing_stay_in_pixels_and_rad(optics: Optics | None, has: str, lacks: str) -> None:
    cells = measure_cells(caps((128, 128), [(64.0, 64.0, 30.0, 3.0)]), scale=Scale.of(optics))
    assert has in cells.columns
    assert lacks not in cells.columns
    assert cells.scale.missing
    assert list(cells.columns) == [name for name in CELL_COLUMNS if name in cells.columns]


def test_cells_of_any_label_image_agree_with_scikit_image() -> None:
    """The same labels, measured by an implementation of others."""
    colony = Colony(ColonySpecimen(cells=20, cell_px=60), (300, 411), seed=3, frames=1)
    phase, ids = colony.drawn(0)
    labels = ids.astype(np.uint16)
    count = int(labels.max())
    found = Segmentation(labels, count, 0.0, 0.01, 0.05, 1, ids)
    columns = measure_labels(phase, found, Scale()).columns
    for peer in regionprops(labels, phase):
        k = peer.label - 1
        assert columns["area_px"][k] == peer.area
        assert (columns["y_px"][k], columns["x_px"][k]) == pytest.approx(peer.centroid)
        assert columns["perimeter_px"][k] == pytest.approx(peer.perimeter_crofton, rel=0.01)
        assert columns["eccentricity"][k] == pytest.approx(peer.eccentricity, abs=3e-3)  # pixels are squares here
        assert columns["max_phase_rad"][k] == pytest.approx(peer.intensity_max)
        assert columns["mean_phase_rad"][k] == pytest.approx(peer.intensity_mean, rel=1e-5)


def test_cells_that_touch_are_parted_and_keep_their_mass() -> None:
    made = [(128.0, 88.0, 40.0, 4.0), (128.0, 164.0, 40.0, 4.0)]
    cells = measure_cells(caps((256, 256), made, noise_rad=0.05))
    assert len(cells) == 2
    assert cells.columns["integrated_phase_rad_px"] == pytest.approx(cap_sum(40, 4), rel=0.02)


def test_cells_one_with_a_nucleus_and_a_long_shape_stays_one() -> None:
    rows, columns = np.mgrid[:256, :256]
    body = np.sqrt(np.maximum(1 - ((rows - 128) / 30) ** 2 - ((columns - 128) / 70) ** 2, 0))
    nucleus = np.sqrt(np.maximum(1 - ((rows - 128) / 14) ** 2 - ((columns - 100) / 14) ** 2, 0))
    phase = (2 * body + 1.5 * nucleus + np.random.default_rng(0).normal(0, 0.1, body.shape)).astype(np.float32)
    assert len(measure_cells(phase)) == 1


@pytest.mark.parametrize("coverage", [0.3, 0.6])
@pytest.mark.parametrize("shape", [(512, 512), (500, 731), (256, 300), (1023, 600)])
def test_cells_of_a_colony_are_all_found_with_their_mass(shape: tuple[int, int], coverage: float) -> None:
    cells = round(coverage * shape[0] * shape[1] / (np.pi * 24**2))
    colony = Colony(ColonySpecimen(cells=cells, cell_px=60), shape, seed=1, frames=1)
    phase, ids = colony.drawn(0)
    noisy = phase + np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    measured = measure_cells(noisy)
    visible = np.flatnonzero(np.bincount(ids.ravel()) >= 200)[1:]
    assert len(measured) == pytest.approx(len(visible), rel=0.02, abs=1)
    errors = []
    for one in visible:
        overlap = np.bincount(measured.segmentation.labels[ids == one], minlength=len(measured) + 1)[1:]
        true = phase[ids == one].sum()
        errors.append(abs(measured.columns["integrated_phase_rad_px"][overlap.argmax()] / true - 1))
    assert np.median(errors) < 0.01
    assert np.mean(np.array(errors) < 0.05) > 0.95


def test_cells_masked_pixels_hold_none() -> None:
    phase = caps((256, 256), [(64.0, 64.0, 30.0, 3.0), (190.0, 190.0, 30.0, 3.0)], noise_rad=0.05)
    mask = np.zeros(phase.shape, np.bool_)
    mask[128:, 128:] = True
    phase[mask] = np.random.default_rng(1).normal(0, 30, mask.sum())
    cells = measure_cells(phase, mask)
    assert len(cells) == 1
    assert not cells.segmentation.labels[mask].any()
    assert cells.confluence == pytest.approx(np.pi * 30**2 / (~mask).sum(), rel=0.05)


def test_cells_outline_of_a_cell_that_is_cut_ends_at_the_frame() -> None:
    cells = measure_cells(caps((256, 256), [(0.0, 128.0, 40.0, 3.0), (128.0, 128.0, 40.0, 3.0)]))
    assert cells.columns["cut"].tolist() == [True, False]
    half = np.pi * 40 + 80
    assert cells.columns["perimeter_px"][0] == pytest.approx(half, rel=0.05)
    assert (
        len(measure_cells(caps((256, 256), [(0.0, 128.0, 40.0, 3.0)]), settings=CellSettings(clear_border=True))) == 0
    )


def test_cells_empty_field_has_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (512, 512)).astype(np.float32)
    assert len(measure_cells(noise)) == 0
    assert len(measure_cells(np.zeros((64, 64), np.float32))) == 0
    assert measure_cells(noise, np.ones((512, 512), np.bool_)).confluence == 0


@pytest.mark.parametrize("covered", [0.0, 0.3, 0.8])
def test_ground_level_and_noise_are_found_between_cells(covered: float) -> None:
    rng = np.random.default_rng(2)
    phase = rng.normal(-0.7, 0.04, (256, 256)).astype(np.float32)
    rows = round(covered * 256)
    phase[:rows] += rng.uniform(0.5, 9, (rows, 256)).astype(np.float32)
    ground = find_ground(phase)
    assert ground.level_rad == pytest.approx(-0.7, abs=0.02)
    assert ground.noise_rad == pytest.approx(0.04, rel=0.25)


def test_segment_background_that_a_person_drew_sets_the_level() -> None:
    phase = caps((256, 256), [(128.0, 128.0, 100.0, 3.0)], noise_rad=0.02)
    phase[:, :64] += 1.0  # most of what looks like ground is not
    phase[:, 192:] += 1.0
    background = np.zeros(phase.shape, np.bool_)
    background[:20, 80:170] = True
    assert segment(phase, background=background).level_rad == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [{"threshold_rad": 0.0}, {"noises": 0}, {"least_px": 0}, {"dip": 1.0}],
)
def test_settings_out_of_range_are_refused_with_a_sentence(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        CellSettings(**wrong)  # type: ignore[arg-type]


def test_segment_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="mask of the phase's shape"):
        segment(np.zeros((64, 64), np.float32), np.zeros((64, 65), np.bool_))
    with pytest.raises(ValueError, match="at least 8"):
        segment(np.zeros((4, 64), np.float32))
    with pytest.raises(ValueError, match="α"):
        Scale(alpha_um3_per_pg=0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.floats(-50, 50), st.integers(0, 2**31))
@example(19, 33, 0.0, 0)  # a cell of which the mask leaves no pixel
def test_cells_anything_finite_is_measured_without_a_fault(height: int, width: int, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = (level + rng.normal(0, 1, (height, width)) * rng.choice([0, 1e-3, 5])).astype(np.float32)
    cells = measure_cells(phase, rng.random((height, width)) < 0.2, Scale.of(_OPTICS), CellSettings(least_px=5))
    assert all(np.isfinite(column.astype(float)).all() for column in cells.columns.values())
    assert np.array_equal(np.unique(cells.segmentation.labels[cells.segmentation.labels > 0]), cells.columns["label"])


@pytest.mark.parametrize("x", range(20, 80, 6))
def test_cell_that_wanders_through_a_background_region_leaves_level_and_cells_as_they_are(x: int) -> None:
    phase = caps((256, 320), [(80.0, 190.0, 40.0, 3.0), (170.0, 250.0, 30.0, 2.0), (200.0, float(x), 25.0, 3.0)], 0.02)
    nothing = np.zeros(phase.shape, np.bool_)
    nothing[180:220, 20:60] = True
    cells = measure_cells(phase, background=nothing)
    assert len(cells) == 3
    assert cells.segmentation.level_rad == pytest.approx(0, abs=0.01)
    assert level_between_cells(phase, background=nothing) == cells.segmentation.level_rad
