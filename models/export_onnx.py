"""Writes a trained network as ONNX: grey values in, phase in rad out, and nothing that disagrees with torch."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn
from torch.export import Dim

from camera.frame import Pixels
from camera.instrument import Instrument
from models.checkpoint import Checkpoint
from models.data import PHASE_RANGE_RAD
from models.identity import NetworkIdentity
from models.metrics import psnr_db
from models.nets.blocks import LEVEL_STRIDES
from models.nets.nas_prnet import NasPRNet
from models.nets.super_prnet import SuperPRNet

PRECISIONS = ("fp32", "fp16", "int8")
_LARGEST_DIFFERENCE_RAD = 1e-3
_LARGEST_LOSS_DB = {"fp16": 0.1, "int8": 0.5}
_OPSET = 18
_INPUT, _OUTPUT = "interferogram", "phase_rad"
_UNET_STRIDE = 16


class ExportError(RuntimeError):
    """The exported network disagrees with the trained one; nothing was written."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A frame to compare on: (H, W) grey values and, for the precisions that lose some, its true phase in rad."""

    pixels: Pixels
    phase_rad: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an exported file agrees with torch: largest difference in rad, and median PSNR against the truth, in dB."""

    largest_difference_rad: float
    psnr_db: float
    torch_psnr_db: float


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
    """Write `path`, if ONNX Runtime agrees with torch on every probe.

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
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision among {', '.join(PRECISIONS)}, got {precision!r}")
    if len(probes) < 2:
        raise ValueError(f"expected at least two frames to compare on, got {len(probes)}")
    identity = describe(checkpoint, precision, shape)
    net = GreyToPhase(checkpoint.network(), identity.bit_depth).eval()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        written = Path(scratch) / "fp32.onnx"
        _write_fp32(net, written, probes[0].pixels, identity)
        compared = list(probes)
        if precision == "fp16":
            written = _to_fp16(written)
        elif precision == "int8":
            half = len(probes) // 2
            written = _to_int8(written, [probe.pixels for probe in probes[:half]])
            compared = list(probes[half:])
        _stamp(written, identity.to_metadata())
        agreement = compare(net, written, compared)
        _refuse_disagreement(agreement, precision)
        os.replace(written, path)
    return agreement


def describe(checkpoint: Checkpoint, precision: str, shape: tuple[int, int] | None) -> NetworkIdentity:
    """The passport of a checkpoint's network."""
    data = json.loads(checkpoint.record["data"])
    origin: Mapping[str, Any] = data["origin"]
    instrument = Instrument.from_json(origin["instrument"]) if "instrument" in origin else None
    return NetworkIdentity(
        net=checkpoint.spec.name,
        precision=precision,
        connections=tuple(connection.name for connection in checkpoint.spec.connections),
        stride=_stride(checkpoint.spec.build()),
        shape=shape,
        bit_depth=data["bit_depth"],
        phase_range_rad=PHASE_RANGE_RAD,
        psnr_db=checkpoint.best_psnr_db,
        samples=checkpoint.samples,
        trained_s=checkpoint.elapsed_s,
        instrument=instrument,
        commit=_commit(),
    )


def compare(net: nn.Module, path: Path, probes: Sequence[Probe]) -> Agreement:
    """Run every probe through torch and through ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences, scores, torch_scores = [], [], []
    for probe in probes:
        with torch.inference_mode():
            expected = net(torch.from_numpy(probe.pixels.copy())).numpy()
        (phase_rad,) = session.run(None, {_INPUT: probe.pixels})
        differences.append(float(np.abs(phase_rad - expected).max()))
        if probe.phase_rad is not None:
            truth = np.clip(probe.phase_rad, 0, PHASE_RANGE_RAD)
            scores.append(psnr_db(phase_rad, truth))
            torch_scores.append(psnr_db(expected, truth))
    return Agreement(
        max(differences),
        float(np.median(scores)) if scores else float("nan"),
        float(np.median(torch_scores)) if scores else float("nan"),
    )


def _refuse_disagreement(agreement: Agreement, precision: str) -> None:
    if precision == "fp32":
        if not agreement.largest_difference_rad < _LARGEST_DIFFERENCE_RAD:
            raise ExportError(
                f"expected ONNX Runtime within {_LARGEST_DIFFERENCE_RAD} rad of torch, got "
                f"{agreement.largest_difference_rad:.2g} rad; nothing was written"
            )
        return
    loss_db = agreement.torch_psnr_db - agreement.psnr_db
    if not loss_db < _LARGEST_LOSS_DB[precision]:
        raise ExportError(
            f"expected {precision} to lose less than {_LARGEST_LOSS_DB[precision]} dB of PSNR, got a loss of "
            f"{loss_db:.2f} dB ({agreement.torch_psnr_db:.2f} → {agreement.psnr_db:.2f}); nothing was written, use fp32"
        )


def _write_fp32(net: nn.Module, path: Path, pixels: Pixels, identity: NetworkIdentity) -> None:
    stride, shape = identity.stride, identity.shape
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
    onnx.save(program.model_proto, path)


def _to_fp16(path: Path) -> Path:
    """Weights and arithmetic in half precision; in and out as before."""
    half = convert_float_to_float16(onnx.load(path), keep_io_types=True, disable_shape_infer=True)
    written = path.with_name("fp16.onnx")
    onnx.save(half, written)
    return written


def _to_int8(path: Path, frames: Sequence[Pixels]) -> Path:
    """Static quantisation, QDQ: symmetric int8 weights per channel; the first and the last convolution stay in float.

    They see the fringes' grey values and set the phase's last digits; together they are a few per cent of the time.
    """
    folded = path.with_name("folded.onnx")
    quant_pre_process(str(path), str(folded), skip_symbolic_shape=True)
    convolutions = [node.name for node in onnx.load(folded).graph.node if node.op_type == "Conv"]
    written = path.with_name("int8.onnx")
    quantize_static(
        str(folded),
        str(written),
        _Frames(frames),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[convolutions[0], convolutions[-1]],
        op_types_to_quantize=["Conv"],
    )
    return written


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, frames: Sequence[Pixels]) -> None:
        self._left = iter(frames)

    def get_next(self) -> dict[str, Pixels] | None:
        """The next frame to calibrate on."""
        frame = next(self._left, None)
        return None if frame is None else {_INPUT: frame}


def _stamp(path: Path, metadata: Mapping[str, str]) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)


def _stride(net: nn.Module) -> int:
    if isinstance(net, NasPRNet):
        return LEVEL_STRIDES[len(net.encoder.stages) - 1]
    return max(LEVEL_STRIDES) if isinstance(net, SuperPRNet) else _UNET_STRIDE


def _commit() -> str:
    """The commit of this code; `unknown` outside of a clone."""
    try:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
