"""The commands that find and train a network: search, prune, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.service.cli.console import one_clear_line
from qpi_live.service.cli.networks.options import Pairs, Run, TrainingOptions, takes_training_options

if TYPE_CHECKING:
    from qpi_live.models.training.checkpoint import NetSpec
    from torch import Tensor

Start = Annotated[
    Path | None,
    typer.Option(
        help="Start from these weights: a state dict of tensors, a checkpoint of `qpi train`, or a network of `qpi "
        "export` in fp32, such as models/weights/nasprnet.onnx; freeze batch norm from 0 with that one."
    ),
]


@takes_training_options
def search(
    data: Pairs,
    run: Run,
    space: Annotated[
        str, typer.Option(help="nasprnet (100 connections) or sparsemask (its smaller space).")
    ] = "nasprnet",
    binary_ratio: Annotated[float, typer.Option(help="α of eq. 3.")] = 5e-3,
    sparsity_ratio: Annotated[float, typer.Option(help="β of eq. 3.")] = 5e-4,
    start: Start = None,
    *,
    asked: TrainingOptions,
) -> None:
    """Search for the connections: train super-PRNet with its connection weights."""
    with one_clear_line():
        from qpi_live.models.training.plan import TrainingPlan
        from qpi_live.models.training.search import search as run_search

        run_search(
            run,
            data,
            asked.over(TrainingPlan(epochs=300)),
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


@takes_training_options
def train(
    data: Pairs,
    run: Run,
    net: Annotated[
        str,
        typer.Option(help="nasprnet, sparsemask, unet or narrow-unet; or background, on a folder of `qpi cultures`."),
    ] = "nasprnet",
    connections: Annotated[Path | None, typer.Option(help="Connections file of `qpi prune`.")] = None,
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
    *,
    asked: TrainingOptions,
) -> None:
    """Train a network to retrieve phase."""
    with one_clear_line():
        from qpi_live.models.training.plan import TrainingPlan
        from qpi_live.models.training.train import train as run_train

        if net == "background":
            _train_background(data, run, asked, start)
            return
        plan = asked.over(TrainingPlan(batch_norm_frozen_from=freeze_batch_norm_from))
        spec = _spec(net, connections)
        first = _weights(start) if search is None else _inherited(search, spec)
        origin = search or start
        started_from = str(origin) if origin else "random weights"
        run_train(run, data, spec, plan, start=first, started_from=started_from, phase_loss=loss)


def _train_background(data: Path, run: Path, asked: TrainingOptions, start: Path | None) -> None:
    from qpi_live.models.training.background import BackgroundPlan, train_background

    plan = asked.over(BackgroundPlan(epochs=200))
    train_background(run, data, plan, _weights(start), str(start) if start else "random weights")


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
    from qpi_live.models.training.exported import weights_of

    if path is not None and path.suffix == ".onnx":
        return weights_of(path)[1]
    return None if path is None else load_weights(path)


def _inherited(search: Path, spec: NetSpec) -> dict[str, Tensor]:
    from qpi_live.models.training.checkpoint import Checkpoint
    from qpi_live.models.training.prune import inherited_weights

    return inherited_weights(Checkpoint.load(search), spec.connections)
