"""The commands of `qpi models`: list, add, promote, rollback."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.models.artifacts.promotions import FOLDER, Kind
from qpi_live.service.cli.console import bar, one_clear_line, print_table
from qpi_live.service.cli.networks.options import Channel, Processes, Size

if TYPE_CHECKING:
    from qpi_live.camera.frame import Frame
    from qpi_live.camera.optics import Optics
    from qpi_live.camera.simulation.instrument import Instrument
    from qpi_live.models.artifacts.promotions import Figures
    from qpi_live.models.promotion.gate import Examination
    from qpi_live.models.promotion.judgement import Verdict
    from qpi_live.models.promotion.registry import Entry, Registry

Networks = Annotated[
    Path,
    typer.Option(
        "--networks", envvar="QPI_NETWORKS", help="Folder of your own networks, as for `qpi serve`.", show_default=False
    ),
]
PerCondition = Annotated[int, typer.Option(min=1, help="Simulated frames of each condition to judge on.")]
RecordedFrames = Annotated[int, typer.Option(min=1, help="Frames of the recording to judge on.")]

models = typer.Typer(
    invoke_without_command=True,
    help="List the networks there are; add, promote and roll back your own.",
)


@models.callback()
def list_(context: typer.Context, networks: Networks = FOLDER) -> None:
    """List the networks there are, which are in force, and what was promoted when."""
    if context.invoked_subcommand is not None:
        return
    with one_clear_line():
        registry = _registry(networks)
        entries, refusals = registry.all()
        history = registry.promotions.history.steps
        promoted = {kind: registry.promotions.in_force(kind) for kind in Kind}
        names = {kind: found.name if found else kind.shipped_name for kind, found in promoted.items()}
        for kind in Kind:
            refusals |= _why_not_in_force(registry, kind, names[kind])
    rows = [_row(entry, names[entry.kind] == entry.name) for entry in entries]
    columns = ("in force", "name", "kind", "instrument", "precision", "card's PSNR, dB", "SHA-256")
    print_table(f"Networks; your own are in {networks}", columns, rows)
    for name, refusal in refusals.items():
        typer.echo(f"{name}: {refusal}", err=True)
    if history:
        steps = [(f"{step.at:%Y-%m-%d %H:%M:%S}", step.done, step.name, step.kind, step.remark) for step in history]
        print_table("History (UTC)", ("when", "what", "network", "kind", "remark"), steps)


@models.command()
def add(
    path: Annotated[Path, typer.Argument(help="Network of `qpi export` (ONNX).")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name by default.")] = "",
    networks: Networks = FOLDER,
) -> None:
    """Copy a network among your own. Nothing changes for a service until it is promoted."""
    with one_clear_line():
        added = _registry(networks).add(path, name)
    typer.echo(f"{added.name} ({added.kind}, {added.instrument}) is in {networks}; `qpi models promote {added.name}`")


@models.command()
def promote(
    name: Annotated[str, typer.Argument(help="One of the networks that `qpi models` lists.")],
    recording: Annotated[
        str,
        typer.Option(help="Camera with frames of your microscope, on which it must agree with the classical phase."),
    ] = "",
    recorded: RecordedFrames = 8,
    frames: PerCondition = 4,
    instrument: Annotated[
        Path | None, typer.Option(help="Instrument file to simulate frames of; the card's by default.")
    ] = None,
    size: Size = None,
    channel: Channel = "",
    processes: Processes = 2,
    force: Annotated[bool, typer.Option("--force", help="Promote it even if it is worse; that is recorded.")] = False,
    networks: Networks = FOLDER,
) -> None:
    """Put a network in force if it is no worse than the one that is: in PSNR, agreement and time.

    It is judged on simulated frames of its instrument and, if given, on recorded ones. A running service takes it over
    within two seconds, while frames flow.
    """
    from qpi_live.service.cli.networks.frames import read_frames

    with one_clear_line():
        from qpi_live.models.promotion.judgement import instrument_for, put_in_force

        registry = _registry(networks)
        entry = registry.named(name)
        read: tuple[list[Frame], Optics | None] = ([], None)
        if recording:
            read = read_frames(recording, recorded, size, channel)
        simulated_of = instrument_for(entry, instrument)
        if size:
            simulated_of = replace(simulated_of, shape=(size, size))
        verdict = judged(registry, entry, examine(simulated_of, frames, processes, *read))
        show(verdict)
        put_in_force(registry, verdict, is_forced=force)
    if verdict.refusal is not None:
        typer.echo(f"Forced, against: {verdict.refusal}.")
    typer.echo(f"{name} is in force; before it was {verdict.before.name}. `qpi models rollback` goes back.")


@models.command()
def rollback(
    kind: Annotated[Kind, typer.Option(help="Of which kind the newest promotion is undone.")] = Kind.NETWORK,
    networks: Networks = FOLDER,
) -> None:
    """Put the network in force that was before the newest promotion, byte for byte."""
    with one_clear_line():
        now = _registry(networks).roll_back(kind)
    typer.echo(f"{now.name} is in force again (SHA-256 {now.sha256[:12]}…).")


def examine(
    instrument: Instrument, per_condition: int, processes: int, recorded: list[Frame], optics: Optics | None
) -> Examination:
    """The frames to judge a network on; those of `instrument` are simulated under a bar."""
    from qpi_live.models.promotion.gate import CONDITIONS, Examination, simulate

    with bar("simulating", per_condition * len(CONDITIONS)) as advance:
        simulated = simulate(instrument, per_condition, processes, advance)
    return Examination(instrument, simulated, recorded, optics)


def judged(registry: Registry, entry: Entry, examination: Examination) -> Verdict:
    """The gate's verdict, under a bar."""
    from qpi_live.models.promotion.judgement import judge, steps_of

    with bar("judging", steps_of(examination)) as advance:
        return judge(registry, entry, examination, advance)


def show(verdict: Verdict) -> None:
    """Print the figures of a verdict side by side."""
    new, before = verdict.figures, verdict.before_figures
    rows = [
        (
            f"{condition} frames, dB",
            f"{psnr_db:.1f}",
            "–" if before is None else f"{before.psnr_db[condition]:.1f}",
            f"{verdict.classical_db[condition]:.1f}",
        )
        for condition, psnr_db in new.psnr_db.items()
    ]
    rows += [
        (f"from classical phase, {new.seen_on}, rad", _rad(new), "–" if before is None else _rad(before), ""),
        ("time of one core, ms", f"{new.latency_ms:.0f}", "–" if before is None else f"{before.latency_ms:.0f}", ""),
    ]
    columns = ("", verdict.network.name, f"in force: {verdict.before.name}", "classical chain")
    print_table("The gate: medians; the shortest time", columns, rows)
    if verdict.remark:
        typer.echo(verdict.remark)


def _rad(figures: Figures) -> str:
    return "–" if figures.difference_rad is None else f"{figures.difference_rad:.3f}"


def _row(entry: Entry, is_in_force: bool) -> tuple[str, ...]:
    mark, precision = "yes" if is_in_force else "", getattr(entry.card, "precision", "fp32")
    return mark, entry.name, entry.kind, entry.instrument, precision, f"{entry.card_db:.1f}", entry.sha256[:12]


def _why_not_in_force(registry: Registry, kind: Kind, name: str) -> dict[str, str]:
    from qpi_live.models.errors import EngineUnavailable

    try:
        registry.promotions.file(kind)
    except EngineUnavailable as error:
        return {name: str(error)}
    return {}


def _registry(folder: Path) -> Registry:
    from qpi_live.models.promotion.registry import Registry

    return Registry(folder.expanduser())
