from __future__ import annotations

import numpy as np
import pytest
from qpi_live.camera.optics import Optics
from qpi_live.models.analysis.outlines import outlines
from qpi_live.models.analysis.regions import Region, Role, Shape, line_profile, measure_region, union
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.segmentation import level_between_cells, segment
from skimage.draw import polygon2mask

from tests.models.analysis.discs import cap_sum, caps

_SHAPE = (200, 300)
_SCALE = Scale.of(Optics(532e-9, 3.45e-6, 40), 0.18)


def test_region_rectangle_holds_whole_pixels_between_its_corners() -> None:
    inside = Region("a", Shape.RECTANGLE, ((10, 20), (30, 60))).inside(_SHAPE)
    assert np.argwhere(inside).min(axis=0).tolist() == [10, 20]
    assert np.argwhere(inside).max(axis=0).tolist() == [29, 59]
    assert inside.sum() == 20 * 40
    assert np.array_equal(inside, Region("b", Shape.RECTANGLE, ((30, 60), (10, 20))).inside(_SHAPE))


def test_region_ellipse_has_its_area() -> None:
    assert Region("a", Shape.ELLIPSE, ((20, 30), (120, 90))).inside(_SHAPE).sum() == pytest.approx(
        np.pi * 50 * 30, rel=0.01
    )


def test_region_polygon_agrees_with_scikit_image() -> None:
    corners = ((10.3, 20.1), (150.7, 40.2), (90.4, 100.9), (180.2, 250.6), (30.1, 220.3))
    ours = Region("a", Shape.POLYGON, corners).inside(_SHAPE)
    theirs = polygon2mask(_SHAPE, np.array(corners) - 0.5)
    assert (ours != theirs).sum() <= 0.002 * theirs.sum()


@pytest.mark.parametrize("shape", list(Shape))
def test_region_beyond_the_frame_measures_what_is_inside(shape: Shape) -> None:
    points = (
        ((-50.0, -50.0), (20.0, 30.0)) if shape is not Shape.POLYGON else ((-50.0, -50.0), (20.0, -9.0), (9.0, 30.0))
    )
    figures = measure_region(np.ones(_SHAPE, np.float32), Region("a", shape, points))
    assert 0 < (figures.values["pixels"] or 0) < 20 * 31
    assert figures.values["mean_phase_rad"] == 1
    far = tuple((y + 5000, x) for y, x in points)
    gone = measure_region(np.ones(_SHAPE, np.float32), Region("a", shape, far))
    assert gone.values["pixels"] == 0
    assert gone.values["mean_phase_rad"] is None


def test_region_figures_around_a_cap_are_its_own() -> None:
    phase = caps(_SHAPE, [(100.0, 150.0, 40.0, 3.0)], level_rad=0.5)
    region = Region("cell", Shape.RECTANGLE, ((50, 100), (150, 200)))
    values = measure_region(phase, region, _SCALE, level_rad=0.5).values
    assert values["integrated_phase_rad_px"] == pytest.approx(cap_sum(40, 3), rel=0.01)
    assert values["max_phase_rad"] == pytest.approx(3.0, abs=0.01)
    assert values["min_phase_rad"] == pytest.approx(0.0, abs=1e-6)
    assert values["area_um2"] == pytest.approx(100 * 100 * (3.45 / 40) ** 2)
    mass = 0.532 / (2 * np.pi * 0.18) * (3.45 / 40) ** 2 * cap_sum(40, 3)
    assert values["dry_mass_pg"] == pytest.approx(mass, rel=0.01)
    assert values["alpha_um3_per_pg"] == 0.18
    assert values["max_opd_nm"] == pytest.approx(3 * 532 / (2 * np.pi), rel=0.01)


def test_region_histogram_counts_every_pixel() -> None:
    phase = np.random.default_rng(0).normal(0, 1, _SHAPE).astype(np.float32)
    figures = measure_region(phase, Region("a", Shape.ELLIPSE, ((0, 0), (100, 100))))
    assert figures.histogram.sum() == figures.values["pixels"]
    assert len(figures.edges_rad) == len(figures.histogram) + 1


def test_region_pixels_left_out_are_not_measured() -> None:
    phase = np.ones(_SHAPE, np.float32)
    phase[:, 150:] = 99
    left_out = phase > 2
    for shape in (Shape.RECTANGLE, Shape.LINE):
        figures = measure_region(phase, Region("a", shape, ((10, 140), (30, 290))), left_out=left_out)
        assert figures.values["max_phase_rad"] == 1


def test_line_profile_is_linear_on_a_ramp() -> None:
    phase = (np.mgrid[:200, :300][1] * 0.1).astype(np.float32)
    profile = line_profile(phase, [(100.5, 10.5), (100.5, 110.5)])
    assert profile == pytest.approx(np.linspace(1, 11, 101), abs=1e-4)
    length = measure_region(phase, Region("l", Shape.LINE, ((0, 0), (30, 40))), _SCALE).values["length_um"]
    assert length == pytest.approx(50 * 3.45 / 40)


def test_level_of_a_background_region_is_its_own() -> None:
    phase = caps(_SHAPE, [(100.0, 150.0, 40.0, 3.0)], noise_rad=0.02, level_rad=0.7)
    regions = [
        Region("empty", Shape.RECTANGLE, ((0, 0), (40, 300)), Role.BACKGROUND),
        Region("dirt", Shape.RECTANGLE, ((180, 0), (200, 300)), Role.EXCLUDED),
    ]
    assert level_between_cells(phase, None, union(regions, Role.BACKGROUND, _SHAPE)) == pytest.approx(0.7, abs=0.01)
    excluded = union(regions, Role.EXCLUDED, _SHAPE)
    assert excluded is not None
    assert excluded.sum() == 20 * 300
    assert union(regions, Role.MEASURE, _SHAPE) is None


@pytest.mark.parametrize(
    ("shape", "points", "role"),
    [
        (Shape.RECTANGLE, ((0, 0),), Role.MEASURE),
        (Shape.POLYGON, ((0, 0), (1, 1)), Role.MEASURE),
        (Shape.ELLIPSE, ((0, 0), (1, 1), (2, 2)), Role.MEASURE),
        (Shape.LINE, ((0, 0), (1, float("nan"))), Role.MEASURE),
        (Shape.LINE, ((0, 0), (1, 1)), Role.BACKGROUND),
    ],
)
def test_region_impossible_one_is_refused(shape: Shape, points: tuple[tuple[float, float], ...], role: Role) -> None:
    with pytest.raises(ValueError, match="expected"):
        Region("a", shape, points, role)


def test_outlines_enclose_their_cells() -> None:
    found = segment(caps((512, 512), [(100, 100, 40, 3), (300, 300, 60, 3), (300, 415, 50, 3)], 0.05))
    drawn = outlines(found)
    assert len(drawn) == found.count == 3
    for label, corners in enumerate(drawn, start=1):
        enclosed = Region("a", Shape.POLYGON, tuple(map(tuple, corners.tolist()))).inside((512, 512))
        blocks = np.kron(found.coarse_labels == label, np.ones((found.block_px, found.block_px), bool))
        assert np.array_equal(enclosed, blocks)
