"""The command that compiles a network for a GPU: compile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.service.cli.console import one_clear_line, share_bar

if TYPE_CHECKING:
    from qpi_live.camera.device import Device
    from qpi_live.models.artifacts.agreement import Agreement
    from qpi_live.models.artifacts.compiled_network import CompiledCard
    from qpi_live.models.artifacts.compiler import Capability
    from qpi_live.models.export.compilation import Plan

_NO_GPU = (
    "expected --for with the compute capability of the GPU that will run it, such as --for 8.9, since there is no GPU "
    "here ({}); pip install 'qpi-live[tensorrt-rtx]' builds without one, but not for H100 or H200"
)


def compile_(
    model: Annotated[
        Path | None, typer.Argument(help="Network of `qpi export` (ONNX); the shipped one without.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write; its card goes beside it.")] = Path(
        "nasprnet.trt"
    ),
    precision: Annotated[
        str | None, typer.Option(help="fp16, fp32 or int8; by default fp16, or what the network was exported in.")
    ] = None,
    size: Annotated[
        str, typer.Option(help="Frames it takes: 1024, 1024x1280 (height × width), or a range 512-1024-2048.")
    ] = "1024",
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for", help="Compute capability to build for, such as 8.9; may be repeated. By default the GPU's."
        ),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Do nothing if the file there is what this would make.")
    ] = False,
    check: Annotated[
        Path | None, typer.Option(help="Measure this compiled network on the GPU instead, and note it in its card.")
    ] = None,
) -> None:
    """Compile a network for a GPU, if it agrees with itself on ONNX Runtime."""
    with one_clear_line("tensorrt-rtx"):
        device, why_none = (None, "") if check is not None else _gpu()
        capabilities = tuple(_capability(text) for text in for_ or ())
        if check is None and not capabilities:
            if device is None:
                raise ValueError(_NO_GPU.format(why_none))
            capabilities = (device.identity.compute_capability,)
        from qpi_live.models.artifacts.sizes import Sizes
        from qpi_live.models.artifacts.tensorrt_library import choose_library
        from qpi_live.models.engines.onnx import SHIPPED
        from qpi_live.models.export.compilation import Plan, compile_network, is_current

        if check is not None:
            _check(check, model)
            return
        plan = Plan(model or SHIPPED, out, precision, Sizes.parse(size), capabilities)
        library = choose_library(device.identity.compute_capability if device else None, capabilities)
        if reuse and is_current(plan, library, device):
            typer.echo(f"{out} is up to date: same network, {library.name} {library.version}, {_targets(plan, device)}")
            return
        typer.echo(f"Compiling {plan.model} with {library.name} {library.version} for {_targets(plan, device)}")
        with share_bar(out.name) as on_progress:
            card = compile_network(plan, library, device, on_progress)
    typer.echo(_summary(out, card))


def _check(compiled: Path, model: Path | None) -> None:
    from qpi_live.models.artifacts.compiled_network import CompiledCard
    from qpi_live.models.artifacts.tensorrt_library import library_named
    from qpi_live.models.engines.onnx import SHIPPED
    from qpi_live.models.export.compilation import check_compiled

    card = CompiledCard.load(compiled)
    library = library_named(card.library)
    device, why_none = _gpu()
    if device is None:
        raise ValueError(f"expected a GPU to measure {compiled} on, got none: {why_none}")
    beside = compiled.with_name(card.model)
    typer.echo(
        _summary(
            compiled, check_compiled(compiled, model or (beside if beside.is_file() else SHIPPED), library, device)
        )
    )


def _gpu() -> tuple[Device | None, str]:
    """The machine's GPU, or None and why."""
    from qpi_live.camera.device import DeviceUnavailable
    from qpi_live.camera.gpu.cuda_device import open_device

    try:
        return open_device(), ""
    except DeviceUnavailable as error:
        return None, str(error)


def _capability(text: str) -> Capability:
    major, _, minor = text.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise ValueError(f"expected --for with a compute capability such as 8.9, got {text!r}")
    return int(major), int(minor)


def _targets(plan: Plan, device: Device | None) -> str:
    named = ", ".join(f"{major}.{minor}" for major, minor in plan.capabilities)
    is_here = device is not None and plan.capabilities == (device.identity.compute_capability,)
    return f"{device.identity.name} ({named})" if device is not None and is_here else f"compute capability {named}"


def _summary(compiled: Path, card: CompiledCard) -> str:
    """What was made, and how it agrees, on three lines."""
    graph, measured = card.graph_accuracy, card.accuracy
    lines = [
        f"{compiled}: {compiled.stat().st_size / 1e6:.1f} MB, {card.precision}, {card.sizes}, {card.library} "
        f"{card.version}, built in {card.build_s} s",
        f"  its graph on ONNX Runtime: at most {graph.largest_difference_rad:.2g} rad from the network's, "
        f"{graph.rms_difference_rad:.2g} rad RMS, loss of PSNR {_db(graph)} dB",
    ]
    if measured is None:
        lines.append(f"  on the GPU: not measured, {card.accuracy_note}")
    else:
        lines.append(
            f"  on the GPU: at most {measured.largest_difference_rad:.2g} rad from the network's, "
            f"{measured.rms_difference_rad:.2g} rad RMS, loss of PSNR {_db(measured)} dB"
        )
    return "\n".join(lines)


def _db(agreement: Agreement) -> str:
    return f"{round(agreement.loss_db, 3) + 0.0:.3f}"  # no minus zero
