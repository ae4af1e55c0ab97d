"""The commands that measure a trained network and write it for others: evaluate, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.service.cli.console import bar, one_clear_line, print_table
from qpi_live.service.cli.networks.frames import read_frames
from qpi_live.service.cli.networks.options import Background, Pairs

if TYPE_CHECKING:
    from qpi_live.models.artifacts.agreement import Probe
    from qpi_live.models.training.checkpoint import Checkpoint
    from qpi_live.models.training.evaluate import Method
    from qpi_live.models.training.pairs import PairSet


def evaluate(
    data: Pairs,
    folder: Annotated[Path, typer.Argument(help="Folder to write scores.csv and pictures to.")],
    networks: Annotated[list[Path] | None, typer.Argument(help="Networks of `qpi export` (ONNX).")] = None,
    split: Annotated[str, typer.Option(help="Which pairs.")] = "test",
    classical: Annotated[
        bool, typer.Option(help="Also the classical chain, with and without a calibration frame.")
    ] = True,
    background: Background = None,
) -> None:
    """Measure networks on pairs they never saw, beside the classical chain on the same frames."""
    with one_clear_line():
        from qpi_live.models.training.evaluate import classical_method, table
        from qpi_live.models.training.evaluate import evaluate as run_evaluate
        from qpi_live.models.training.pairs import PairSet

        chosen = PairSet(data, split)
        methods: dict[str, Method] = {path.stem: _network_method(path, chosen) for path in networks or []}
        if classical and chosen.card.origin.instrument is not None:
            methods["classical"] = classical_method(chosen, calibrated=False)
            methods["classical-calibrated"] = classical_method(chosen, calibrated=True)
        for name in background or []:
            methods[f"classical-{Path(name).stem}"] = classical_method(chosen, calibrated=False, background=name)
        if not methods:
            raise ValueError("expected networks or --background to measure, got neither")
        with bar("pairs", len(chosen)) as advance:
            scores = run_evaluate(chosen, methods, folder, advance)
    rows = [(c, m, str(n), f"{p:.2f}", f"{w:.2f}", f"{s:.3f}") for c, m, n, p, w, s in table(scores)]
    print_table(f"{split} pairs of {data}", ("condition", "method", "pairs", "PSNR, dB", "worst, dB", "SSIM"), rows)


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of `qpi train`, usually RUN/best.pt; for --triton also an ONNX file.")
    ],
    out: Annotated[Path | None, typer.Argument(help="ONNX file to write.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of pairs to compare (and calibrate int8) on; of cultures for a background."),
    ] = None,
    recording: Annotated[str, typer.Option(help="Camera with real frames to compare on too.")] = "",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    size: Annotated[int | None, typer.Option(help="Fixed edge of the frames; any that fits by default.")] = None,
    probes: Annotated[int, typer.Option(help="Pairs to compare on.")] = 8,
    triton: Annotated[
        Path | None, typer.Option(help="Triton model repository to add the network to, as its next version.")
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name in the Triton repository; the file's without one.")] = "",
) -> None:
    """Export a network as ONNX, grey values in and phase in rad out, if it agrees with torch.

    With --triton the ONNX file also goes into a model repository of NVIDIA's Triton Inference Server.

    \b
    Try:
      qpi export runs/mine/best.pt mine.onnx --data pairs
      qpi export mine.onnx --triton repository
    """
    with one_clear_line():
        if checkpoint.suffix == ".onnx":
            if triton is None or out is not None:
                raise ValueError("expected a checkpoint, or --triton alone for an ONNX file, got an ONNX file")
            _add_to_triton(checkpoint, triton, name)
            return
        if out is None or data is None:
            raise ValueError("expected an ONNX file to write and --data to compare on; see `qpi export --help`")
        _export_checked(checkpoint, out, data, recording, precision, size, probes)
        if triton is not None:
            _add_to_triton(out, triton, name)


def _export_checked(
    checkpoint: Path, out: Path, data: Path, recording: str, precision: str, size: int | None, probes: int
) -> None:
    from qpi_live.models.artifacts.agreement import Probe
    from qpi_live.models.export.onnx_file import ExportError
    from qpi_live.models.export.onnx_file import export as run_export
    from qpi_live.models.training.checkpoint import Checkpoint
    from qpi_live.models.training.pairs import PairSet

    trained = Checkpoint.load(checkpoint)
    if trained.spec.name == "background":
        _export_background(trained, out, data)
        return
    compared = _probes(PairSet(data, "validation"), probes)
    if recording:
        compared += [Probe(frame.pixels) for frame in read_frames(recording, 2, compared[0].pixels.shape[0])[0]]
    typer.echo(f"Exporting {checkpoint} and comparing it with torch on {len(compared)} frames: minutes, not seconds")
    try:
        agreement = run_export(trained, out, compared, precision=precision, shape=(size, size) if size else None)
    except ExportError as error:
        raise ValueError(str(error)) from error
    typer.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, at most {agreement.largest_difference_rad:.2g} rad from torch, "
        f"PSNR {agreement.psnr_db:.2f} dB (torch {agreement.reference_psnr_db:.2f})"
    )


def _add_to_triton(network: Path, repository: Path, name: str) -> None:
    from qpi_live.models.export.triton import write_triton

    version = write_triton(network, repository, name)
    typer.echo(f"{version}: serve it with `tritonserver --model-repository={repository}`")


def _export_background(trained: Checkpoint, out: Path, data: Path) -> None:
    from qpi_live.models.export.background_file import export_background
    from qpi_live.models.export.onnx_file import ExportError

    try:
        difference_rad = export_background(trained, out, data)
    except ExportError as error:
        raise ValueError(str(error)) from error
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, at most {difference_rad:.2g} rad from torch")


def _network_method(path: Path, pairs: PairSet) -> Method:
    from qpi_live.camera.frame import Frame
    from qpi_live.models.engine import EngineOptions
    from qpi_live.models.engines.onnx import OnnxEngine

    engine = OnnxEngine(EngineOptions(), path)

    return lambda pixels, _number: engine.retrieve(Frame.untimed(pixels, pairs.bit_depth)).phase_rad


def _probes(pairs: PairSet, count: int) -> list[Probe]:
    from qpi_live.models.artifacts.agreement import Probe

    step = max(1, len(pairs) // count)
    return [Probe(pairs.pixels(n), pairs.phase_rad(n)) for n in range(0, len(pairs), step)][:count]
