"""The commands that find and train a network: search, prune, train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.service.cli.console import one_clear_line

if TYPE_CHECKING:
    from qpi_live.models.training.checkpoint import NetSpec
    from qpi_live.models.training.loop import TrainingPlan
    from torch import Tensor

Folder = Annotated[Path, typer.Argument(help="Folder of pairs, as `qpi pairs` writes it.")]
Run = Annotated[Path, typer.Argument(help="Folder of the run; a run that is there goes on where it stopped.")]
Epochs = Annotated[int, typer.Option(help="Epochs in all.")]
Minutes = Annotated[float | None, typer.Option(help="Time in all, over every resumption; ends before the epochs do.")]
Crop = Annotated[int, typer.Option(help="Edge of the training crops in px; 32 divides it.")]
Batch = Annotated[int, typer.Option(help="Crops per step and process.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate of Adam.")]
ValidateEvery = Annotated[int, typer.Option(help="Epochs between validations.")]
ValidationFrames = Annotated[int | None, typer.Option(help="Frames to validate on; all by default.")]
Seed = Annotated[int, typer.Option(help="Of the first weights and of every crop.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each process.")]
MixedPrecision = Annotated[
    bool | None, typer.Option("--bf16/--fp32", help="Precision of training; by default bf16 on a GPU, fp32 on a CPU.")
]
StopAfter = Annotated[int | None, typer.Option(help="Stop after so many epochs of the plan; run again to go on.")]
Start = Annotated[
    Path | None, typer.Option(help="Start from these weights: a state dict of tensors, or a checkpoint of `qpi train`.")
]


def search(
    data: Folder,
    run: Run,
    space: Annotated[
        str, typer.Option(help="nasprnet (100 connections) or sparsemask (its smaller space).")
    ] = "nasprnet",
    epochs: Epochs = 300,
    minutes: Minutes = None,
    crop: Crop = 512,
    batch: Batch = 2,
    learning_rate: Rate = 0.008,
    binary_ratio: Annotated[float, typer.Option(help="α of eq. 3.")] = 5e-3,
    sparsity_ratio: Annotated[float, typer.Option(help="β of eq. 3.")] = 5e-4,
    validate_every: ValidateEvery = 1,
    validation_frames: ValidationFrames = None,
    seed: Seed = 0,
    threads: Threads = None,
    stop_after: StopAfter = None,
    bf16: MixedPrecision = None,
    start: Start = None,
) -> None:
    """Search for the connections: train super-PRNet with its connection weights."""
    with one_clear_line():
        from qpi_live.models.training.search import search as run_search

        plan = _plan(
            epochs,
            minutes,
            crop,
            batch,
            learning_rate,
            validate_every,
            validation_frames,
            seed,
            threads,
            stop_after,
            bf16,
        )
        run_search(
            run,
            data,
            plan,
            space=space,
            binary_ratio=binary_ratio,
            sparsity_ratio=sparsity_ratio,
            start=_weights(start),
        )


def prune(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of `qpi search`, usually RUN/best.pt.")],
    out: Annotated[Path, typer.Argument(help="Connections file to write (JSON); the drawing goes beside it (SVG).")],
    threshold: Annotated[float, typer.Option(help="σ: weights below it are dropped.")] = 0.5,
    at_most: Annotated[
        int | None, typer.Option(help="Tune σ instead: the lowest that leaves no more connections than this.")
    ] = None,
) -> None:
    """Prune a searched network to the connections that matter."""
    with one_clear_line():
        from qpi_live.models.training.checkpoint import Checkpoint
        from qpi_live.models.training.prune import lowest_threshold, save_pruned

        searched = Checkpoint.load(checkpoint)
        if at_most is not None:
            threshold = lowest_threshold(searched, at_most)
        kept = save_pruned(out, searched, threshold)
    typer.echo(f"{len(kept)} connections at σ = {threshold:.2f} → {out} and {out.with_suffix('.svg')}")


def train(
    data: Folder,
    run: Run,
    net: Annotated[
        str,
        typer.Option(help="nasprnet, sparsemask, unet or narrow-unet; or background, on a folder of `qpi cultures`."),
    ] = "nasprnet",
    connections: Annotated[Path | None, typer.Option(help="Connections file of `qpi prune`.")] = None,
    epochs: Epochs = 200,
    minutes: Minutes = None,
    crop: Crop = 512,
    batch: Annotated[int | None, typer.Option(help="Samples per step and process (default: 2; background: 4).")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of Adam (default: 0.008; background: 0.002).")
    ] = None,
    validate_every: ValidateEvery = 1,
    validation_frames: ValidationFrames = None,
    seed: Seed = 0,
    threads: Threads = None,
    stop_after: StopAfter = None,
    bf16: MixedPrecision = None,
    freeze_batch_norm_from: Annotated[
        float, typer.Option(help="Part of the run from which on batch statistics stay; 0: the start's own; 1: never.")
    ] = 0.6,
    start: Start = None,
    search: Annotated[
        Path | None, typer.Option(help="Start from what this checkpoint of `qpi search` has learned.")
    ] = None,
    loss: Annotated[
        str, typer.Option(help="mixge (the paper's) or root-mixge, which lets hard conditions not outweigh the rest.")
    ] = "mixge",
) -> None:
    """Train a network to retrieve phase."""
    with one_clear_line():
        from qpi_live.models.training.train import train as run_train

        if net == "background":
            _train_background(data, run, epochs, minutes, batch, learning_rate, seed, threads, stop_after, start)
            return
        plan = _plan(
            epochs,
            minutes,
            crop,
            batch or 2,
            learning_rate or 0.008,
            validate_every,
            validation_frames,
            seed,
            threads,
            stop_after,
            bf16,
        )
        plan = replace(plan, batch_norm_frozen_from=freeze_batch_norm_from)
        spec = _spec(net, connections)
        first = _weights(start) if search is None else _inherited(search, spec)
        origin = search or start
        started_from = str(origin) if origin else "random weights"
        run_train(run, data, spec, plan, start=first, started_from=started_from, phase_loss=loss)


def _train_background(
    data: Path,
    run: Path,
    epochs: int,
    minutes: float | None,
    batch: int | None,
    learning_rate: float | None,
    seed: int,
    threads: int | None,
    stop_after: int | None,
    start: Path | None,
) -> None:
    from qpi_live.models.training.background import BackgroundPlan, train_background

    plan = BackgroundPlan(epochs=epochs, minutes=minutes, seed=seed, threads=threads, stop_after=stop_after)
    plan = replace(plan, batch=batch or plan.batch, learning_rate=learning_rate or plan.learning_rate)
    train_background(run, data, plan, _weights(start), str(start) if start else "random weights")


def _plan(
    epochs: int,
    minutes: float | None,
    crop: int,
    batch: int,
    learning_rate: float,
    validate_every: int,
    validation_frames: int | None,
    seed: int,
    threads: int | None,
    stop_after: int | None,
    bf16: bool | None,
) -> TrainingPlan:
    from qpi_live.models.training.loop import TrainingPlan

    return TrainingPlan(
        crop=crop,
        batch=batch,
        epochs=epochs,
        minutes=minutes,
        learning_rate=learning_rate,
        validate_every=validate_every,
        validation_frames=validation_frames,
        seed=seed,
        threads=threads,
        stop_after=stop_after,
        mixed_precision=bf16,
    )


def _spec(net: str, connections: Path | None) -> NetSpec:
    from qpi_live.models.nets.connections import load_connections
    from qpi_live.models.training.checkpoint import NETS, NetSpec

    trained = [name for name in NETS if name != "superprnet"]
    if net not in trained:
        raise ValueError(f"expected a network among {', '.join(trained)}, got {net!r}")
    if net not in ("nasprnet", "sparsemask"):
        return NetSpec(net)
    if connections is None:
        raise ValueError(f"expected --connections FILE for {net}, got none; `qpi prune` writes one")
    return NetSpec(net, load_connections(connections))


def _weights(path: Path | None) -> dict[str, Tensor] | None:
    from qpi_live.models.training.checkpoint import load_weights

    return None if path is None else load_weights(path)


def _inherited(search: Path, spec: NetSpec) -> dict[str, Tensor]:
    from qpi_live.models.training.checkpoint import Checkpoint
    from qpi_live.models.training.prune import inherited_weights

    return inherited_weights(Checkpoint.load(search), spec.connections)
