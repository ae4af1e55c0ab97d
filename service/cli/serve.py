"""`qpi serve`: what it opens, what it says, and how it ends."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import FastAPI
from qpi_live.camera.errors import CameraError
from qpi_live.models.errors import EngineError
from qpi_live.service.api.app import build_app
from qpi_live.service.http.server import QuickServer, leave, listen_everywhere, make_server, url
from qpi_live.service.line.state import State
from qpi_live.service.names import EVERYWHERE, published_host, published_url
from qpi_live.service.opening import open_stations
from qpi_live.service.settings import Settings
from qpi_live.service.settings_file import SettingsError, unknown_variables
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations
from qpi_live.service.telemetry.wanted import wanted
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from qpi_live.service.telemetry.telemetry import Telemetry

_TOKEN_BYTES = 16
_LAST_TELEMETRY_S = 1.0
_ELSEWHERE = ("192.0.2.1", 9)  # RFC 5737: an address for documentation; nothing is ever sent there
_log = logging.getLogger(__name__)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """End with one sentence and exit code 2 where something cannot be opened or served."""
    try:
        yield
    except (SettingsError, CameraError, EngineError) as error:
        _say(what, str(error))
        sys.exit(2)


def serve_station(settings: Settings) -> None:
    """Serve what `settings` describe until told to stop; the process ends with it.

    Raises:
        SettingsError, CameraError, EngineError: it cannot be opened.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    for sentence in unknown_variables(Settings.model_fields):
        _log.warning(sentence)
    settings = with_token(settings)
    sockets = listen_everywhere(settings.host, settings.port)
    stations = open_stations(settings)
    if settings.is_for_others and settings.token is None:
        _say("Warning:", "whoever reaches this machine sees and controls the microscope (--no-token)")
    print(f"Live phase at {link(settings, sockets[0].getsockname()[1])} (stop with Ctrl+C)", flush=True)
    app = build_app(stations)
    telemetry = _telemetry(app, stations)
    server = make_server(app, settings.log_level == "debug")
    refused: list[str] = []
    for station in stations.all:
        Thread(target=_stop_if_it_cannot_start, args=(station, server, refused), daemon=True).start()
    server.run(sockets=sockets)
    if telemetry is not None:
        telemetry.stop(_LAST_TELEMETRY_S)
    for sentence in refused:
        _say("Cannot serve:", sentence)
    leave(2 if refused else 0)


def _telemetry(app: FastAPI, stations: Stations) -> Telemetry | None:
    """Started, where the environment asks for it; what keeps it from starting keeps no frame from anybody."""
    asked = wanted(os.environ)
    for sentence in asked.refused:
        _log.warning(sentence)
    if not asked:
        return None
    try:
        from qpi_live.service.telemetry.requests import RequestTraces
        from qpi_live.service.telemetry.telemetry import Telemetry

        telemetry = Telemetry(stations, asked)
    except ImportError as error:
        _log.warning("no telemetry, though OTEL_… asks for it: %s; pip install 'qpi-live[telemetry]'", error)
        return None
    except Exception as error:  # a variable that the SDK cannot read
        _log.warning("no telemetry, though OTEL_… asks for it: %s", error)
        return None
    if telemetry.tracer is not None:
        app.add_middleware(RequestTraces, tracer=telemetry.tracer)
    telemetry.start()
    return telemetry


def with_token(settings: Settings) -> Settings:
    """The settings with a token made now, where other machines can reach the service and none was given or waived."""
    if settings.token is not None or settings.no_token or not settings.is_for_others:
        return settings
    return settings.model_copy(update={"token": secrets.token_urlsafe(_TOKEN_BYTES)})


def link(settings: Settings, port: int) -> str:
    """What to open in a browser, the token included."""
    published = settings.published_at
    if published is not None and published_host(published) not in EVERYWHERE:
        page = published_url(published, port)
    else:
        host = settings.host if published is None else published_host(published)
        page = url(_address_of_this_machine() if host in EVERYWHERE else host, port)
    return page + (f"/?token={quote(settings.token, safe='')}" if settings.token else "")


def _address_of_this_machine() -> str:
    """The address under which the others of its network know this machine; its name where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        try:
            towards.connect(_ELSEWHERE)  # of a datagram socket, this only chooses the way
            address: str = towards.getsockname()[0]
        except OSError:
            return socket.gethostname()
    return address


def _stop_if_it_cannot_start(station: Station, server: QuickServer, refused: list[str]) -> None:
    """An engine that cannot take the camera's frames ends the service with a sentence, not with a page of nothing."""
    while station.pipeline.state.name is State.STARTING:
        sleep(0.1)
    state = station.pipeline.state
    if state.name is State.FAILED:
        refused.append(state.sentence)
        server.should_exit = True


def _say(what: str, sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]{what}[/] {escape(sentence)}", highlight=False)
