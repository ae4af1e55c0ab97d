"""Whether the searched graph earns its place: it, random graphs of its size and other networks, trained alike.

    qpi pairs camera/data/glioblastoma.json pairs --training 600
    python bench/rivals.py pairs rivals --sparsemask bench/graphs/sparsemask.json

Every network starts from random weights and sees the same crops in the same order under the same learning rate. Then
all are judged on the same validation frames at full size. A run that was stopped goes on. What is compared after so
short a training is how fast networks learn, not how good they can become: `--epochs` says how long (from three on, the
batch statistics are frozen for the last part). The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.models.metrics import PHASE_RANGE_RAD, psnr_db, ssim
from qpi_live.models.nets.connections import load_connections, random_connections
from qpi_live.models.training.checkpoint import Checkpoint, NetSpec
from qpi_live.models.training.pairs import PairSet
from qpi_live.models.training.plan import TrainingPlan
from qpi_live.models.training.processes import pick_device
from qpi_live.models.training.train import train
from rich.progress import track
from rich.table import Table

SHIPPED_CONNECTIONS = Path(__file__).parent.parent / "models" / "weights" / "nasprnet-connections.json"


def main(
    pairs: Annotated[Path, typer.Argument(help="Folder of pairs, as `qpi pairs` writes it.")],
    runs: Annotated[Path, typer.Argument(help="Folder for the runs, one in it for each network.")],
    connections: Annotated[
        list[Path] | None, typer.Option(help="A searched graph; again for more. By default the shipped network's.")
    ] = None,
    sparsemask: Annotated[Path | None, typer.Option(help="Graph of `qpi search --space sparsemask`, pruned.")] = None,
    graphs: Annotated[int, typer.Option(min=0, help="Random graphs of the first one's size.")] = 5,
    narrow: Annotated[bool, typer.Option(help="Also a U-Net of NAS-PRNet's arithmetic.")] = True,
    unet: Annotated[bool, typer.Option(help="Also U-Net, which takes a hundred times the arithmetic.")] = True,
    unet_minutes: Annotated[
        float | None, typer.Option(help="Stop U-Net after so long, however few crops it has seen by then.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often each training frame gives a crop.")] = 3,
    crop: Annotated[int, typer.Option(help="Edge of the crops in px; 32 divides it.")] = 384,
    batch: Annotated[int, typer.Option(min=1, help="Crops per step.")] = 2,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of Adam.")] = 0.004,
    loss: Annotated[str, typer.Option(help="mixge or root-mixge.")] = "root-mixge",
    frames: Annotated[int, typer.Option(min=1, help="Validation frames of each condition.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the first weights and of every crop.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads, else all.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16/--fp32", help="Precision of the training's forward passes.")] = True,
    json: JsonFile = None,
) -> None:
    """Train networks alike for a short time and compare them."""
    searched = {path.stem: load_connections(path) for path in connections or [SHIPPED_CONNECTIONS]}
    specs = {name: NetSpec("nasprnet", graph) for name, graph in searched.items()}
    size = len(next(iter(searched.values())))
    for number in range(1, graphs + 1):
        specs[f"random graph {number}"] = NetSpec("nasprnet", random_connections(size, number))
    if sparsemask is not None:
        specs["SparseMask"] = NetSpec("sparsemask", load_connections(sparsemask))
    if narrow:
        specs["narrow U-Net"] = NetSpec("narrow-unet")
    if unet:
        specs["U-Net"] = NetSpec("unet")
    plan = TrainingPlan(
        crop=crop,
        batch=batch,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_norm_frozen_from=0.6,
        validate_every=epochs,
        validation_frames=1,
        seed=seed,
        threads=threads,
        mixed_precision=bf16,
    )
    rows = {}
    for name, spec in specs.items():
        console.print(f"{name}: training")
        own_plan = replace(plan, minutes=unet_minutes) if spec.name == "unet" else plan
        trained = train(runs / name.replace(" ", "-"), pairs, spec, own_plan, phase_loss=loss)
        rows[name] = _judge(trained, PairSet(pairs, "validation"), frames)
        console.print(_table({name: rows[name]}))
    console.print(_table(rows))
    drawn = [row["psnr_db"]["all"] for name, row in rows.items() if name.startswith("random")]
    if drawn:
        best = ", ".join(f"{name} {rows[name]['psnr_db']['all']:.2f} dB" for name in searched)
        console.print(
            f"{best}; {len(drawn)} random graphs of {size} connections: "
            f"median {median(drawn):.2f} dB ({min(drawn):.2f} … {max(drawn):.2f})"
        )
    finish(
        {
            "pairs": PairSet(pairs, "train").card.origin.model_dump(mode="json"),
            "crop": crop,
            "batch": batch,
            "rivals": rows,
        },
        json,
    )


@torch.inference_mode()
def _judge(trained: Checkpoint, pairs: PairSet, frames: int) -> dict[str, Any]:
    """Medians over `frames` of each condition at full size: PSNR in dB on the 0–12 rad scale, and SSIM."""
    device = pick_device()
    net = trained.network().to(device)
    psnrs: dict[str, list[float]] = {}
    similarities: list[float] = []
    chosen = [
        number
        for condition in sorted(set(pairs.conditions))
        for number in [n for n, other in enumerate(pairs.conditions) if other == condition][:frames]
    ]
    for number in track(chosen, "judging", console=console, transient=True):
        pair = pairs.whole(number)
        phase = net(torch.from_numpy(pair.interferogram)[None, None].to(device))[0, 0].cpu().numpy()
        true_rad, phase_rad = _to_rad(pair.phase), _to_rad(phase)
        psnrs.setdefault(pairs.conditions[number], []).append(psnr_db(phase_rad, true_rad))
        similarities.append(ssim(phase_rad, true_rad))
    everything = [value for values in psnrs.values() for value in values]
    return {
        "connections": len(trained.spec.connections),
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "samples": trained.samples,
        "minutes": round(trained.elapsed_s / 60, 1),
        "psnr_db": {name: round(median(values), 2) for name, values in (*psnrs.items(), ("all", everything))},
        "ssim": round(median(similarities), 4),
        "frames": len(chosen),
    }


def _to_rad(phase: NDArray[np.float32]) -> NDArray[np.float32]:
    return phase * np.float32(PHASE_RANGE_RAD)


def _table(rows: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="Trained alike; median PSNR in dB", title_justify="left")
    table.add_column("network")
    conditions = list(next(iter(rows.values()))["psnr_db"])
    for column in ("connections", "parameters, M", "crops seen", "minutes", *conditions, "SSIM"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            str(row["connections"] or ""),
            f"{row['parameters'] / 1e6:.2f}",
            str(row["samples"]),
            f"{row['minutes']:.1f}",
            *(f"{row['psnr_db'][condition]:.1f}" for condition in conditions),
            f"{row['ssim']:.3f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
