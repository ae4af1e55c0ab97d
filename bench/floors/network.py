"""Lower bounds for a network: its arithmetic as one matrix product, and its bytes moved once."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

_EDGE = 1536  # of the matrices: 9 MiB each, past the caches, and some 10 ms a product and core
_REPEATS = 7


@dataclass(frozen=True, slots=True)
class NetworkWork:
    """What one frame costs a network: multiply-accumulates, and the bytes of weights, frame and phase."""

    macs: int
    weight_bytes: int
    frame_bytes: int
    phase_bytes: int

    @property
    def bytes_moved(self) -> int:
        """Each of them once; whatever lies between layers could stay in a cache large enough."""
        return self.weight_bytes + self.frame_bytes + self.phase_bytes


def network_work(file: Path, shape: tuple[int, int]) -> NetworkWork:
    """The work of the network in `file` (ONNX) on frames of (H, W), by shape inference.

    Raises:
        ValueError: the graph's shapes cannot be inferred.
    """
    model = onnx.load(file)
    frame = model.graph.input[0].type.tensor_type
    for dimension, size in zip(frame.shape.dim, shape, strict=True):
        dimension.dim_value = size
    del model.graph.value_info[:]  # of any size; inferred anew for this one
    inferred = SymbolicShapeInference.infer_shapes(model, auto_merge=True).graph
    known = {
        info.name: [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
        for info in (*inferred.value_info, *inferred.output, *inferred.input)
    }
    weights = {weight.name: list(weight.dims) for weight in inferred.initializer}
    for node in inferred.node:  # quantised weights reach their layer through this
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    macs = sum(_macs(node, known, weights) for node in inferred.node)
    pixels = shape[0] * shape[1]
    return NetworkWork(
        macs,
        sum(numpy_helper.to_array(weight).nbytes for weight in inferred.initializer),
        pixels * helper.tensor_dtype_to_np_dtype(frame.elem_type).itemsize,
        pixels * np.dtype(np.float32).itemsize,
    )


def matrix_rate(threads: int | None) -> float:
    """float32 multiply-accumulates a second of a large matrix product on the CPU, the faster of two libraries.

    NumPy's takes all cores, so with `threads` given it is left out.
    """
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(_EDGE, _EDGE)).astype(np.float32) for _ in range(2))
    session = _product_session(threads)

    def by_onnxruntime() -> object:
        return session.run(None, {"left": left, "right": right})

    calls = [by_onnxruntime] if threads else [by_onnxruntime, lambda: left @ right]
    best_s = min(_timed(call) for _ in range(_REPEATS) for call in calls)
    return _EDGE**3 / best_s


def _macs(node: onnx.NodeProto, known: dict[str, list[int]], weights: dict[str, list[int]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0
    of = weights.get(node.input[1]) or known.get(node.input[1], [])
    # A convolution's weight is applied at each point of its output, a transposed one's at each of its input.
    points = known.get(node.input[0] if node.op_type == "ConvTranspose" else node.output[0], [])
    if not of or not all(of) or not points or not all(points):
        raise ValueError(f"expected the shapes of {node.op_type} {node.name!r} to be known, got {points} by {of}")
    if node.op_type in ("MatMul", "Gemm"):
        left = known[node.input[0]]
        return prod(points) * left[-1]
    return points[0] * prod(points[2:]) * prod(of)


def _product_session(threads: int | None) -> onnxruntime.InferenceSession:
    square = [_EDGE, _EDGE]
    values = {name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, square) for name in ("left", "right")}
    product = helper.make_tensor_value_info("product", onnx.TensorProto.FLOAT, square)
    node = helper.make_node("MatMul", ["left", "right"], ["product"])
    graph = helper.make_graph([node], "product", list(values.values()), [product])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _timed(call: object) -> float:
    assert callable(call)
    start = perf_counter()
    call()
    return perf_counter() - start
