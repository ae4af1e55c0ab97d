"""The network as TensorRT reads it computes what the exported one does."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="compiling needs onnx: pip install 'qpi-live[gpu]'")

import onnx
from onnx import TensorProto, numpy_helper
from qpi_live.camera.frame import Pixels
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.export.precision import to_fp16, to_int8
from qpi_live.models.export.tensorrt_graph import as_bytes, for_tensorrt

from tests.models.small_network import SHAPE, small_network

FIXED, RANGE = Sizes.parse("96x128"), Sizes.parse("64-128")


def grey(bit_depth: int = 8, seed: int = 0) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 2**bit_depth, SHAPE)
    return pixels.astype(np.uint16 if bit_depth > 8 else np.uint8)


def run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = open_session(model.SerializeToString())
    return session.run(None, {"interferogram": pixels})[0]


@pytest.mark.parametrize("sizes", [FIXED, RANGE])
@pytest.mark.parametrize("bit_depth", [8, 12, 16])
def test_for_tensorrt_takes_bytes_and_gives_the_same_phase(bit_depth: int, sizes: Sizes) -> None:
    model, pixels = small_network(bit_depth), grey(bit_depth)
    prepared = for_tensorrt(model, sizes)
    np.testing.assert_allclose(run(prepared, as_bytes(pixels)), run(model, pixels), atol=1e-5)
    taken = prepared.graph.input[0].type.tensor_type
    assert taken.elem_type == TensorProto.UINT8
    edges = [edge.dim_value or edge.dim_param for edge in taken.shape.dim]
    assert edges[:2] == (list(SHAPE) if sizes.is_fixed else ["rows", "columns"])
    assert edges[2:] == ([2] if bit_depth > 8 else [])


def test_for_tensorrt_leaves_the_network_it_was_given_as_it_was() -> None:
    model = small_network(12)
    before = model.SerializeToString()
    for_tensorrt(model, FIXED)
    assert model.SerializeToString() == before


def test_for_tensorrt_of_an_int8_network_has_integers_around_zero_only_and_nearly_its_phase() -> None:
    model, pixels = small_network(), grey()
    quantised = to_int8(small_network(), [grey(seed=seed) for seed in (1, 2, 3)])
    prepared = for_tensorrt(quantised, FIXED)
    zeros = {
        node.input[2]
        for node in prepared.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) == 3
    }
    tensors = {tensor.name: tensor for tensor in prepared.graph.initializer}
    assert zeros
    assert all(tensors[name].data_type == TensorProto.INT8 for name in zeros)
    assert not any(numpy_helper.to_array(tensors[name]).any() for name in zeros)
    expected = run(model, pixels)
    for network, given in ((quantised, pixels), (prepared, as_bytes(pixels))):
        assert 1e-4 < np.abs(run(network, given) - expected).max() < 0.3


@pytest.mark.parametrize(("bit_depth", "largest_rad"), [(8, 2e-3), (12, 2e-3), (16, 2e-3)])
def test_to_fp16_keeps_grey_values_and_the_phases_last_digits_in_fp32(bit_depth: int, largest_rad: float) -> None:
    pixels = grey(bit_depth)
    phase_rad = run(to_fp16(small_network(bit_depth)), pixels)
    difference = np.abs(phase_rad - run(small_network(bit_depth), pixels))
    assert 0 < difference.max() < largest_rad
    assert not np.array_equal(phase_rad, phase_rad.astype(np.float16))


def test_to_fp16_runs_the_convolutions_in_half_precision_and_casts_twice() -> None:
    half = to_fp16(small_network())
    tensors = {tensor.name: tensor for tensor in half.graph.initializer}
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    assert all(tensors[node.input[1]].data_type == TensorProto.FLOAT16 for node in convolutions)
    casts = [node.attribute[0].i for node in half.graph.node if node.op_type == "Cast"]
    assert casts.count(TensorProto.FLOAT16) == 1
    assert casts.count(TensorProto.FLOAT) == 2  # of the grey values, and of what the last convolution gives
