"""Layers, blocks and previews: the values that a user sees."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import View
from qpi_live.service.viewing import frame_file as frame_files
from qpi_live.service.viewing.averager import Averager
from qpi_live.service.viewing.layers import LayerMissing, block_mean, describe, layers_of, render
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera


def phase_frame(phase_rad: np.ndarray, bit_depth: int = 8) -> PhaseFrame:
    pixels = np.arange(phase_rad.size).reshape(phase_rad.shape) % 2**bit_depth
    frame = Frame(pixels.astype(np.uint8 if bit_depth <= 8 else np.uint16), bit_depth, 0, 0, 0)
    return PhaseFrame(phase_rad.astype(np.float32), frame, EngineIdentity("fake", "fake", "cpu", "1"), {})


@pytest.fixture
def phase() -> PhaseFrame:
    y, x = np.mgrid[:90, :70]
    return phase_frame(9 * np.exp(-((y - 40) ** 2 + (x - 30) ** 2) / 300) - 0.2)


def test_phase_layer_is_the_engines_own_array(phase: PhaseFrame) -> None:
    assert render(phase, View()).values is phase.phase_rad


@pytest.mark.parametrize("downscale", [1, 2, 7])
def test_wrapped_layer_equals_the_angle_of_the_phase(phase: PhaseFrame, downscale: int) -> None:
    unwrapped = render(phase, View(downscale=downscale)).values
    wrapped = render(phase, View("wrapped", downscale=downscale)).values
    assert np.abs(wrapped).max() <= np.float32(np.pi)
    assert np.allclose(np.exp(1j * wrapped), np.exp(1j * unwrapped), atol=1e-5)


def test_interferogram_layer_keeps_the_cameras_integers() -> None:
    phase = phase_frame(np.zeros((40, 30)), bit_depth=12)
    picture = render(phase, View("interferogram"))
    assert picture.values.dtype == np.uint16
    assert np.array_equal(picture.values, phase.frame.pixels)


@pytest.mark.parametrize("edge", [2, 3, 8])
def test_block_mean_averages_whole_blocks_and_leaves_the_rest_out(edge: int) -> None:
    values = np.random.default_rng(1).normal(size=(29, 34)).astype(np.float32)
    expected = [
        [values[r : r + edge, c : c + edge].mean() for c in range(0, 34 - edge + 1, edge)]
        for r in range(0, 29 - edge + 1, edge)
    ]
    assert np.allclose(block_mean(values, edge), expected, atol=1e-6)


def test_block_mean_of_integers_is_rounded_and_never_overflows() -> None:
    assert np.array_equal(block_mean(np.full((4, 4), 65535, np.uint16), 4), np.array([[65535]], np.uint16))
    assert block_mean(np.array([[1, 2], [2, 2]], np.uint8), 2) == 2


def test_block_mean_of_blocks_larger_than_the_frame_says_so() -> None:
    with pytest.raises(ValueError, match=r"at most 30 for a frame of \(40, 30\), got 31"):
        block_mean(np.zeros((40, 30), np.float32), 31)


@pytest.mark.parametrize("layer", ["phase", "wrapped"])
def test_preview_gives_the_values_back_to_half_a_step(phase: PhaseFrame, layer: str) -> None:
    picture = render(phase, View(layer, "uint8"))
    exact = render(phase, View(layer)).values
    shown = picture.offset + picture.scale * picture.values.astype(float)
    inside = (exact >= picture.offset) & (exact <= picture.offset + 255 * picture.scale)
    assert picture.values.dtype == np.uint8
    assert inside.mean() > 0.98
    assert np.abs(shown - exact)[inside].max() <= picture.scale / 2 + 1e-5


def test_preview_with_limits_clips_at_them(phase: PhaseFrame) -> None:
    picture = render(phase, View("phase", "uint8", lo=1.0, hi=3.55))
    assert (picture.offset, picture.scale) == (1.0, pytest.approx(0.01))
    assert np.all(picture.values[phase.phase_rad <= 1] == 0)
    assert np.all(picture.values[phase.phase_rad >= 3.55] == 255)


@pytest.mark.parametrize(("bit_depth", "scale"), [(8, 1.0), (12, 4095 / 255)])
def test_preview_of_an_interferogram_spans_the_cameras_full_scale(bit_depth: int, scale: float) -> None:
    picture = render(phase_frame(np.zeros((64, 80)), bit_depth), View("interferogram", "uint8"))
    assert (picture.offset, picture.scale) == (0.0, pytest.approx(scale))
    assert picture.values.dtype == np.uint8


def test_preview_of_an_even_phase_has_a_range() -> None:
    picture = render(phase_frame(np.zeros((32, 32))), View("phase", "uint8"))
    assert picture.scale > 0
    assert np.ptp(picture.values) == 0


def test_rendered_values_cannot_be_written(phase: PhaseFrame) -> None:
    for view in (View(), View("wrapped"), View("interferogram"), View("phase", "uint8", 2), View("phase", downscale=3)):
        assert not render(phase, view).values.flags.writeable


@pytest.mark.parametrize("layer", ["phase", "wrapped", "interferogram"])
@pytest.mark.parametrize("limits", [{"lo": 255.0}, {"lo": 1e6}, {"hi": 0.0}, {"hi": -1e6}])
def test_preview_with_one_limit_beyond_the_frame_still_has_a_range(
    phase: PhaseFrame, layer: str, limits: dict[str, float]
) -> None:
    picture = render(phase, View(layer, "uint8", **limits))
    assert picture.scale > 0
    shown = (picture.offset, picture.offset + 255 * picture.scale)
    assert limits.get("lo", limits.get("hi")) == pytest.approx(shown["hi" in limits])


@pytest.fixture
def half_dark() -> PhaseFrame:
    """A phase of 0 … 1 rad whose right half is masked and stands at 99 rad."""
    phase_rad = np.tile(np.linspace(0, 1, 80), (60, 1))
    mask = np.zeros((60, 80), np.bool_)
    mask[:, 40:] = True
    phase_rad[mask] = 99
    made = phase_frame(phase_rad)
    return replace(made, amplitude=np.where(mask, 0, 50).astype(np.float32), mask=mask)


def test_preview_of_a_partly_masked_phase_takes_its_limits_from_the_rest(half_dark: PhaseFrame) -> None:
    picture = render(half_dark, View(dtype="uint8"))
    assert picture.offset + 255 * picture.scale < 1


@pytest.mark.parametrize("downscale", [1, 4])
def test_masked_pixels_are_nan_only_where_asked(half_dark: PhaseFrame, downscale: int) -> None:
    kept = render(half_dark, View(downscale=downscale)).values
    assert np.isfinite(kept).all()
    gone = render(half_dark, View(downscale=downscale, masked="nan")).values
    assert np.array_equal(np.isnan(gone), render(half_dark, View("mask", downscale=downscale)).values == 1)
    assert np.array_equal(gone[np.isfinite(gone)], kept[np.isfinite(gone)])
    assert not np.isnan(render(half_dark, View("interferogram", masked="nan")).values.astype(np.float32)).any()


def test_amplitude_and_mask_layers_show_what_the_engine_measured(half_dark: PhaseFrame) -> None:
    assert np.array_equal(render(half_dark, View("amplitude")).values, half_dark.amplitude)
    assert render(half_dark, View("mask", dtype="uint8")).values.max() == 255
    assert (View("amplitude").layer.unit, View("mask").layer.unit) == ("grey value", "1")


def test_mask_of_a_lit_frame_is_empty_and_an_engine_without_amplitude_has_neither(phase: PhaseFrame) -> None:
    lit = replace(phase, amplitude=np.ones(phase.frame.shape, np.float32))
    assert not render(lit, View("mask")).values.any()
    for layer in ("amplitude", "mask"):
        with pytest.raises(LayerMissing, match="an engine that measures the fringes"):
            render(phase, View(layer))


def test_wrapped_layer_of_a_network_is_neither_offered_nor_made_of_its_own_phase() -> None:
    measured = phase_frame(np.linspace(0, 9, 64 * 64).reshape(64, 64))
    predicted = replace(measured, engine=replace(measured.engine, name="nasprnet", kind="network"))
    with pytest.raises(LayerMissing, match="got nasprnet, which predicts the unwrapped one; the classical engine"):
        render(predicted, View("wrapped"))
    camera = FakeCamera().identity
    averager = Averager(Hub())
    live = [LiveFrame(made, camera, {}) for made in (measured, predicted)]
    offered = {one.phase.engine.kind: layers_of(one, None, averager) for one in live}
    assert "wrapped" in offered["fake"]
    assert "wrapped" not in offered["network"]


def test_frame_file_describes_its_frame_once_and_says_how_long_it_took(
    phase: PhaseFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[float] = []

    def counted(*given: Any) -> FrameHeader:
        described.append(given[-1])
        return describe(*given)

    monkeypatch.setattr(frame_files, "describe", counted)
    live = LiveFrame(phase, FakeCamera().identity, {"total": 1.0})
    file = frame_files.frame_file(live, View(), "tiff")
    assert len(described) == 1
    assert json.loads(file.header)["stages_ms"]["encode"] > 0
