"""A trained network as an engine, through ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.artifacts.bound_session import BoundSession
from qpi_live.models.artifacts.checksum import intact
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.engine import EngineOptions
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame

_WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = _WEIGHTS / "nasprnet.onnx"
"""The network that ships, in float32: for GPUs, and to compile."""
SHIPPED_INT8 = _WEIGHTS / "nasprnet-int8.onnx"
"""The same in 8-bit integers: for CPUs, which it takes little more than half the time."""
_BYTES_PER_PX = 320  # 310 measured at 4096² for the shipped network, the largest graph here
_ON_CPU = "CPUExecutionProvider"
_PREFERRED_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", _ON_CPU)
_log = logging.getLogger(__name__)


class OnnxEngine:
    """`PhaseEngine` that runs a network written by `qpi export`; scaling is inside the graph.

    On a GPU the frame's and the phase's memory there is bound once for a size, the work on it is a CUDA graph where the
    provider makes one (`identity.detail["cuda_graph"]`: true, or why not), and TensorRT's builds are kept for the next
    start. Where the GPU cannot be had, the next best provider runs it, and `identity.detail["fallback"]` says so.

    Each frame's carrier is compared with the one the network was trained for. Where they differ the phase carries a
    warning: a network shows a confident picture of anything.

    Args:
        options: see `EngineOptions`; only `threads` and the network matter here.
        path: the ONNX file; by default `options.network`, or the one that ships, in the precision that is best here.

    Raises:
        EngineUnavailable: no such file, one that was altered since it was exported, or not such a network.
    """

    def __init__(self, options: EngineOptions, path: Path | None = None) -> None:
        providers = [p for p in _PREFERRED_PROVIDERS if p in onnxruntime.get_available_providers()]
        if path is None and options.network_refusal:
            raise EngineUnavailable(options.network_refusal)
        path = path or options.network
        self._path = path or (SHIPPED if providers[0] != _ON_CPU else SHIPPED_INT8)
        self._providers, self._threads = providers, options.threads
        self._graph: bool | str = providers[0] != _ON_CPU
        self._session = self._opened()
        self._fallback: str | None = None
        # The list of providers is what ONNX Runtime was built with; only a session knows what works here.
        works = self._session.get_providers()[0]
        if works != providers[0]:
            self._fallback = (
                f"the network runs on {'the CPU' if works == _ON_CPU else _plain(works)}: ONNX Runtime was built for "
                f"{' and '.join(map(_plain, providers[:-1]))} and found no GPU, or not its libraries; `nvidia-smi` "
                "should list the GPU"
            )
            _log.warning("%s", self._fallback)
            if works == _ON_CPU and path is None:
                self._path = SHIPPED_INT8
                self._providers, self._graph = [_ON_CPU], False
                self._session = self._opened()
        self.network = NetworkCard.in_metadata(self._session.get_modelmeta().custom_metadata_map)
        self._input = self._session.get_inputs()[0].name
        self._bound = self._bind() if self._session.get_providers()[0] != _ON_CPU else None

    @property
    def path(self) -> Path:
        """The network's file."""
        return self._path

    @property
    def identity(self) -> EngineIdentity:
        """Which network this is, and what it was trained on."""
        network = self.network
        provider = _plain(self._session.get_providers()[0]).lower()
        runtime = f"onnxruntime {onnxruntime.__version__}"
        identity = network.engine_identity(provider, self._path.name, network.precision, runtime)
        said: dict[str, str | bool] = {} if self._fallback is None else {"fallback": self._fallback}
        if self._bound is not None:
            said["cuda_graph"] = self._graph
        return replace(identity, detail={**identity.detail, **said}) if said else identity

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Run once over a blank frame, so that memory and kernels are laid out.

        Raises:
            EngineUnavailable: the network does not take frames of this size or depth.
        """
        refusal = self.network.why_not(shape, bit_depth)
        if refusal:
            raise EngineUnavailable(refusal)
        blank: Pixels = np.zeros(shape, np.uint8) if bit_depth <= 8 else np.zeros(shape, np.uint16)
        self._run(blank)

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """See `WeighedEngine.working_bytes`."""
        return _BYTES_PER_PX * shape[0] * shape[1]

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `PhaseEngine.retrieve`. Stages: `compare`, `network`.

        Raises:
            InferenceError: `wrong shape`, or `network failed`.
        """
        refusal = self.network.why_not(frame.shape, frame.bit_depth)
        if refusal:
            raise InferenceError("wrong shape", refusal)
        began = perf_counter()
        quality = self.network.quality(frame)
        compared = perf_counter()
        phase_rad = self._run(frame.pixels)
        done = perf_counter()
        stages_ms = {"compare": (compared - began) * 1e3, "network": (done - compared) * 1e3}
        return PhaseFrame(phase_rad, frame, self.identity, stages_ms, quality)

    def close(self) -> None:
        """Nothing to let go of before the engine itself goes."""

    def _opened(self) -> onnxruntime.InferenceSession:
        if self._graph is True:
            try:
                return _open(self._path, self._providers, self._threads, graph=True)
            except EngineUnavailable as error:
                self._graph = f"refused: {error}"
        session = _open(self._path, self._providers, self._threads)
        if isinstance(self._graph, str):  # where that opens, the graph was to blame
            _log.warning("the network runs without a CUDA graph: %s", self._graph)
        return session

    def _bind(self) -> BoundSession:
        return BoundSession(self._session, "cuda", self._opened if self._graph is True else None)

    def _run_bound(self, bound: BoundSession, pixels: Pixels) -> NDArray[np.float32]:
        try:
            return bound.run(pixels)
        except Exception as error:
            if self._graph is not True:
                raise
            self._graph = f"refused: {error}"  # which a provider may find out only when it records
        self._session = self._opened()
        self._bound = self._bind()
        return self._bound.run(pixels)

    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        try:
            if self._bound is not None:
                return self._run_bound(self._bound, pixels)
            (phase_rad,) = self._session.run(None, {self._input: pixels})
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise InferenceError("network failed", f"the network failed on this frame: {error}") from error
        return np.ascontiguousarray(phase_rad, dtype=np.float32)


def _open(
    path: Path, providers: Sequence[str], threads: int | None, *, graph: bool = False
) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise EngineUnavailable(f"expected a network at {path}, got no such file; `qpi export` writes one")
    content = intact(path)
    try:
        return open_session(content, providers, threads, graph=graph)
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
        raise EngineUnavailable(f"expected an ONNX network at {path}, got: {error}") from error


def _plain(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")
