"""The layers a frame can be shown as: which values, at what scale, in which dtype."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, pi
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.phase_frame import PhaseFrame, wrap
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import Layer, View
from qpi_live.service.viewing.averager import Averager
from qpi_live.service.viewing.baseline import Baseline
from qpi_live.service.wire import EngineField, FrameHeader, pack

_PREVIEW_PERCENTILES = (0.5, 99.5)
_LONGEST_TEXT = 600
_PREVIEW_STEP = 0.1  # rad; limits are rounded outwards to it, so that they do not flicker with every frame


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A rendered view: `values` (H, W), read-only, with value = offset + scale × values in rad or grey values."""

    values: NDArray[Any]
    scale: float
    offset: float


class NotShown(ValueError):
    """The frame cannot be shown as it was asked for; the text says why, `reason` in a word or three."""

    reason = "not shown"


class LayerMissing(NotShown):
    """The frame has no such layer; the text says what would give it one."""

    reason = "no such layer"


class BlocksTooLarge(NotShown):
    """The blocks of pixels that are averaged into one are larger than the frame."""

    reason = "downscale too large"


def layers_of(live: LiveFrame, baseline: Baseline | None, averager: Averager) -> list[Layer]:
    """What the frame can be shown as."""
    layers: list[Layer] = [Layer.PHASE, Layer.INTERFEROGRAM]
    if _is_measured(live.phase):
        layers.insert(1, Layer.WRAPPED)
    if live.phase.amplitude is not None:
        layers += [Layer.AMPLITUDE, Layer.MASK]
    if live.phase.network_rad is not None:
        layers.append(Layer.NETWORK)
    if baseline is not None and baseline.is_beside(live):
        layers.append(Layer.BASELINE)
    if live.frame.true_phase_rad is not None:
        layers.append(Layer.TRUE)
    return [*layers, Layer.GRADIENT, Layer.DIC, Layer.DARKFIELD, *averager.layers(live)]


def render(phase: PhaseFrame, view: View) -> Picture:
    """What `view` shows of `phase`.

    Raises:
        BlocksTooLarge: the blocks are larger than the frame.
        LayerMissing: the engine gives no such layer.
    """
    values = _layer_values(phase, view)
    mask = None if phase.mask is None else block_mean(phase.mask.view(np.uint8), view.downscale) > 0
    if view.dtype == "uint8":
        return _preview(values, view, 2**phase.frame.bit_depth - 1, mask)
    if view.masked == "nan" and mask is not None and view.layer.unit == "rad":
        values = np.where(mask, np.float32(np.nan), values)
    values.flags.writeable = False
    return Picture(values, 1.0, 0.0)


def describe(live: LiveFrame, phase: PhaseFrame, view: View, picture: Picture, encode_ms: float) -> FrameHeader:
    """The header that travels with `picture` of `phase`."""
    frame, engine, quality = live.frame, phase.engine, phase.quality
    optics = frame.optics
    object_pixel_m = optics.object_pixel_m if optics else None
    height, width = picture.values.shape
    return FrameHeader(
        sequence=frame.sequence,
        captured_ns=frame.captured_ns,
        device_id=frame.device_id,
        device_timestamp_ns=frame.device_timestamp_ns,
        epoch=frame.epoch,
        camera=live.camera.source[:_LONGEST_TEXT],
        camera_settings=dict(live.camera.settings),
        layer=view.layer,
        shape=(height, width),
        dtype=picture.values.dtype.name,
        unit=view.layer.unit,
        scale=picture.scale,
        offset=picture.offset,
        downscale=view.downscale,
        bit_depth=frame.bit_depth,
        wavelength_m=optics.wavelength_m if optics else None,
        object_pixel_m=object_pixel_m * view.downscale if object_pixel_m else None,
        engine=EngineField(
            name=engine.name, kind=engine.kind, device=engine.device, version=engine.version, detail=dict(engine.detail)
        ),
        stages_ms={**live.stages_ms, "encode": encode_ms},
        residues=quality.residues,
        disputed_pixels=quality.disputed_pixels,
        bright_cut_links=quality.bright_cut_links,
        carrier_strength=quality.carrier_strength,
        fringe_contrast=quality.fringe_contrast,
        saturated_share=quality.saturated_share,
        fringes=quality.fringes,
        masked_share=quality.masked_share,
        background_doubt_rad=quality.background_doubt_rad,
        averaged_frames=phase.averaged_frames,
        warning=quality.warning and quality.warning[:_LONGEST_TEXT],
    )


def message(live: LiveFrame, phase: PhaseFrame, view: View, latencies: LatencyBook) -> bytearray:
    """The stream's message for `view` of `phase`, which is `live`'s or was made of its frame.

    Raises:
        BlocksTooLarge: the blocks are larger than the frame.
    """
    start_ns = perf_counter_ns()
    picture = render(phase, view)

    def header() -> FrameHeader:
        encode_ms = (perf_counter_ns() - start_ns) / 1e6
        latencies.record({"encode": encode_ms})
        return describe(live, phase, view, picture, encode_ms)

    return pack(header, picture.values)


