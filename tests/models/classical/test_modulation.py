"""What has no fringes is left out; what has is not."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.classical.dark_rims import dark_rims
from qpi_live.models.classical.modulation import low_modulation
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.phase_frame import PhaseFrame

from tests.models.chains import CHAINS
from tests.models.fringes import bump, frame, interferogram

SHAPE = (256, 320)
Retrieve = Callable[[Pixels], PhaseFrame]


def partly_lit(phase_rad: NDArray[np.floating], lit: NDArray[np.floating], contrast: float = 0.4) -> Pixels:
    """12-bit fringes of which only a share `lit` is there; the rest is grey noise."""
    y, x = np.mgrid[: phase_rad.shape[0], : phase_rad.shape[1]]
    level = 0.1 + lit * (0.4 + contrast * np.cos(2 * np.pi * (0.21 * y + 0.26 * x) + phase_rad))
    level += np.random.default_rng(0).normal(0, 0.003, phase_rad.shape)
    return np.rint(np.clip(level, 0, 1) * 4095).astype(np.uint16)


def disc(radius: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 < radius**2).astype(np.float64)


@pytest.fixture(params=CHAINS)
def retrieved(request: pytest.FixtureRequest) -> Retrieve:
    make = CHAINS[request.param]
    return lambda pixels: make(EngineOptions()).retrieve(frame(pixels, 12))


def tilted(shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return 4 * x - 3 * y + 3 * (x**2 + y**2)


@pytest.mark.parametrize("contrast", [0.4, 0.1])
def test_round_field_is_right_inside_and_masked_outside(retrieved: Retrieve, contrast: float) -> None:
    true, lit = bump(SHAPE, 4), disc(110)
    made = retrieved(partly_lit(true + tilted(), lit, contrast))
    assert made.mask is not None
    inside, outside = disc(104) > 0, disc(122) == 0
    assert not made.mask[inside].any()
    assert made.mask[outside].all()
    assert np.sqrt(np.mean((made.phase_rad - true)[inside] ** 2)) < 0.1
    assert made.quality.masked_share == pytest.approx(float(made.mask.mean()))


@pytest.mark.parametrize("radius", [35, 50, 70])
def test_small_round_field_is_right_inside_and_masked_outside(retrieved: Retrieve, radius: int) -> None:
    """Less than a quarter of the frame is lit."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = ((y - SHAPE[0] / 2 - 3) ** 2 + (x - SHAPE[1] / 2 + 4) ** 2) / (0.4 * radius) ** 2
    true = 4 * np.sqrt(np.clip(1 - square, 0, None)) ** 1.5
    made = retrieved(partly_lit(true + tilted(), disc(radius)))
    assert made.mask is not None
    inside, outside = disc(radius - 7) > 0, disc(radius + 14) == 0
    assert not made.mask[inside].any()
    assert made.mask[outside].all()
    assert np.sqrt(np.mean((made.phase_rad - true)[inside] ** 2)) < 0.1
    assert made.quality.warning is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("parting", ["wire", "two discs", "cross"])
def test_parts_that_a_mask_separates_lie_on_one_level_and_decide_no_wrong_sign(
    retrieved: Retrieve, parting: str, sign: int
) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lit = {
        "wire": np.abs(x - 0.6 * y - 80) > 14,
        "two discs": ((y - 128) ** 2 + (x - 80) ** 2 < 72**2) | ((y - 128) ** 2 + (x - 240) ** 2 < 66**2),
        "cross": (np.abs(x - 190) > 12) & (np.abs(y - 100) > 12),
    }[parting]
    cells = [(60, 60), (150, 90), (140, 260), (160, 225)]
    true = sum(3 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / 9.0**2) for cy, cx in cells)
    made = retrieved(partly_lit(sign * true + 2 * tilted(), lit.astype(np.float64)))
    assert made.mask is not None
    assert made.quality.disputed_pixels > 0.01 * lit.size
    assert "part" in str(made.quality.warning)
    seen = ~made.mask
    assert seen.mean() > 0.3
    assert np.sqrt(np.mean((made.phase_rad - true)[seen] ** 2)) < 0.15


