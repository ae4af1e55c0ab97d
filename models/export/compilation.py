"""Compiles an exported network into a GPU engine, and writes none that loses more than its precision may."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from numpy.typing import NDArray
from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.artifacts.agreement import Agreement, Probe, Retrieve, compare
from qpi_live.models.artifacts.checksum import intact, sha256
from qpi_live.models.artifacts.compiled_network import EngineManifest, manifest_path
from qpi_live.models.artifacts.compiler import Capability, EngineLibrary, Progress
from qpi_live.models.artifacts.identity import NetworkIdentity
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.tensorrt import TensorRtEngine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.export.precision import PRECISIONS, to_fp16
from qpi_live.models.export.probes import probes_for
from qpi_live.models.export.tensorrt_graph import as_bytes, for_tensorrt

_NO_GPU = "there was no GPU to run it on; `qpi compile --check {}` measures it on one that it is for"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be built.

    Attributes:
        model: the network's file, of `qpi export`.
        out: the engine's file; its manifest goes beside it.
        precision: `fp32`, `fp16` or `int8`; None: the file's own, but fp16 for one in fp32.
        sizes: of the frames it will take.
        capabilities: of the GPUs it will run on.
    """

    model: Path
    out: Path
    precision: str | None
    sizes: Sizes
    capabilities: tuple[Capability, ...]


def compile_engine(
    plan: Plan,
    library: EngineLibrary,
    device: Device | None,
    on_progress: Progress,
    probes: Sequence[Probe] | None = None,
) -> EngineManifest:
    """Build the engine and write it with its manifest, if it agrees with ONNX Runtime.

    The graph in its precision is compared on ONNX Runtime before it is built, the engine itself after, where there is
    a GPU that runs it.

    Args:
        plan: what to build.
        library: what builds it.
        device: the GPU to measure the engine on; None: it is measured later, by `check_engine`.
        on_progress: see `Progress`.
        probes: frames to compare on; by default `probes_for` the network.

    Raises:
        EngineUnavailable: the network cannot be built like this, or loses more than it may; nothing was written.
        OSError: the network cannot be read, or the engine not written.
    """
    content = _content(plan.model)
    model = _read_network(plan.model, content)
    identity = NetworkIdentity.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    precision = _precision(plan, identity)
    _refuse_sizes(plan.sizes, identity)
    if probes is None:
        probes = probes_for(identity, plan.sizes.best)
    graph = for_tensorrt(to_fp16(model) if precision != identity.precision else model, plan.sizes)
    reference = _on_onnx_runtime(content)
    agreement = compare(reference, _on_onnx_runtime(graph.SerializeToString(), takes_bytes=True), probes)
    _refuse_loss(agreement, precision, "the network")
    began = perf_counter()
    engine = library.build(graph.SerializeToString(), plan.sizes, plan.capabilities, on_progress)
    manifest = EngineManifest(
        engine_sha256=sha256(engine),
        model=plan.model.name,
        model_sha256=sha256(content),
        library=library.name,
        version=library.version,
        capabilities=plan.capabilities,
        gpu=device.identity.name if device and not library.builds_for_other_gpus else None,
        precision=precision,
        sizes=plan.sizes,
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        build_s=round(perf_counter() - began, 1),
        network=identity.to_metadata(),
        graph_accuracy=agreement,
        accuracy=None,
        accuracy_note=_NO_GPU.format(plan.out.name),
    )
    with tempfile.TemporaryDirectory(dir=plan.out.parent) as scratch:
        written = Path(scratch) / plan.out.name
        written.write_bytes(engine)
        manifest.save(written)
        if device is not None and device.identity.compute_capability in plan.capabilities:
            manifest = _measured(written, manifest, reference, probes, library, device)
            manifest.save(written)
        os.replace(written, plan.out)
        os.replace(manifest_path(written), manifest_path(plan.out))
    return manifest


