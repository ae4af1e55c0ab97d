"""An exported network as TensorRT reads it: bytes in, integers symmetric, the frames' size fixed where it is one."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qpi_live.camera.frame import Pixels
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.export.precision import tidied

_ROWS, _COLUMNS = "rows", "columns"


def for_tensorrt(model: onnx.ModelProto, sizes: Sizes) -> onnx.ModelProto:
    """A copy of `model` that computes the same phase from the grey values' bytes.

    TensorRT knows neither uint16 nor operations on uint8 other than a cast, and integers only around zero. In: (H, W)
    uint8 or, for 16-bit grey values, (H, W, 2) uint8, the lower byte first; `as_bytes` makes them. Out: as before.

    Args:
        model: of `qpi export`, in any precision.
        sizes: fixed in the graph where they are one size, else left open.
    """
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    _take_bytes(prepared.graph, sizes)
    if any(node.op_type == "QuantizeLinear" for node in prepared.graph.node):
        _make_symmetric(prepared.graph)
    del prepared.graph.value_info[:]  # types and sizes of before
    return tidied(prepared)


def as_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W) uint8 as they are, (H, W) uint16 as (H, W, 2) uint8 on the same memory."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    return pixels.astype("<u2", copy=False).view(np.uint8).reshape(*pixels.shape, 2)


def _take_bytes(graph: onnx.GraphProto, sizes: Sizes) -> None:
    (grey,) = graph.input
    wide = grey.type.tensor_type.elem_type == TensorProto.UINT16
    value, bytes_as_float = f"{grey.name}_value", f"{grey.name}_bytes"
    nodes = list(graph.node)
    for node in nodes:
        node.input[:] = [value if name == grey.name else name for name in node.input]
    first = [helper.make_node("Cast", [grey.name], [bytes_as_float if wide else value], to=TensorProto.FLOAT)]
    if wide:
        weights = _constant(graph, f"{grey.name}_weights", np.array([1, 256], np.float32))
        axis = _constant(graph, f"{grey.name}_axis", np.array([-1], np.int64))
        weighted = f"{grey.name}_weighted"
        first.append(helper.make_node("Mul", [bytes_as_float, weights], [weighted]))
        first.append(helper.make_node("ReduceSum", [weighted, axis], [value], keepdims=0))
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    edges: list[int | str] = list(sizes.best) if sizes.is_fixed else [_ROWS, _COLUMNS]
    taken = helper.make_tensor_value_info(grey.name, TensorProto.UINT8, [*edges, 2] if wide else edges)
    grey.CopyFrom(taken)
    for edge, name in zip(graph.output[0].type.tensor_type.shape.dim, edges, strict=True):
        edge.Clear()
        if isinstance(name, int):
            edge.dim_value = name
        else:
            edge.dim_param = name


def _make_symmetric(graph: onnx.GraphProto) -> None:
    """Activations from uint8 with a zero point to int8 without one, biases from int32 to float.

    The new scale reaches as far from zero as the old range did, which is what a symmetric calibration on the same
    frames gives.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[NodeProto] = []
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            kept.append(node)
            continue
        value, scale, zero = node.input
        if value in constants and constants[value].data_type == TensorProto.INT32:
            integers, scales = (numpy_helper.to_array(constants[name]) for name in (value, scale))
            graph.initializer.append(numpy_helper.from_array((integers * scales).astype(np.float32), node.output[0]))
            continue
        if constants[zero].data_type == TensorProto.UINT8:
            _centre(constants[scale], constants[zero])
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _centre(scale: TensorProto, zero: TensorProto) -> None:
    old_scale, old_zero = numpy_helper.to_array(scale), numpy_helper.to_array(zero).astype(np.float32)
    reach = np.maximum(old_zero, 255 - old_zero) * old_scale
    scale.CopyFrom(numpy_helper.from_array((reach / 127).astype(np.float32), scale.name))
    zero.CopyFrom(numpy_helper.from_array(np.zeros(old_zero.shape, np.int8), zero.name))


def _constant(graph: onnx.GraphProto, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name