@pytest.mark.parametrize("rows", [slice(0, 30), slice(-30, None), slice(100, 130)])
def test_black_strip_is_masked_and_changes_neither_sign_nor_ground(retrieved: Retrieve, rows: slice) -> None:
    true, lit = bump(SHAPE, 4), np.ones(SHAPE)
    lit[rows] = 0
    made = retrieved(partly_lit(true + tilted(), lit))
    assert made.mask is not None
    assert made.mask[rows].mean() > 0.9
    seen = ~made.mask
    assert seen.mean() > 0.8
    assert np.sqrt(np.mean((made.phase_rad - true)[seen] ** 2)) < 0.15


@pytest.mark.parametrize("contrast", [0.4, 0.02])
def test_lit_frame_has_no_mask_however_weak_its_fringes(retrieved: Retrieve, contrast: float) -> None:
    made = retrieved(partly_lit(bump(SHAPE, 4), np.ones(SHAPE), contrast))
    assert made.mask is None
    assert made.quality.masked_share == 0
    assert made.amplitude is not None
    assert float(np.median(made.amplitude)) == pytest.approx(contrast * 4095 / 2, rel=0.1)


def test_dim_rims_of_cells_are_not_masked() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(y - 140, x - 150)
    amplitude = np.where(np.abs(distance - 50) < 2, 0.05, 1.0) * np.ones(SHAPE)
    assert low_modulation(amplitude.astype(np.float32)) is None


def test_uneven_light_is_not_masked_and_an_obstruction_in_it_is() -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    light = np.exp(-(y**2 + x**2) * 0.8).astype(np.float32)
    assert low_modulation(light) is None
    light[60:100, 200:260] *= 0.03
    mask = low_modulation(light)
    assert mask is not None
    assert mask[64:96, 204:256].all()
    assert mask.mean() < 0.06


@pytest.mark.parametrize("width", [6, 9, 16])
@pytest.mark.parametrize("carrier", [(0.18, 0.0), (0.0, 0.18), (0.21, 0.26)])
@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_rim_without_light_is_masked_as_far_as_its_edge_rings(
    width: int, carrier: tuple[float, float], side: str
) -> None:
    """An edge that is so sharp passes for fringes, in the rim and beside it, so that the amplitude does not tell."""
    true = bump(SHAPE, 4)
    lit = np.ones(SHAPE, np.bool_)
    lines = lit if side in ("top", "bottom") else lit.T
    (lines if side in ("top", "left") else lines[::-1])[:width] = False
    grey = interferogram(true, carrier) * np.where(lit, 1.0, 0.01)
    made = ClassicalEngine(EngineOptions(threads=1, carrier_cycles_per_px=carrier)).retrieve(
        frame(np.rint(grey).astype(np.uint8))
    )
    assert made.mask is not None
    assert made.mask[~lit].all()
    assert made.mask.mean() < 0.2
    beside = (
        np.pad(~made.mask[24:-24], ((24, 24), (0, 0)))
        if lines is not lit
        else np.pad(~made.mask[:, 24:-24], ((0, 0), (24, 24)))
    )
    opposite = beside if lines is lit else beside.T
    (opposite[::-1] if side in ("top", "left") else opposite)[:24] = False  # other edges ring as in any frame
    off = (made.phase_rad - true)[beside]
    assert np.abs(off - np.median(off)).max() < 0.5
    assert off.std() < 0.1


@pytest.mark.parametrize("carrier", [(0.04, 0.0), (0.0, 0.05), (0.25, 0.0), (0.21, 0.26), (0.03, 0.03)])
@pytest.mark.parametrize("phase_rad", [0.0, 2.0, np.pi, 4.3])
def test_frame_that_begins_in_a_trough_or_fades_to_its_rim_has_no_dark_rim(
    carrier: tuple[float, float], phase_rad: float
) -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    pixels = np.mgrid[: SHAPE[0], : SHAPE[1]]
    fringes = 1 + np.cos(2 * np.pi * (carrier[0] * pixels[0] + carrier[1] * pixels[1]) + phase_rad)
    for fading in (0.0, 1.5, 3.0):
        grey = np.rint(120 * fringes * np.exp(-fading * (y**2 + x**2))).astype(np.uint8)
        assert dark_rims(grey, Carrier(*carrier), 8) is None
