"""Recording on a running service, for `qpi record`."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated, Any

import typer
from qpi_live.service.cli.console import one_clear_line
from rich.console import Console
from rich.live import Live
from rich.text import Text


def record(
    name: Annotated[str, typer.Argument(help="Name of the recording; the time without one.")] = "",
    frames: Annotated[int | None, typer.Option(help="How many frames.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long, in s.")] = None,
    megabytes: Annotated[float | None, typer.Option(help="How many megabytes.")] = None,
    every: Annotated[float | None, typer.Option(help="Time-lapse: one frame in so many seconds.")] = None,
    before_trigger: Annotated[
        float | None, typer.Option(help="Wait for a trigger (Enter, or REST), and begin so many seconds before it.")
    ] = None,
    layers: Annotated[str, typer.Option(help="interferogram, phase, or both by a comma.")] = "interferogram",
    format_: Annotated[str, typer.Option("--format", help="ome-tiff or ome-zarr.")] = "ome-tiff",
    file_mb: Annotated[int, typer.Option(help="Megabytes at which a TIFF ends; 0: one BigTIFF.")] = 4000,
    url: Annotated[str, typer.Option(help="The running service's address.")] = "http://127.0.0.1:8000",
    token: Annotated[str | None, typer.Option(envvar="QPI_TOKEN", help="The service's token, if it has one.")] = None,
) -> None:
    """Record on a running service: every frame of its camera, on its disk. Ctrl+C stops it.

    \b
    Try:
      qpi record run1 --frames 1000
      qpi record night --every 60 --layers interferogram,phase
      qpi record event --before-trigger 5 --seconds 10
    """
    from qpi_live.service.client import PhaseClient

    wanted = {
        "frames": frames,
        "seconds": seconds,
        "megabytes": megabytes,
        "every_s": every,
        "before_trigger_s": before_trigger,
    }
    given: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    with one_clear_line(), PhaseClient(url, token=token) as client:
        begun = client.record(name, layers=layers.replace(" ", "").split(","), format=format_, file_mb=file_mb, **given)
        name = begun["name"]
        signal.signal(signal.SIGINT, _interrupt)
        try:
            if begun["state"] == "waiting":
                typer.prompt("Press Enter for the trigger", default="", show_default=False, prompt_suffix=" … ")
                client.recordings.trigger(name)
            with Live(console=Console(stderr=True), transient=True) as live:
                ended = client.recordings.wait(name, on_status=lambda status: live.update(_line(status)))
        except (KeyboardInterrupt, typer.Abort):
            stopped = client.recordings.stop(name)
            ended = stopped["running"] or stopped["kept"]
    typer.echo(f"{name}: {ended['frames']} frames, {ended['bytes'] / 1e6:.1f} MB. {ended['sentence']}")
    if ended["state"] == "failed":
        raise typer.Exit(1)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _line(status: dict[str, Any]) -> Text:
    lost = sum(status["lost"].values())
    left = "" if status["free_bytes"] is None else f", {status['free_bytes'] / 1e9:.1f} GB left"
    return Text(
        f"{status['name']}: {status['frames']} frames in {status['elapsed_s']:.1f} s, {lost} lost{left}. "
        f"{status['sentence']}"
    )
