"""The background fit takes off what is the instrument's and leaves what is the sample's."""

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.classical.aberration import block_means
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.plateaus import on_one_level

SHAPE = (512, 480)


def aberration(order: int) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    terms = [
        2.0 + 0 * x,
        5 * x - 7 * y,
        9 * x**2 + 6 * y * x - 4 * y**2,
        5 * x**3 - 6 * x * y**2,
        4 * (x**2 + y**2) ** 2,
    ]
    return sum(terms[: order + 1])


def cells(coverage: float, seed: int = 0) -> NDArray[np.float64]:
    """Round caps of 4–10 rad until they cover the asked part of the frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    phase = np.zeros(SHAPE)
    while np.mean(phase > 0) < coverage:
        square = ((y - rng.uniform(0, SHAPE[0])) ** 2 + (x - rng.uniform(0, SHAPE[1])) ** 2) / rng.uniform(20, 50) ** 2
        phase = np.maximum(phase, rng.uniform(4, 10) * np.sqrt(np.clip(1 - square, 0, None)))
    return phase


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_remove_from_an_empty_frame_leaves_nothing(order: int) -> None:
    phase = (aberration(order) + np.random.default_rng(0).normal(0, 0.05, SHAPE)).astype(np.float32)
    BackgroundFit(SHAPE, order).remove(phase)
    assert abs(phase.mean()) < 0.01
    assert phase.std() < 0.06


@pytest.mark.parametrize("coverage", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("threads", [1, 3])
def test_remove_under_cells_leaves_the_cells(coverage: float, threads: int) -> None:
    true = cells(coverage)
    phase = (true + aberration(4) + np.random.default_rng(1).normal(0, 0.05, SHAPE)).astype(np.float32)
    BackgroundFit(SHAPE, 4, threads).remove(phase)
    assert np.sqrt(np.mean((phase - true) ** 2)) < 0.1


def test_remove_of_a_negative_phase_is_the_negative() -> None:
    phase = (cells(0.4) + aberration(4)).astype(np.float32)
    mirrored = -phase
    BackgroundFit(SHAPE, 4).remove(phase)
    BackgroundFit(SHAPE, 4).remove(mirrored)
    assert np.abs(phase + mirrored).max() < 1e-3


@pytest.mark.parametrize("edge", [64, 96, 128, 200])
def test_remove_on_a_small_frame_leaves_its_cell(edge: int) -> None:
    y, x = np.mgrid[:edge, :edge] / edge - 0.5
    true = 5 * np.sqrt(np.clip(1 - ((y - 0.05) ** 2 + x**2) / 0.2**2, 0, None))
    noise = np.random.default_rng(0).normal(0, 0.05, true.shape)
    phase = (true + 4 * x - 3 * y + 6 * (x**2 + y**2) + noise).astype(np.float32)
    BackgroundFit((edge, edge), 4).remove(phase)
    assert np.sqrt(np.mean((phase - true) ** 2)) < 0.1


def test_remove_returns_the_polynomial_that_it_took_off() -> None:
    before = (cells(0.2) + aberration(4)).astype(np.float32)
    after = before.copy()
    coefficients = BackgroundFit(SHAPE, 4).remove(after).coefficients
    y, x = np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1])
    assert np.abs(before - after - np.polynomial.polynomial.polygrid2d(y, x, coefficients)).max() < 1e-4


def objects_of_both_signs(shape: tuple[int, int], coverage: float, seed: int) -> NDArray[np.float64]:
    """Discs, bars and caps of ±0.5 … 3 rad until they cover the asked part of the frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    phase = np.zeros(shape)
    while np.mean(phase != 0) < coverage:
        inside = 1 - ((y - rng.uniform(-1, 1)) / rng.uniform(0.05, 0.35)) ** 2
        inside -= ((x - rng.uniform(-1, 1)) / rng.uniform(0.05, 0.35)) ** 2
        height = rng.choice([-1, 1]) * rng.uniform(0.5, 3)
        height *= np.sqrt(np.clip(inside, 0, None)) if rng.random() < 0.5 else 1
        phase = np.where(inside > 0, height, phase)
    return phase


