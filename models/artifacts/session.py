"""Opens exported networks in ONNX Runtime, in one way for serving, export and measuring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import platformdirs

CPU = ("CPUExecutionProvider",)


def open_session(
    network: Path | bytes, providers: Sequence[str] = CPU, threads: int | None = None, *, graph: bool = False
) -> onnxruntime.InferenceSession:
    """A session for the network in a file or in memory; ONNX Runtime's own exceptions pass through.

    Args:
        network: an `.onnx` file, or its bytes.
        providers: execution providers, the preferred one first.
        threads: threads within an operator; None: one for each core.
        graph: let a GPU's provider record what it enqueues as a CUDA graph in its first runs, and launch that from then
            on: of one size, with its memory where it was. A provider that cannot makes no session.
    """
    options = onnxruntime.SessionOptions()
    # Threads that wait for work by spinning take the cores from the rest of the line: on two cores a frame's
    # comparison took up to 38 ms instead of 2, and the network itself was slower too.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI the fast 8-bit product saturates at 16 bits: on such a CPU phases were off by up to 1.3 rad.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if threads:
        options.intra_op_num_threads = threads
    given = network if isinstance(network, bytes) else str(network)
    asked = [(name, provider_options(name, graph=graph)) for name in providers]
    return onnxruntime.InferenceSession(given, options, providers=asked)


def provider_options(name: str, *, graph: bool = False) -> dict[str, str]:
    """What an execution provider is asked for beside its own defaults.

    TensorRT's takes a minute to build a network, which is kept for the next start. CUDA's chooses each convolution's
    algorithm by trying all, once. Either makes a CUDA graph of it where `graph` is asked for.
    """
    if name == "TensorrtExecutionProvider":
        recorded = {"trt_cuda_graph_enable": "True"} if graph else {}
        kept = Path(platformdirs.user_cache_dir("qpi-live")) / "tensorrt"
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError:
            return recorded
        caches = {"trt_engine_cache_enable": "True", "trt_timing_cache_enable": "True"}
        return recorded | caches | {"trt_engine_cache_path": str(kept), "trt_timing_cache_path": str(kept)}
    if name == "CUDAExecutionProvider":
        return {"cudnn_conv_algo_search": "EXHAUSTIVE"} | ({"enable_cuda_graph": "1"} if graph else {})
    return {}
