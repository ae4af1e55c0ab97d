"""The commands that make a network, from instrument, pairs and cultures to train, export, compile and adapt.

Each imports what it needs when it is called, so that the rest of `qpi` starts without torch.
"""

from __future__ import annotations

import typer
from qpi_live.service.cli.networks.adapt import adapt
from qpi_live.service.cli.networks.compile import compile_
from qpi_live.service.cli.networks.export import evaluate, export
from qpi_live.service.cli.networks.pairs import cultures, gather, instrument, label, pairs
from qpi_live.service.cli.networks.train import prune, search, train


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package to the command line `app`."""
    for command in (
        instrument,
        pairs,
        label,
        gather,
        cultures,
        search,
        prune,
        train,
        evaluate,
        export,
        compile_,
        adapt,
    ):
        app.command(command.__name__.rstrip("_"))(command)