@pytest.mark.parametrize("seed", range(12))
def test_remove_under_objects_of_both_signs_leaves_a_flat_ground(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = [(128, 160), (256, 256), (400, 320), (512, 640)][seed % 4]
    true = objects_of_both_signs(shape, rng.uniform(0.1, 0.4), seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    order = 1 + seed % 4
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    under = sum(rng.normal(0, 4 / (1 + i + j)) * y**i * x**j for i, j in terms)
    phase = (true + under + rng.normal(0, 0.03, shape)).astype(np.float32)
    BackgroundFit(shape).remove(phase)
    ground = true == 0
    assert np.sqrt(np.mean(phase[ground] ** 2)) < 0.06
    assert np.sqrt(np.mean((phase - true) ** 2)) < 0.08


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_fit_rises_no_higher_than_the_ground_asks_for(order: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, SHAPE)
    phase = (objects_of_both_signs(SHAPE, 0.3, 1) + aberration(order) + noise).astype(np.float32)
    assert BackgroundFit(SHAPE).remove(phase).order == order


def step_over(shape: tuple[int, int], coverage: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A straight edge at any angle, hard or soft, with a plateau of ±0.3 … 3 rad on one side."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.sin(angle) * y + np.cos(angle) * x
    beyond = along - np.quantile(along, 1 - coverage)
    height = rng.choice([-1, 1]) * rng.uniform(0.3, 3)
    return height / 2 * (1 + np.tanh(beyond / rng.choice([1e-6, 0.01])))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_remove_under_a_step_leaves_the_step_whatever_the_aberration(order: int, seed: int) -> None:
    rng = np.random.default_rng(10 * order + seed)
    shape = [(256, 320), (512, 480), (300, 300)][seed % 3]
    true = step_over(shape, rng.uniform(0.35, 0.5), rng)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    under = sum(rng.normal(0, 4 / (1 + i + j)) * y**i * x**j for i, j in terms)
    phase = (true + under + rng.normal(0, 0.03, shape)).astype(np.float32)
    BackgroundFit(shape).remove(phase)
    off = phase - true
    assert np.sqrt(np.mean((off - off.mean()) ** 2)) < 0.06


@pytest.mark.parametrize("swing_rad", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("turns", [0.75, 1.0, 3.2, 9.0])
def test_remove_of_a_ripple_takes_no_crests_for_a_second_level(swing_rad: float, turns: float) -> None:
    ripple = swing_rad * np.sin(np.linspace(0, 2 * np.pi * turns, SHAPE[1]))[None, :] * np.ones(SHAPE)
    noise = np.random.default_rng(0).normal(0, 0.03, SHAPE)
    means, _ = block_means((ripple + noise).astype(np.float32), BackgroundFit(SHAPE).block_px, None)
    assert on_one_level(means, means, None) is means


def test_remove_under_dense_cells_takes_no_cells_for_a_second_level() -> None:
    for seed in range(6):
        true = cells(0.6, seed)
        phase = (true + aberration(2) + np.random.default_rng(seed).normal(0, 0.05, SHAPE)).astype(np.float32)
        fit = BackgroundFit(SHAPE)
        means, _ = block_means(phase, fit.block_px, None)
        left, _ = block_means((phase - aberration(2)).astype(np.float32), fit.block_px, None)
        assert on_one_level(means, left, None) is means


def test_fit_does_not_extrapolate_beyond_the_ground() -> None:
    """Ground over a third of the frame: what order 4 says of the rest would be noise, raised to hundreds of radians."""
    noise = np.random.default_rng(0).normal(0, 0.05, SHAPE)
    under = aberration(1)
    rough = np.random.default_rng(1).uniform(2, 8, SHAPE)
    rough[:, : SHAPE[1] // 3] = 0
    phase = (under + rough + noise).astype(np.float32)
    before = phase.copy()
    BackgroundFit(SHAPE).remove(phase)
    assert np.abs(before - phase - under).max() < 2


def test_remove_leaves_masked_pixels_out() -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    mask = y**2 + x**2 > 0.7
    true = np.where(mask, np.random.default_rng(0).uniform(-90, 90, SHAPE), cells(0.2))
    phase = (true + aberration(2) + np.random.default_rng(1).normal(0, 0.05, SHAPE)).astype(np.float32)
    BackgroundFit(SHAPE).remove(phase, mask)
    assert np.sqrt(np.mean((phase - true)[~mask] ** 2)) < 0.07


def test_remove_with_everything_masked_changes_nothing() -> None:
    phase = np.random.default_rng(0).uniform(-9, 9, SHAPE).astype(np.float32)
    before = phase.copy()
    aberration = BackgroundFit(SHAPE).remove(phase, np.ones(SHAPE, np.bool_))
    assert aberration.order == 0
    assert np.array_equal(phase, before)


@pytest.mark.parametrize("shape", [(36672, 64), (64, 20000)])
def test_tall_and_wide_frames_have_no_more_blocks_than_square_ones(shape: tuple[int, int]) -> None:
    block_y, block_x = BackgroundFit(shape).block_px
    assert (shape[0] // block_y) * (shape[1] // block_x) <= 1 << 14


def test_order_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="order of 0 to 6, got 7"):
        BackgroundFit(SHAPE, 7)
