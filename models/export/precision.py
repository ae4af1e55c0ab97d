"""Coarser arithmetic for an exported network: half precision, and 8-bit integers with their scales in the graph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_ir.passes import Sequential
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from qpi_live.camera.frame import Pixels

PRECISIONS = ("fp32", "fp16", "int8")


def check_precision(precision: str) -> None:
    """Raise ValueError where there is no such precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision among {', '.join(PRECISIONS)}, got {precision!r}")


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the fp32 `model` with weights and arithmetic in half precision; in and out as before.

    What comes before the first convolution and after the last one stays in fp32. Half precision cannot hold 16-bit grey
    values, and its phases of 8 … 12 rad would come in steps of 0.008 rad.
    """
    graph = model.graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    kept = [*_chain_before(graph, first.input[0]), *_chain_before(graph, graph.output[0].name)]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    half: onnx.ModelProto = convert_float_to_float16(changed, keep_io_types=True, node_block_list=kept)
    _undo_round_trips(half.graph, constants)
    return tidied(half)


def to_int8(model: onnx.ModelProto, frames: Sequence[Pixels]) -> onnx.ModelProto:
    """The fp32 `model`, quantised on (H, W) `frames`: static, QDQ, symmetric int8 weights per channel.

    The first and the last convolution stay in float, since they see the fringes' grey values and set the phase's last
    digits. Together they are a few per cent of the time.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plain, folded, written = (str(Path(scratch) / name) for name in ("plain.onnx", "folded.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, folded, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(folded).graph.node if node.op_type == "Conv"]
        quantize_static(
            folded,
            written,
            _Frames(model.graph.input[0].name, frames),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
            # With the clips of ReLU6, which vanish into the range of the integers that their convolutions write; left
            # in float they would cost a conversion there and back each, as much as the integers save.
            op_types_to_quantize=["Conv", "Clip"],
        )
        return onnx.load(written)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without nodes and constants that no output needs, each node behind those that it needs."""
    # Only in order are the last of the unused nodes found.
    passes = Sequential(TopologicalSortPass(), RemoveUnusedNodesPass())
    return onnx_ir.to_proto(passes(onnx_ir.from_proto(model)).model)


def stamped(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """A copy of which `metadata` is all it says of itself: exporters also write stack traces with machines' paths."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    # onnx_ir's pass that clears metadata leaves the model's own, and those of values and constants.
    for part in (copy, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    for key, value in metadata.items():
        entry = copy.metadata_props.add()
        entry.key, entry.value = key, value
    return copy


def _undo_round_trips(graph: onnx.GraphProto, constants: Mapping[str, NDArray[Any]]) -> None:
    """Join nodes in fp32 directly, where the conversion lets every value between them go through half precision.

    `constants` are those of the network before the conversion.
    """
    makers = {output: node for node in graph.node for output in node.output}
    direct: dict[str, str] = {}
    for node in graph.node:
        if not _casts_to(node, onnx.TensorProto.FLOAT):
            continue
        (halved,), (name,) = node.input, node.output
        if halved in makers and _casts_to(makers[halved], onnx.TensorProto.FLOAT16):
            direct[name] = makers[halved].input[0]
        elif halved in constants:
            node.output[0] = f"{name}_halved"  # nobody needs it any more
            graph.initializer.append(numpy_helper.from_array(constants[halved], name))
    final = {_follow(direct, output.name): output.name for output in graph.output}
    for node in graph.node:
        node.input[:] = [final.get(name, name) for name in (_follow(direct, name) for name in node.input)]
        node.output[:] = [final.get(name, f"{name}_halved" if name in final.values() else name) for name in node.output]


def _follow(direct: Mapping[str, str], name: str) -> str:
    while name in direct:
        name = direct[name]
    return name


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return bool(node.op_type == "Cast" and node.attribute[0].i == kind)


def _chain_before(graph: onnx.GraphProto, value: str) -> list[str]:
    """Names of the nodes that make `value`, back along their first inputs to a convolution or the interferogram."""
    makers = {output: node for node in graph.node for output in node.output}
    chain: list[str] = []
    while value in makers and makers[value].op_type != "Conv":
        chain.append(makers[value].name)
        value = makers[value].input[0]
    return chain


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, frames: Sequence[Pixels]) -> None:
        self._name = name
        self._left = iter(frames)

    def get_next(self) -> dict[str, Pixels] | None:
        """The next frame to calibrate on."""
        frame = next(self._left, None)
        return None if frame is None else {self._name: frame}
