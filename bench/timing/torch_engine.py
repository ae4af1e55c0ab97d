"""A network in torch as an engine, where TensorRT cannot be had: half precision, channels last, one CUDA graph.

`torch:nasprnet.onnx` runs an exported network's weights, `torch:unet` that network with weights that learned nothing,
which take as long. It is a stand-in to find out what the GPU can do, and says so in its identity; it serves nobody.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from qpi_live.camera.device import Device, DeviceError, DeviceMemory, Stream
from qpi_live.camera.gpu.cuda_device import open_device as open_cuda_device
from qpi_live.models.artifacts.compiler import Execution
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.sizes import Shape
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.device_network import DeviceNetwork
from qpi_live.models.engines.onnx import SHIPPED
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.phase_frame import EngineIdentity
from qpi_live.models.training.checkpoint import CheckpointError, NetSpec
from qpi_live.models.training.exported import weights_of
from torch import Tensor, nn

PREFIX = "torch:"
ON_HOST = False
"""Whether device memory is the host's, as that of a stand-in for a GPU is."""

_BEFORE_RECORDING = 3  # runs in which libraries choose their algorithms


class TorchEngine(DeviceNetwork):
    """`DeviceNetwork` in torch.

    Args:
        options: nothing in it matters here.
        name: what stands behind `PREFIX`: a file of `qpi export` in fp32, or a network's name.
        open_device: see `DeviceNetwork`; by default the machine's GPU.

    Raises:
        EngineUnavailable: no GPU, torch without CUDA, or no such network.
    """

    def __init__(
        self, options: EngineOptions, name: str, *, open_device: Callable[[], Device] = open_cuda_device
    ) -> None:
        if not ON_HOST and not torch.cuda.is_available():
            raise EngineUnavailable(
                f"expected torch with CUDA and a GPU for it, got torch {torch.__version__} without; install torch's "
                "build for CUDA, until `torch.cuda.is_available()` says so"
            )
        self._net, card = _network(name)
        super().__init__(name, card, open_device)
        try:
            device = self.open_device().identity.name
        except DeviceError as error:
            raise EngineUnavailable(f"{PREFIX}{name} needs a GPU: {error}") from error
        precision, how = ("fp32", "eager on the host") if ON_HOST else ("fp16", "channels last, CUDA graph")
        runtime = f"torch {torch.__version__}, {how}"
        self._identity = card.engine_identity(device, Path(name).name, precision, runtime)

    @property
    def identity(self) -> EngineIdentity:
        """Which network this is, and that torch runs it."""
        return self._identity

    def _loaded(self) -> Execution:
        if ON_HOST:
            return HostExecution(LaidOut(self._net, self.network, torch.float32).eval())
        return GraphExecution(LaidOut(self._net, self.network, torch.float16).eval().cuda())

    def _why_not(self, shape: Shape, bit_depth: int) -> str | None:
        return self.network.why_not(shape, bit_depth)


