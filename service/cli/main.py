"""The command `qpi`."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo
from qpi_live.camera.errors import CameraError
from qpi_live.camera.genicam.producers import inspect_producers, producers_for
from qpi_live.service.cli.cameras import line_of_producer, table_of_cameras
from qpi_live.service.cli.convert import convert
from qpi_live.service.cli.engine import ask_engine
from qpi_live.service.cli.epics import epics
from qpi_live.service.cli.files import files
from qpi_live.service.cli.info import tables
from qpi_live.service.cli.leaving import leave_on_ctrl_c
from qpi_live.service.cli.networks.commands import add_commands
from qpi_live.service.cli.networks.models import models
from qpi_live.service.cli.process import process
from qpi_live.service.cli.record import record
from qpi_live.service.cli.serve import one_line, serve_station
from qpi_live.service.client import ServiceError
from qpi_live.service.settings import Settings, load_settings
from rich.console import Console
from rich.markup import escape

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"qpi-live {version('qpi-live')}")
        raise typer.Exit


@app.callback()
def _qpi(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Live phase for off-axis quantitative phase microscopes."""


add_commands(app)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command line."""
    leave_on_ctrl_c()
    app()


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with one option per setting, so that each is named and explained in one place, `Settings`."""
    options = {name: _option(name, field) for name, field in Settings.model_fields.items()}
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    kept = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in options.items()
    ]
    command.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in kept} | options
    return command


def _option(name: str, field: FieldInfo) -> Any:
    plain = {get_args(field.annotation)[0]} if isinstance(field.annotation, types.UnionType) else {field.annotation}
    kind = next((known for known in (bool, int, float) if known in plain), str)
    flags = [f"--{name.replace('_', '-')}"]
    if kind is bool and not name.startswith("no_"):
        flags = [f"{flags[0]}/--no-{flags[0][2:]}"]
    given: Any = list[str] if name == "camera" else kind  # several times: they run at once
    default = "" if field.default in (None, (), "") else f" [dim]\\[default: {field.default}][/dim]"
    return Annotated[given | None, typer.Option(*flags, help=f"{field.description}{default}", show_default=False)]


@app.command()
@_with_settings
def serve(
    settings: Annotated[
        Path | None, typer.Option(envvar="QPI_SETTINGS", help="settings file (TOML); qpi.toml here if there is one")
    ] = None,
    **given: Any,
) -> None:
    """Serve live phase: the page, REST and the stream.

    Every option may also stand in the environment (QPI_CAMERA=…) or in a settings file (camera = "…"), `qpi.toml` here
    or the one that --settings names. Options beat the environment, which beats the file. Empty values are unset ones.

    \b
    Try:
      qpi serve                                            the bundled hologram, on this machine
      qpi serve --camera replay:run.tif --wavelength-nm 532 --pixel-um 5.5 --magnification 40
      qpi serve --camera gentl:/opt/vendor/producer.cti    a GenICam camera; `qpi cameras` lists them
      qpi serve --camera mmcore:microscope.cfg             a camera that Micro-Manager drives
      qpi serve --host 0.0.0.0                             for other machines, with a token in the link
    """
    with one_line("Cannot serve:"):
        serve_station(load_settings({name: value for name, value in given.items() if value is not None}, settings))


@app.command()
def cameras(
    producer: Annotated[
        str, typer.Argument(help="a GenTL producer (.cti file); those in GENICAM_GENTL64_PATH without one")
    ] = "",
) -> None:
    """List the GenICam cameras that are there, and say what came of each driver file.

    Each file is loaded in a process of its own: one that crashes hides no camera of another. Ends with 2 where no
    driver could be loaded.
    """
    errors = Console(stderr=True, soft_wrap=True)
    try:
        reports = inspect_producers(producers_for(producer))
    except CameraError as error:
        errors.print(f"[bold red]No cameras:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    if any(report.cameras for report in reports):
        Console(soft_wrap=True).print(table_of_cameras(reports))
    for report in reports:
        errors.print(
            f"[{'bold red' if report.problem else 'dim'}]{escape(line_of_producer(report))}[/]", highlight=False
        )
    if all(report.problem for report in reports):
        sys.exit(2)


app.command()(files)
app.command()(record)
app.command()(convert)
app.command()(process)
app.command()(epics)


@app.command()
def engine(
    name: Annotated[str, typer.Argument(help="the engine to switch to; without one, which there are")] = "",
    url: Annotated[str, typer.Option(help="the running service's address")] = "http://127.0.0.1:8000",
    token: Annotated[str | None, typer.Option(envvar="QPI_TOKEN", help="the service's token, if it has one")] = None,
) -> None:
    """Say which engine a running service has, or switch it to another while frames flow."""
    try:
        sentence, table = ask_engine(url, name, token)
    except ServiceError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    console = Console(soft_wrap=True)
    console.print(escape(sentence), highlight=False)
    console.print(table)


@app.command()
def info() -> None:
    """Say what this machine can do, what is missing, and the command that adds it."""
    console = Console(soft_wrap=True)
    for table in tables():
        console.print(table)