def check_engine(
    engine: Path, model: Path, library: EngineLibrary, device: Device, probes: Sequence[Probe] | None = None
) -> EngineManifest:
    """Measure an engine on the GPU it is for, against its network on ONNX Runtime, and note it in its manifest.

    Raises:
        EngineUnavailable: `model` is not its network, the engine does not run here, or loses more than it may; then its
            manifest stays as it was.
    """
    manifest = EngineManifest.load(engine)
    content = _content(model)
    if sha256(content) != manifest.model_sha256:
        raise EngineUnavailable(
            f"expected the network that {engine.name} was made of ({manifest.model}, SHA-256 "
            f"{manifest.model_sha256[:12]}…), got {model}; name that one"
        )
    if probes is None:
        probes = probes_for(manifest.identity(), manifest.sizes.best)
    measured = _measured(engine, manifest, _on_onnx_runtime(content), probes, library, device)
    measured.save(engine)
    return measured


def is_current(plan: Plan, library: EngineLibrary, device: Device | None) -> bool:
    """Whether `plan.out` is what `compile_engine` would make now: same network, library, GPU, precision and sizes."""
    try:
        manifest = EngineManifest.load(plan.out)
        content = plan.model.read_bytes()
        identity = NetworkIdentity.from_metadata(manifest.network)
        altered = manifest.why_altered(plan.out, plan.out.read_bytes())
    except (EngineUnavailable, OSError):
        return False
    gpu = device.identity.name if device and not library.builds_for_other_gpus else None
    return altered is None and (
        (manifest.model_sha256, manifest.library, manifest.version, manifest.gpu)
        == (sha256(content), library.name, library.version, gpu)
        and (manifest.precision, manifest.sizes, manifest.capabilities)
        == (_precision(plan, identity), plan.sizes, plan.capabilities)
    )


def _content(model: Path) -> bytes:
    try:
        return intact(model)
    except FileNotFoundError as missing:
        raise EngineUnavailable(
            f"expected a network at {model}, got no such file; name one that `qpi export` wrote"
        ) from missing


def _read_network(path: Path, content: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(content)
    except Exception as error:  # protobuf's own exceptions share no base but this one
        raise EngineUnavailable(f"expected an ONNX network at {path}, got: {error}") from error


def _precision(plan: Plan, network: NetworkIdentity) -> str:
    """The precision to build, where the file has it or can be brought to it."""
    own = network.precision
    wanted = plan.precision or ("fp16" if own == "fp32" else own)
    if wanted not in PRECISIONS:
        raise EngineUnavailable(f"expected a precision among {', '.join(PRECISIONS)}, got {wanted!r}")
    if wanted != own and (own, wanted) != ("fp32", "fp16"):
        raise EngineUnavailable(
            f"expected a network in {wanted}, got {plan.model.name} in {own}; export it so: "
            f"qpi export RUN/best.pt {plan.model.stem}-{wanted}.onnx --data PAIRS --precision {wanted}"
        )
    return wanted


def _refuse_sizes(sizes: Sizes, network: NetworkIdentity) -> None:
    for shape in (sizes.smallest, sizes.best, sizes.largest):
        refusal = network.why_not(shape, network.bit_depth)
        if refusal:
            raise EngineUnavailable(refusal)


def _refuse_loss(agreement: Agreement, precision: str, what: str) -> None:
    refusal = agreement.why_refused(precision)
    if refusal:
        raise EngineUnavailable(f"{what}: {refusal}; nothing was written, use a finer precision")


def _measured(
    engine: Path,
    manifest: EngineManifest,
    reference: Retrieve,
    probes: Sequence[Probe],
    library: EngineLibrary,
    device: Device,
) -> EngineManifest:
    """`manifest` with the accuracy of the engine at `engine`."""
    bit_depth = manifest.identity().bit_depth
    running = TensorRtEngine(EngineOptions(), engine, library=library, open_device=lambda: device)

    def on_the_gpu(pixels: Pixels) -> NDArray[np.float32]:
        return running.retrieve(Frame(pixels, bit_depth, 0, captured_ns=0, captured_monotonic_ns=0)).phase_rad

    try:
        agreement = compare(reference, on_the_gpu, probes)
    finally:
        running.close()
    _refuse_loss(agreement, manifest.precision, "the engine")
    return replace(manifest, accuracy=agreement, accuracy_note=None)


def _on_onnx_runtime(network: bytes, *, takes_bytes: bool = False) -> Retrieve:
    session = open_session(network)
    name = session.get_inputs()[0].name

    def retrieve(pixels: Pixels) -> NDArray[np.float32]:
        (phase_rad,) = session.run(None, {name: as_bytes(pixels) if takes_bytes else pixels})
        return np.asarray(phase_rad, dtype=np.float32)

    return retrieve