def check_downscale(downscale: int, shape: tuple[int, int]) -> None:
    """Raise BlocksTooLarge where blocks of `downscale` pixels do not fit into a frame of `shape`."""
    if downscale > min(shape):
        raise BlocksTooLarge(f"expected a downscale of at most {min(shape)} for a frame of {shape}, got {downscale}")


def _layer_values(phase: PhaseFrame, view: View) -> NDArray[Any]:
    if view.layer is Layer.INTERFEROGRAM:
        return block_mean(phase.frame.pixels, view.downscale)
    if view.layer in (Layer.AMPLITUDE, Layer.MASK):
        if phase.amplitude is None:
            raise LayerMissing(
                f"expected an engine that measures the fringes, got {phase.engine.name}; the classical engine does"
            )
        if view.layer is Layer.AMPLITUDE:
            return block_mean(phase.amplitude, view.downscale)
        mask = np.zeros(phase.frame.shape, np.uint8) if phase.mask is None else phase.mask.view(np.uint8)
        return block_mean(mask, view.downscale)
    if view.layer is Layer.NETWORK:
        if phase.network_rad is None:
            raise LayerMissing(
                f"expected a network beside the measured phase, got {phase.engine.name} without one; "
                "the engine fused has one where it was trained for the stream"
            )
        return block_mean(phase.network_rad, view.downscale)
    if view.layer is Layer.WRAPPED and not _is_measured(phase):
        raise LayerMissing(
            f"expected an engine that measures the phase modulo 2π, got {phase.engine.name}, which predicts the "
            "unwrapped one; the classical engine measures it"
        )
    unwrapped = block_mean(phase.phase_rad, view.downscale)
    # A mean of wrapped values would be wrong wherever the phase wraps inside a block: average first, wrap then.
    return wrap(unwrapped) if view.layer is Layer.WRAPPED else unwrapped


def _is_measured(phase: PhaseFrame) -> bool:
    """Whether it was made of the fringes' own phase; a network's, wrapped again, would only look as if it was."""
    return phase.engine.kind != "network"


def block_mean(values: NDArray[Any], edge: int) -> NDArray[Any]:
    """(H, W) → (H // edge, W // edge) means over blocks, in the dtype that came in (integers rounded)."""
    if edge == 1:
        return values
    check_downscale(edge, (values.shape[0], values.shape[1]))
    height, width = values.shape[0] // edge, values.shape[1] // edge
    whole = values[: height * edge, : width * edge]
    # Rows first: sums of whole rows run at memory speed, and leave little for the slower sums along rows.
    rows = whole.reshape(height, edge, width * edge).mean(axis=1, dtype=np.float32)
    means = rows.reshape(height, width, edge).mean(axis=2, dtype=np.float32)
    blocks: NDArray[Any] = np.rint(means).astype(values.dtype) if values.dtype.kind == "u" else means
    return blocks


def _preview(values: NDArray[Any], view: View, full_scale: int, mask: NDArray[np.bool_] | None) -> Picture:
    lo, hi = _limits(values, view, full_scale, mask)
    scale = (hi - lo) / 255
    if scale == 1.0 and lo == 0.0 and values.dtype == np.uint8:
        values.flags.writeable = False
        return Picture(values, 1.0, 0.0)
    steps = (values - np.float32(lo)) * np.float32(1 / scale)
    np.clip(np.rint(steps, out=steps), 0, 255, out=steps)
    preview = steps.astype(np.uint8)
    preview.flags.writeable = False
    return Picture(preview, scale, lo)


def _limits(values: NDArray[Any], view: View, full_scale: int, mask: NDArray[np.bool_] | None) -> tuple[float, float]:
    if view.layer is Layer.INTERFEROGRAM:
        lo, hi = 0.0, float(full_scale)
    elif view.layer is Layer.WRAPPED:
        lo, hi = -pi, pi
    elif view.layer in (Layer.MASK, Layer.DIC):
        lo, hi = 0.0, 1.0
    else:
        step = max(1, min(values.shape) // 256)
        sample = values[::step, ::step].astype(np.float32)
        if mask is not None and not mask[::step, ::step].all():
            sample = sample[~mask[::step, ::step]]
        low, high = (float(limit) for limit in np.percentile(sample, _PREVIEW_PERCENTILES))
        lo = 0.0 if view.layer is Layer.AMPLITUDE else floor(low / _PREVIEW_STEP) * _PREVIEW_STEP
        hi = max(ceil(high / _PREVIEW_STEP) * _PREVIEW_STEP, lo + _PREVIEW_STEP)
    # A limit that was set beyond the frame's own other one pushes that away: a preview always spans a range.
    if view.lo is not None:
        lo, hi = view.lo, max(hi, view.lo + _PREVIEW_STEP)
    if view.hi is not None:
        lo, hi = (lo if view.lo is not None else min(lo, view.hi - _PREVIEW_STEP)), view.hi
    return lo, hi
