"""Writes a trained network as ONNX: grey values in, phase in rad out, and nothing that disagrees with torch."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.agreement import Agreement, Probe, compare
from qpi_live.models.artifacts.checksum import forget_checksum, note_checksum
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.export.precision import check_precision, stamped, to_fp16, to_int8
from qpi_live.models.metrics import PHASE_RANGE_RAD
from qpi_live.models.nets.blocks import LEVEL_STRIDES
from qpi_live.models.nets.nas_prnet import NasPRNet
from qpi_live.models.nets.super_prnet import SuperPRNet
from qpi_live.models.training.checkpoint import Checkpoint
from torch import Tensor, nn
from torch.export import Dim

_LARGEST_DIFFERENCE_RAD = 1e-3
_OPSET = 18
_INPUT, _OUTPUT = "interferogram", "phase_rad"
_UNET_STRIDE = 16


class ExportError(RuntimeError):
    """The exported network disagrees with the trained one; nothing was written."""


class GreyToPhase(nn.Module):
    """A network with its scaling inside: (H, W) uint8 or uint16 grey values to (H, W) float32 phase in rad."""

    def __init__(self, net: nn.Module, bit_depth: int) -> None:
        super().__init__()
        self.net = net
        self.full_scale = float(2**bit_depth - 1)

    def forward(self, interferogram: Tensor) -> Tensor:
        """See the class."""
        scaled = interferogram[None, None].to(torch.float32) / self.full_scale
        return cast(Tensor, self.net(scaled))[0, 0] * PHASE_RANGE_RAD


def export(
    checkpoint: Checkpoint,
    path: Path,
    probes: Sequence[Probe],
    *,
    precision: str = "fp32",
    shape: tuple[int, int] | None = None,
) -> Agreement:
    """Write `path`, and its checksum beside it, if ONNX Runtime agrees with torch on every probe.

    Args:
        checkpoint: of `qpi train`.
        path: the ONNX file; replaced only by a file that agrees.
        probes: frames of the instrument; int8 is calibrated on the first half of them and compared on the rest.
        precision: `fp32`, `fp16` or `int8` (static, QDQ).
        shape: fixed (H, W); None: any that the network's strides allow.

    Raises:
        ExportError: fp32 differs by 1e-3 rad or more, or fp16 or int8 loses more than 0.1 or 0.5 dB of PSNR.
        ValueError: no such precision, or too few probes.
    """
    check_precision(precision)
    if len(probes) < 2:
        raise ValueError(f"expected at least two frames to compare on, got {len(probes)}")
    card = describe(checkpoint, precision, shape)
    net = GreyToPhase(checkpoint.network(), card.bit_depth).eval()
    model = _fp32(net, probes[0].pixels, card)
    compared = list(probes)
    if precision == "fp16":
        model = to_fp16(model)
    elif precision == "int8":
        half = len(probes) // 2
        model = to_int8(model, [probe.pixels for probe in probes[:half]])
        compared = list(probes[half:])
    model = stamped(model, card.metadata())
    with whole_file(path) as written:
        onnx.save(model, written)
        agreement = _compare(net, written, compared)
        _refuse_disagreement(agreement, precision)
        forget_checksum(path)
    note_checksum(path)
    return agreement


def describe(checkpoint: Checkpoint, precision: str, shape: tuple[int, int] | None) -> NetworkCard:
    """The card of a checkpoint's network."""
    data = checkpoint.record.data
    if data is None:
        raise ValueError("expected a checkpoint that was trained on pairs, got one that does not say on what")
    return NetworkCard(
        net=checkpoint.spec.name,
        precision=precision,
        connections=tuple(connection.name for connection in checkpoint.spec.connections),
        stride=_stride(checkpoint.spec.build()),
        shape=shape,
        bit_depth=data.bit_depth,
        phase_range_rad=PHASE_RANGE_RAD,
        psnr_db=round(checkpoint.psnr_db, 2),
        samples=checkpoint.samples,
        trained_s=round(checkpoint.elapsed_s),
        instrument=data.origin.instrument,
        commit=commit(),
    )


def _compare(net: nn.Module, path: Path, probes: Sequence[Probe]) -> Agreement:
    """Of ONNX Runtime with torch, the reference."""
    session = open_session(path)

    def in_torch(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            return cast(NDArray[np.float32], net(torch.from_numpy(pixels.copy())).numpy())

    return compare(in_torch, lambda pixels: session.run(None, {_INPUT: pixels})[0], probes)


def _refuse_disagreement(agreement: Agreement, precision: str) -> None:
    if precision == "fp32":
        if not agreement.largest_difference_rad < _LARGEST_DIFFERENCE_RAD:
            raise ExportError(
                f"expected ONNX Runtime within {_LARGEST_DIFFERENCE_RAD} rad of torch, got "
                f"{agreement.largest_difference_rad:.2g} rad; nothing was written"
            )
        return
    refusal = agreement.why_refused(precision)
    if refusal:
        raise ExportError(f"{refusal}; nothing was written, use fp32")


def _fp32(net: nn.Module, pixels: Pixels, card: NetworkCard) -> onnx.ModelProto:
    stride, shape = card.stride, card.shape
    height, width = shape or (3 * stride, 4 * stride)
    example = torch.from_numpy(np.zeros((height, width), pixels.dtype))
    sides = None
    if shape is None:
        sides = ({axis: stride * Dim(name, min=3, max=128) for axis, name in enumerate(("rows", "columns"))},)
    program = torch.onnx.export(
        net,
        (example,),
        dynamo=True,
        opset_version=_OPSET,
        input_names=[_INPUT],
        output_names=[_OUTPUT],
        dynamic_shapes=sides,
        verbose=False,
    )
    if program is None:
        raise ExportError("expected a graph from torch, got none")
    return program.model_proto


def _stride(net: nn.Module) -> int:
    if isinstance(net, NasPRNet):
        return LEVEL_STRIDES[len(net.encoder.stages) - 1]
    return max(LEVEL_STRIDES) if isinstance(net, SuperPRNet) else _UNET_STRIDE


def commit() -> str:
    """The commit of this code; `unknown` outside of a clone."""
    try:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
