"""A running service as EPICS process variables, for `qpi epics`."""

from __future__ import annotations

from threading import Event
from typing import Annotated

import typer
from qpi_live.service.cli.console import one_clear_line


def epics(
    prefix: Annotated[str, typer.Option(help="What every variable's name begins with.")] = "QPI:",
    max_fps: Annotated[float, typer.Option(min=0, help="Images per second at most; 0: all that there are.")] = 0.0,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two readings of the statistics.")] = 1.0,
    url: Annotated[str, typer.Option(help="The running service's address.")] = "http://127.0.0.1:8000",
    token: Annotated[str | None, typer.Option(envvar="QPI_TOKEN", help="The service's token, if it has one.")] = None,
) -> None:
    """Serve a running service's phase and statistics over EPICS PV Access, until Ctrl+C.

    PV Access knows no token: whoever reaches this machine over the network reads the phase.
    EPICS_PVAS_INTF_ADDR_LIST=127.0.0.1 in the environment keeps it on this machine.
    """
    with one_clear_line("epics"):
        from qpi_live.service.client import PhaseClient
        from qpi_live.service.epics.server import EpicsServer

        with PhaseClient(url, token=token) as client:
            client.stats()  # says now what is wrong with the address
            with EpicsServer(client, prefix, max_fps, every) as server:
                typer.echo("\n".join(server.names))
                Event().wait()
