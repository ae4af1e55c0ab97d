"""A network small enough to make by hand, in the format of `qpi export`; its phase follows the picture's brightness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Fringes, Instrument, Sensor
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.export.precision import stamped

SHAPE = (96, 128)
BENCH = Instrument(
    shape=SHAPE,
    optics=Optics(532e-9, 3.45e-6, 1.0, 0.0154),
    fringes=Fringes((0.25, 0.22), contrast=0.7),
    sensor=Sensor(full_well_e=4000),
    name="tiny bench",
)


def passport(bit_depth: int = 8, precision: str = "fp32") -> NetworkCard:
    return NetworkCard(
        net="small",
        precision=precision,
        connections=("E1_D1",),
        stride=4,
        shape=None,
        bit_depth=bit_depth,
        phase_range_rad=12.0,
        psnr_db=20.0,
        samples=10,
        trained_s=1.0,
        instrument=replace(BENCH, sensor=replace(BENCH.sensor, bit_depth=bit_depth)),
        commit="0123456789abcdef",
    )


def small_network(bit_depth: int = 8, gain: float = 1.0, brightness: float = 1.0) -> onnx.ModelProto:
    """Three convolutions, in fp32, for frames of any size that 4 divides.

    `gain` multiplies what the second convolution sees and divides what it gives: fp32 does not care, fp16 runs out of
    digits. `brightness` multiplies the phase.
    """
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.uniform(-0.3, 0.5, (8, 1, 3, 3)) * gain,
        "w2": rng.uniform(0.0, 0.08, (8, 8, 3, 3)),
        "w3": rng.uniform(0.0, 0.07, (1, 8, 3, 3)) / gain,
        "full_scale": np.array(2**bit_depth - 1),
        "b2": rng.uniform(-0.1, 0.1, 8) * gain,
        "low": np.array(0),
        "high": np.array(6),
        "range": np.array(12 * brightness),
        "scales": np.array([1, 1, 2, 2]),
    }
    grey = TensorProto.UINT16 if bit_depth > 8 else TensorProto.UINT8
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["interferogram", "axes"], ["image"], name="unsqueeze"),
        node("Cast", ["image"], ["cast"], name="cast", to=TensorProto.FLOAT),
        node("Div", ["cast", "full_scale"], ["scaled"], name="scale"),
        node("Conv", ["scaled", "w1"], ["c1"], name="conv1", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        node("Conv", ["r2", "w3"], ["c3"], name="conv3", pads=[1, 1, 1, 1]),
        node("Resize", ["c3", "", "scales"], ["resized"], name="resize", mode="linear"),
        node("Clip", ["resized", "low", "high"], ["clipped"], name="clip"),
        node("Div", ["clipped", "high"], ["unit"], name="unit"),
        node("Squeeze", ["unit", "axes"], ["flat"], name="squeeze"),
        node("Mul", ["flat", "range"], ["phase_rad"], name="to_rad"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("interferogram", grey, ["rows", "columns"])],
        [helper.make_tensor_value_info("phase_rad", TensorProto.FLOAT, ["rows", "columns"])],
        [
            *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
            numpy_helper.from_array(np.array([0, 1], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return stamped(model, passport(bit_depth).metadata())


def written(folder: Path, model: onnx.ModelProto, name: str = "small.onnx") -> Path:
    onnx.save(model, folder / name)
    return folder / name