class LaidOut(nn.Module):
    """(H, W) grey values to (H, W) float32 phase in rad; channels last and in `dtype` between the ends.

    Only between: half precision holds neither 16-bit grey values nor the digits of a phase of 12 rad.
    """

    def __init__(self, net: nn.Module, card: NetworkCard, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = net.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype
        self.full_scale = float(2**card.bit_depth - 1)
        self.phase_range_rad = card.phase_range_rad

    def forward(self, grey: Tensor) -> Tensor:
        """See the class."""
        scaled = grey[None, None].to(torch.float32) / self.full_scale
        inside = scaled.to(dtype=self.dtype, memory_format=torch.channels_last)
        return cast(Tensor, self.net(inside))[0, 0].float() * self.phase_range_rad


@dataclass(frozen=True, slots=True)
class _OnGpu:
    """Device memory as torch and others take it without a copy."""

    __cuda_array_interface__: dict[str, Any]

    @classmethod
    def tensor(cls, memory: DeviceMemory, shape: Shape, dtype: np.dtype[Any]) -> Tensor:
        about = {"shape": shape, "typestr": dtype.str, "data": (memory.pointer, False), "version": 3}
        return torch.as_tensor(cls(about), device="cuda")


class GraphExecution:
    """`Execution` that replays a CUDA graph of torch's for each place that frames lie in."""

    keeps_graphs = True

    def __init__(self, net: LaidOut) -> None:
        self._net = net
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._bound: torch.cuda.CUDAGraph | None = None

    def bind(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> None:
        """See `Execution.bind`."""
        key = (grey.pointer, phase.pointer)
        if key not in self._graphs:
            try:
                self._graphs[key] = self._recorded(grey, phase, shape)
            except RuntimeError as error:
                raise DeviceError(f"expected torch to record the network, got: {error}") from error
        self._bound = self._graphs[key]

    def enqueue(self, stream: Stream) -> None:
        """See `Execution.enqueue`."""
        if self._bound is None:
            raise DeviceError("expected memory to be bound before the first inference, got none")
        try:
            with torch.cuda.stream(torch.cuda.ExternalStream(stream.handle)):
                self._bound.replay()
        except RuntimeError as error:
            raise DeviceError(f"expected torch to run the network, got: {error}") from error

    def _recorded(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> torch.cuda.CUDAGraph:
        dtype = np.dtype(np.uint16 if self._net.full_scale > 255 else np.uint8)
        taken, given = _OnGpu.tensor(grey, shape, dtype), _OnGpu.tensor(phase, shape, np.dtype(np.float32))
        beside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        with torch.inference_mode():
            with torch.cuda.stream(beside):
                for _ in range(_BEFORE_RECORDING):
                    given.copy_(self._net(taken))
            beside.synchronize()
            with torch.cuda.graph(graph, stream=beside):
                given.copy_(self._net(taken))
        return graph


class HostExecution:
    """`Execution` on device memory that is the host's; each inference waits for what is before it."""

    keeps_graphs = True

    def __init__(self, net: LaidOut) -> None:
        self._net = net
        self._bound: tuple[Tensor, Tensor] | None = None

    def bind(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> None:
        """See `Execution.bind`."""
        dtype = torch.uint16 if self._net.full_scale > 255 else torch.uint8
        self._bound = _on_host(grey, shape, dtype), _on_host(phase, shape, torch.float32)

    def enqueue(self, stream: Stream) -> None:
        """See `Execution.enqueue`."""
        if self._bound is None:
            raise DeviceError("expected memory to be bound before the first inference, got none")
        stream.synchronize()
        taken, given = self._bound
        with torch.inference_mode():
            given.copy_(self._net(taken))


def _on_host(memory: DeviceMemory, shape: Shape, dtype: torch.dtype) -> Tensor:
    count = shape[0] * shape[1]
    held = (ctypes.c_char * (count * dtype.itemsize)).from_address(memory.pointer)
    return torch.frombuffer(held, dtype=dtype, count=count).reshape(shape)


def _network(name: str) -> tuple[nn.Module, NetworkCard]:
    """The network and its card; that of a network without weights is the shipped one's but for the name."""
    path = Path(name)
    try:
        if path.suffix != ".onnx":
            card = _unlearned(_card(SHIPPED), name)
            return NetSpec(name).build(), card
        spec, weights = weights_of(path)
        net = spec.build()
        net.load_state_dict(weights, strict=False)
        return net, _card(path)
    except (CheckpointError, OSError) as error:
        raise EngineUnavailable(f"{PREFIX}{name}: {error}") from error


def _card(path: Path) -> NetworkCard:
    model = onnx.load(path, load_external_data=False)
    return NetworkCard.in_metadata({pair.key: pair.value for pair in model.metadata_props})


def _unlearned(card: NetworkCard, name: str) -> NetworkCard:
    """The card of a network called `name` that has learned nothing."""
    return card.model_copy(update={"net": name, "connections": (), "stride": 32, "psnr_db": 0.0, "samples": 0})
