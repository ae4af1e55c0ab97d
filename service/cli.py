"""The command `qpi`."""

from __future__ import annotations

import inspect
import logging
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import uvicorn
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape

from camera.errors import CameraError
from models.errors import EngineError
from service.app import build_app
from service.opening import open_station
from service.settings import Settings, SettingsError, load_settings
from service.websocket_protocol import StreamProtocol

_GRACE_S = 3
_LONGEST_MESSAGE = 4096  # of a client of the stream: a choice is about 100 bytes

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _qpi() -> None:
    """Live phase for off-axis quantitative phase microscopes."""


def main() -> None:
    """Run the command line."""
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
    if kind is bool:
        flags = [f"{flags[0]}/--no-{flags[0][2:]}"]
    default = "" if field.default in (None, ()) else f" [dim]\\[default: {field.default}][/dim]"
    return Annotated[kind | None, typer.Option(*flags, help=f"{field.description}{default}", show_default=False)]


@app.command()
@_with_settings
def serve(
    settings: Annotated[
        Path | None, typer.Option(envvar="QPI_SETTINGS", help="settings file (TOML); qpi.toml here if there is one")
    ] = None,
    **given: Any,
) -> None:
    """Serve live phase: the page, REST and the stream.

    Every option may also stand in the environment (QPI_CAMERA=…) or in a settings file (camera = "…").
    """
    try:
        chosen = load_settings({name: value for name, value in given.items() if value is not None}, settings)
        logging.basicConfig(level=chosen.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        listening = _listen(chosen.host, chosen.port)
        station = open_station(chosen)
    except (SettingsError, CameraError, EngineError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]Cannot serve:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    host, port = listening.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    print(f"Live phase at http://{address}:{port} (stop with Ctrl+C)", flush=True)
    config = uvicorn.Config(
        build_app(station),
        ws=StreamProtocol,
        ws_max_size=_LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
        access_log=chosen.log_level == "debug",
        log_config=None,
    )
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if chosen.log_level == "debug" else logging.WARNING)
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: the address is not this machine's, or taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let two servers share the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"expected a free address of this machine, got {host}:{port} ({error.strerror}); choose another --port"
        ) from error
    return listening
