"""The phase of whole recordings, for `qpi process`."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from qpi_live.camera.cores import available_cores
from qpi_live.service.cli.console import one_clear_line
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from qpi_live.models.analysis.regions import Region

_MOST_SAID = 20


def process(
    recordings: Annotated[list[str], typer.Argument(help="Recordings: files or folders that `replay:` plays.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    engine: Annotated[str, typer.Option(help="Engine, or the file of a network.")] = "goldstein",
    to: Annotated[Literal["ome-zarr", "ome-tiff"], typer.Option(help="What to write.")] = "ome-zarr",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes on this machine; one a core.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://HOST:8786, instead.")] = None,
    channel: Annotated[str, typer.Option(help="Channel with the holograms; found by default.")] = "",
    background_order: Annotated[int | None, typer.Option(min=0, max=6, help="Order of the background.")] = None,
    focus_um: Annotated[float, typer.Option(help="Move the focal plane so far along the light.")] = 0.0,
    regions: Annotated[Path | None, typer.Option(help="Regions as GET /regions gives them, in a JSON file.")] = None,
    cells: Annotated[bool, typer.Option(help="Also measure and follow the cells: cells.csv, tracks.xml.")] = False,
    alpha: Annotated[float, typer.Option(help="α of the cells' dry mass, µm³/pg.")] = 0.19,
) -> None:
    """Make the phase of whole recordings, on all cores or a cluster. The same command again goes on where it was.

    Frames without a phase are NaN, and listed with their reason beside the result.

    \b
    Try:
      qpi process ~/qpi-recordings/* -o phase
      qpi process run1.tif -o phase --to ome-tiff --workers 2
      qpi process run1.tif -o phase --focus-um -4 --cells
      qpi process /data/* -o /data/phase --scheduler tcp://head:8786
    """
    with one_clear_line("cluster" if scheduler else "files"):
        from qpi_live.models.analysis.scale import Scale
        from qpi_live.models.batch.archive import plan
        from qpi_live.models.batch.archive import process as run_process
        from qpi_live.models.batch.cells import TABLE, TRACKS, measure_job
        from qpi_live.models.batch.workers import Cluster, Processes
        from qpi_live.models.engine import EngineOptions

        addresses = [address.removeprefix("replay:") for address in recordings]
        who = Cluster(scheduler) if scheduler else Processes(workers or available_cores())
        drawn = _regions_in(regions) if regions else ()
        Scale(alpha_um3_per_pg=alpha)  # refuses what no matter has, before the work
        jobs = plan(
            addresses, out, engine, EngineOptions(background_order=background_order), to, channel, focus_um, drawn
        )
        columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        began = perf_counter()
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task("", total=sum(job.frames for job in jobs))
            summary = run_process(jobs, who, lambda frames: progress.advance(task, frames))
            if cells and not summary.failed:
                task = progress.add_task("", total=sum(job.frames for job in jobs))
                for job in jobs:
                    found = measure_job(job, alpha, None, lambda frames: progress.advance(task, frames))
                    progress.console.print(
                        f"{job.out.name}: {found} sightings of cells in {TABLE}, tracks in {TRACKS}."
                    )
    took_s = perf_counter() - began
    rate = f", {summary.made / took_s:.1f} frames/s" if summary.made else ""
    typer.echo(f"{out}: {summary.frames} frames have a phase, {summary.made} of them made now{rate}.")
    for what, lines in (("without a phase", summary.without_phase), ("not made; run it again", summary.failed)):
        for line in lines[:_MOST_SAID]:
            typer.echo(f"{what}: {line}", err=True)
        if len(lines) > _MOST_SAID:
            typer.echo(f"{what}: {len(lines) - _MOST_SAID} more", err=True)
    if summary.failed:
        raise typer.Exit(1)


def _regions_in(path: Path) -> tuple[Region, ...]:
    """The regions of a file: `{"regions": [{"name": …, "shape": …, "points": …, "role": …}]}`.

    Raises:
        ValueError: they are none.
    """
    from qpi_live.models.analysis.regions import Region

    try:
        drawn = json.loads(path.read_text(encoding="utf-8-sig"))["regions"]
        regions = tuple(Region(**region) for region in drawn)
    except (OSError, TypeError, KeyError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a JSON file of regions, as GET /regions gives them, got {path}: {error}") from error
    if len({region.name for region in regions}) != len(regions):
        raise ValueError(f"expected regions with a name each, got some of the same name in {path}")
    return regions
