"""Compiles an exported network for a GPU, and writes none that loses more than its precision may."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
from qpi_live.models.artifacts.compiled_network import CompiledCard, card_path
from qpi_live.models.artifacts.compiler import Capability, CompilerLibrary, Progress
from qpi_live.models.artifacts.network_card import NetworkCard
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
        out: the compiled network's file; its card goes beside it.
        precision: `fp32`, `fp16` or `int8`; None: the file's own, but fp16 for one in fp32.
        sizes: of the frames it will take.
        capabilities: of the GPUs it will run on.
    """

    model: Path
    out: Path
    precision: str | None
    sizes: Sizes
    capabilities: tuple[Capability, ...]


def compile_network(
    plan: Plan,
    library: CompilerLibrary,
    device: Device | None,
    on_progress: Progress,
    probes: Sequence[Probe] | None = None,
) -> CompiledCard:
    """Compile a network and write it with its card, if it agrees with ONNX Runtime.

    The graph in its precision is compared on ONNX Runtime before it is built. What was built is compared
    after, where there is a GPU that runs it.

    Args:
        plan: what to build.
        library: what builds it.
        device: the GPU to measure it on; None: it is measured later, by `check_compiled`.
        on_progress: see `Progress`.
        probes: frames to compare on; by default `probes_for` the network.

    Raises:
        EngineUnavailable: the network cannot be built like this, or loses more than it may; nothing was written.
        OSError: the network cannot be read, or the file not written.
    """
    content = _content(plan.model)
    model = _read_network(plan.model, content)
    network = NetworkCard.in_metadata({entry.key: entry.value for entry in model.metadata_props})
    precision = _precision(plan, network)
    _refuse_sizes(plan.sizes, network)
    if probes is None:
        probes = probes_for(network, plan.sizes.best)
    graph = for_tensorrt(to_fp16(model) if precision != network.precision else model, plan.sizes)
    reference = _on_onnx_runtime(content)
    agreement = compare(reference, _on_onnx_runtime(graph.SerializeToString(), takes_bytes=True), probes)
    _refuse_loss(agreement, precision, "the network")
    began = perf_counter()
    compiled = library.build(graph.SerializeToString(), plan.sizes, plan.capabilities, on_progress)
    card = CompiledCard(
        sha256=sha256(compiled),
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
        network=network,
        graph_accuracy=agreement,
        accuracy=None,
        accuracy_note=_NO_GPU.format(plan.out.name),
    )
    with tempfile.TemporaryDirectory(dir=plan.out.parent) as scratch:
        written = Path(scratch) / plan.out.name
        written.write_bytes(compiled)
        card.save(written)
        if device is not None and device.identity.compute_capability in plan.capabilities:
            card = _measured(written, card, reference, probes, library, device)
            card.save(written)
        os.replace(written, plan.out)
        os.replace(card_path(written), card_path(plan.out))
    return card


def check_compiled(
    compiled: Path, model: Path, library: CompilerLibrary, device: Device, probes: Sequence[Probe] | None = None
) -> CompiledCard:
    """Measure a compiled network on its GPU against the network on ONNX Runtime, and note it in its card.

    Raises:
        EngineUnavailable: `model` is not its network, it does not run here, or loses more than it may; then its card
            stays as it was.
    """
    card = CompiledCard.load(compiled)
    content = _content(model)
    if sha256(content) != card.model_sha256:
        raise EngineUnavailable(
            f"expected the network that {compiled.name} was made of ({card.model}, SHA-256 "
            f"{card.model_sha256[:12]}…), got {model}; name that one"
        )
    if probes is None:
        probes = probes_for(card.network, card.sizes.best)
    measured = _measured(compiled, card, _on_onnx_runtime(content), probes, library, device)
    measured.save(compiled)
    return measured


def is_current(plan: Plan, library: CompilerLibrary, device: Device | None) -> bool:
    """Whether `plan.out` is what `compile_network` would make now: same network, library, GPU, precision and sizes."""
    try:
        card = CompiledCard.load(plan.out)
        content = plan.model.read_bytes()
        altered = card.why_altered(plan.out, plan.out.read_bytes())
    except (EngineUnavailable, OSError):
        return False
    gpu = device.identity.name if device and not library.builds_for_other_gpus else None
    return altered is None and (
        (card.model_sha256, card.library, card.version, card.gpu)
        == (sha256(content), library.name, library.version, gpu)
        and (card.precision, card.sizes, card.capabilities)
        == (_precision(plan, card.network), plan.sizes, plan.capabilities)
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


def _precision(plan: Plan, network: NetworkCard) -> str:
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


def _refuse_sizes(sizes: Sizes, network: NetworkCard) -> None:
    for shape in (sizes.smallest, sizes.best, sizes.largest):
        refusal = network.why_not(shape, network.bit_depth)
        if refusal:
            raise EngineUnavailable(refusal)


def _refuse_loss(agreement: Agreement, precision: str, what: str) -> None:
    refusal = agreement.why_refused(precision)
    if refusal:
        raise EngineUnavailable(f"{what}: {refusal}; nothing was written, use a finer precision")


def _measured(
    compiled: Path,
    card: CompiledCard,
    reference: Retrieve,
    probes: Sequence[Probe],
    library: CompilerLibrary,
    device: Device,
) -> CompiledCard:
    """`card` with the accuracy of the compiled network at `compiled`."""
    bit_depth = card.network.bit_depth
    running = TensorRtEngine(EngineOptions(), compiled, library=library, open_device=lambda: device)

    def on_the_gpu(pixels: Pixels) -> NDArray[np.float32]:
        return running.retrieve(Frame(pixels, bit_depth, 0, captured_ns=0, captured_monotonic_ns=0)).phase_rad

    try:
        agreement = compare(reference, on_the_gpu, probes)
    finally:
        running.close()
    _refuse_loss(agreement, card.precision, "the compiled network")
    return card.model_copy(update={"accuracy": agreement, "accuracy_note": None})


def _on_onnx_runtime(network: bytes, *, takes_bytes: bool = False) -> Retrieve:
    session = open_session(network)
    name = session.get_inputs()[0].name

    def retrieve(pixels: Pixels) -> NDArray[np.float32]:
        (phase_rad,) = session.run(None, {name: as_bytes(pixels) if takes_bytes else pixels})
        return np.asarray(phase_rad, dtype=np.float32)

    return retrieve
